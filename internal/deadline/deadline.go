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
	runs   int // of the function of timer that are to come, or under way
	then   func()
}

// Set moves the Deadline to at, the zero Time for none. From at on, Passed is true; cond is
// woken then, and then is called, if it is not nil, with the Locker of cond held: within Set
// if at is in the past. All calls have the same cond.
func (d *Deadline) Set(cond *sync.Cond, at time.Time, then func()) {
	d.stopTimer()
	d.at, d.passed, d.then = at, false, then
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	switch {
	case left <= 0:
		d.pass(cond)
	case d.timer != nil:
		d.restart(left)
	default:
		d.runs++
		d.timer = time.AfterFunc(left, func() {
			cond.L.Lock()
			defer cond.L.Unlock()
			d.runs--
			d.expire(cond)
		})
	}
}

func (d *Deadline) restart(left time.Duration) {
	if !d.timer.Reset(left) {
		d.runs++
	}
}

func (d *Deadline) stopTimer() {
	if d.timer != nil && d.timer.Stop() {
		d.runs--
	}
}

// Passed reports whether the Deadline has passed since it was set.
func (d *Deadline) Passed() bool { return d != nil && d.passed }

// Stop ends the Deadline for good. One that has passed stays so.
func (d *Deadline) Stop() {
	if d == nil {
		return
	}
	d.stopTimer()
	d.at = time.Time{}
}

// expire runs when the timer fires. The timer may fire late, for an earlier deadline.
func (d *Deadline) expire(cond *sync.Cond) {
	if d.at.IsZero() || d.passed {
		return
	}
	if left := time.Until(d.at); left > 0 {
		d.restart(left)
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

// InUse reports whether a timer refers to the Deadline still. Otherwise its memory can be used for
// another one, after it is zero again.
func (d *Deadline) InUse() bool { return d.runs > 0 }
