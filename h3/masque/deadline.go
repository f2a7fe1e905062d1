package masque

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/lazoquic/lazo/internal/deadline"
)

// A pastDeadline is a deadline that may move while goroutines wait for it.
type pastDeadline struct {
	mu   sync.Mutex
	cond sync.Cond // Deadline takes one; nobody waits for it
	d    deadline.Deadline
	past chan struct{} // closed when it has passed
}

func newDeadline() *pastDeadline {
	d := &pastDeadline{past: make(chan struct{})}
	d.cond.L = &d.mu
	return d
}

// set moves the deadline. The zero Time means none.
func (d *pastDeadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.d.Passed() {
		d.past = make(chan struct{})
	}
	d.d.Set(&d.cond, t, func() { close(d.past) })
}

// wait returns a channel that is closed when the deadline passes.
func (d *pastDeadline) wait() <-chan struct{} {
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
