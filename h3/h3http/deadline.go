package h3http

import (
	"sync"
	"time"
)

// A deadline bounds the waiting of one direction of an exchange. The lock of the
// exchange guards it.
type deadline struct {
	timer   *time.Timer
	expired bool
	set     uint64 // counts calls of set, to tell a timer that was replaced as it fired
}

// reset replaces the deadline by t; the zero Time is none. When it passes, cond,
// whose lock is held, wakes up, and then runs with the lock held.
func (d *deadline) reset(cond *sync.Cond, t time.Time, then func()) {
	d.stop()
	d.expired = false
	if t.IsZero() {
		return
	}
	set := d.set
	expire := func() {
		d.expired = true
		cond.Broadcast()
		then()
	}
	wait := time.Until(t)
	if wait <= 0 {
		expire()
		return
	}
	d.timer = time.AfterFunc(wait, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		if d.set == set {
			expire()
		}
	})
}

// stop gives up the timer; what has expired stays so.
func (d *deadline) stop() {
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
