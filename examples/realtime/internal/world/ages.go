package world

import "time"

// Ages counts durations, to a tenth of a millisecond. Those above 6.5 s count as that.
type Ages struct {
	counts [1 << 16]uint32
	n      uint64
}

// Add counts a duration.
func (a *Ages) Add(d time.Duration) {
	a.counts[max(0, min(d/(100*time.Microsecond), 1<<16-1))]++
	a.n++
}

// N returns how many durations there are.
func (a *Ages) N() uint64 { return a.n }

// Quantile returns the duration that a part q of all do not exceed, 0 if there are none.
func (a *Ages) Quantile(q float64) time.Duration {
	left := uint64(q * float64(a.n))
	for i, n := range a.counts {
		if left < uint64(n) {
			return time.Duration(i) * 100 * time.Microsecond
		}
		left -= uint64(n)
	}
	return 0
}
