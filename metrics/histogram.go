package metrics

import (
	"sync/atomic"
	"time"
)

// Upper bounds of what histograms count.
var (
	roundTripBounds = []time.Duration{
		100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
		5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
		250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	}
	handshakeBounds = []time.Duration{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
		2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	}
	lifetimeBounds = []time.Duration{
		100 * time.Millisecond, time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
		30 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
	}
	turnBounds = []time.Duration{
		10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond,
		500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
		25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, time.Second,
	}
)

// A meter counts durations by size. One goroutine observes, and any may read.
type meter struct {
	bounds []time.Duration
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Int64    // in nanoseconds
}

func newMeter(bounds []time.Duration) meter {
	return meter{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (m *meter) observe(d time.Duration) {
	i := 0
	for i < len(m.bounds) && d > m.bounds[i] {
		i++
	}
	m.counts[i].Add(1)
	m.sum.Add(int64(d))
}

// addTo adds what was counted to h, which is empty or has the same bounds.
func (m *meter) addTo(h *Histogram) {
	if h.Bounds == nil {
		h.Counts = make([]uint64, len(m.counts))
		for _, b := range m.bounds {
			h.Bounds = append(h.Bounds, b.Seconds())
		}
	}
	for i := range m.counts {
		h.Counts[i] += m.counts[i].Load()
	}
	h.Sum += time.Duration(m.sum.Load()).Seconds()
}
