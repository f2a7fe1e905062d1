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
	for range width {
		go func() { errs <- e.work(&left, down, up) }()
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
func (e *exchanges) work(left *atomic.Int64, down, up int64) error {
	// Large buffers lie at the same places of the caches. Small answers do without them.
	b := make([]byte, min(max(down, 8), 256<<10))
	times := new(histogram) // on a stack it would lie as the buffers do
	start := time.Now()
	for left.Add(-1) >= 0 {
		if err := e.one(b, down, up); err != nil {
			return err
		}
		end := time.Now()
		times.add(end.Sub(start))
		start = end
	}
	e.mu.Lock()
	e.times.merge(times)
	e.mu.Unlock()
	return nil
}

func (e *exchanges) latency() *histogram { return &e.times }
