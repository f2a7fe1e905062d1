// Package deadline implements the deadlines of Conns and Streams that block.
package deadline

import (
	"sync"
	"time"
)

// A Deadline ends the waiting of those who share a [sync.Cond]. Its Locker guards the
// Deadline: whoever calls a method holds it. The zero Deadline never passes, and neither does a nil
// one, of which only Passed and Stop can be called.
type Deadline struct {
	at     time.Time // zero if there is none
	passed bool
	timer  *time.Timer
	then   func()
}

// Set moves the Deadline to at, the zero Time for none. From at on, Passed is true; cond is
// woken then, and then is called, if it is not nil, with the Locker of cond held: within Set
// if at is in the past. All calls have the same cond.
func (d *Deadline) Set(cond *sync.Cond, at time.Time, then func()) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.passed, d.then = at, false, then
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	switch {
	case left <= 0:
		d.pass(cond)
	case d.timer != nil:
		d.timer.Reset(left)
	default:
		d.timer = time.AfterFunc(left, func() {
			cond.L.Lock()
			defer cond.L.Unlock()
			d.expire(cond)
		})
	}
}

// Passed reports whether the Deadline has passed since it was set.
func (d *Deadline) Passed() bool { return d != nil && d.passed }

// Stop ends the Deadline for good. One that has passed stays so.
func (d *Deadline) Stop() {
	if d == nil {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = time.Time{}
}

// expire runs when the timer fires. The timer may fire late, for an earlier deadline.
func (d *Deadline) expire(cond *sync.Cond) {
	if d.at.IsZero() || d.passed {
		return
	}
	if left := time.Until(d.at); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.pass(cond)
}

func (d *Deadline) pass(cond *sync.Cond) {
	d.passed = true
	cond.Broadcast()
	if d.then != nil {
		d.then()
	}
}

// Used reports whether the Deadline may still come: it has had a time, by which a timer was set.
func (d *Deadline) Used() bool { return d.timer != nil }
