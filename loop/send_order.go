package loop

import "time"

const (
	// maxYielded is how long a turn lets others run before it sends all that it has,
	// acknowledgements too. Goroutines that take long would delay them.
	maxYielded = time.Millisecond
	// sendFirstFor is how long turns send first once goroutines took that long.
	sendFirstFor = 200 * time.Millisecond
)

// A sendOrder says whether the goroutines that a turn has woken run before it sends or after it.
// Most answer in microseconds, and their answers go along. Handlers that compute would delay the
// answers of all others where there is one processor: beside two that take 5 ms at a time, a tenth
// of the others waited for 14 ms in place of 9.
type sendOrder struct {
	sendFirst time.Time // until then
}

// ran says how long goroutines ran that a turn let run.
func (o *sendOrder) ran(from, to time.Time) {
	if to.Sub(from) >= maxYielded {
		o.sendFirst = to.Add(sendFirstFor)
	}
}

// othersFirst reports whether goroutines run before the turn sends.
func (o *sendOrder) othersFirst(now time.Time) bool { return !now.Before(o.sendFirst) }
