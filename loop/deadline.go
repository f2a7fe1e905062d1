package loop

import (
	"sync"
	"time"
)

// A deadline ends the waiting of one direction of a Stream, guarded by the mutex of
// that. The zero deadline never passes.
type deadline struct {
	at     time.Time
	passed bool
	timer  *time.Timer
}

// set changes the deadline to at, the zero Time for none, and calls wake with mu held
// when it passes. The caller holds mu.
func (d *deadline) set(mu *sync.Mutex, at time.Time, wake *sync.Cond) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.passed = at, false
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	switch {
	case left <= 0:
		d.passed = true
		wake.Broadcast()
	case d.timer != nil:
		d.timer.Reset(left)
	default:
		d.timer = time.AfterFunc(left, func() {
			mu.Lock()
			defer mu.Unlock()
			d.expire(wake)
		})
	}
}

// expire runs when the timer fires, which it may do late, for an earlier deadline.
func (d *deadline) expire(wake *sync.Cond) {
	if d.at.IsZero() || d.passed {
		return
	}
	if left := time.Until(d.at); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.passed = true
	wake.Broadcast()
}

// stop ends the deadline for good.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = time.Time{}
}
