package masque

import (
	"context"
	"os"
	"sync"
	"time"
)

// A deadline is a point in time that those who wait can see move.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	past  chan struct{} // closed when it has passed
}

func newDeadline() *deadline { return &deadline{past: make(chan struct{})} }

// set moves the deadline; the zero Time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.past // the timer has fired, and closes it now
	}
	d.timer = nil
	if isClosed(d.past) {
		d.past = make(chan struct{})
	}
	past := d.past
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		close(past)
	default:
		d.timer = time.AfterFunc(wait, func() { close(past) })
	}
}

// wait returns a channel that is closed when the deadline passes.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.past
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A deadlineContext is a context that is done when a deadline has passed.
type deadlineContext struct{ past <-chan struct{} }

var _ context.Context = deadlineContext{}

func (c deadlineContext) Deadline() (t time.Time, ok bool) { return time.Time{}, false }
func (c deadlineContext) Done() <-chan struct{}            { return c.past }
func (c deadlineContext) Value(any) any                    { return nil }

func (c deadlineContext) Err() error {
	if isClosed(c.past) {
		return os.ErrDeadlineExceeded
	}
	return nil
}
