package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// exchanges does exchanges that block, and measures how long each took. A session embeds it.
type exchanges struct {
	// does one exchange, and may use the memory of b, which has 8 bytes at least, and room for a
	// small answer: it is too small to send from
	one func(b []byte, down, up int64) error
	// makes the exchanges that are in progress fail
	stop func()

	mu    sync.Mutex
	times histogram
}

func (e *exchanges) exchange(ops, width int, down, up int64) error {
	var left atomic.Int64
	left.Store(int64(ops))
	width = min(width, ops)
	errs := make(chan error, width)
	began := time.Now()
	for range width {
		go func() { errs <- e.work(&left, began, down, up) }()
	}
	var first error
	for range width {
		if err := <-errs; err != nil && first == nil {
			first = err
			e.stop()
		}
	}
	return first
}

// work does exchanges, one after another, while some are left.
func (e *exchanges) work(left *atomic.Int64, began time.Time, down, up int64) error {
	// Large buffers lie at the same places of the caches. Small answers do without them.
	b := make([]byte, min(max(down, 8), 256<<10))
	// The goroutines share a histogram, which stays in the caches. So they add a few times at once.
	var took [16]time.Duration
	n := 0
	start := time.Since(began) // reads the monotonic clock alone, as the loop does
	for left.Add(-1) >= 0 {
		if err := e.one(b, down, up); err != nil {
			return err
		}
		end := time.Since(began)
		took[n] = end - start
		start = end
		if n++; n == len(took) {
			e.add(took[:])
			n = 0
		}
	}
	e.add(took[:n])
	return nil
}

// add counts how long exchanges took.
func (e *exchanges) add(took []time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range took {
		e.times.add(d)
	}
}

func (e *exchanges) latency() *histogram { return &e.times }
