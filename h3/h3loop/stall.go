package h3loop

import (
	"os"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
)

// progress is how many bytes of a response a client has to take in Server.StallTimeout.
const progress = 16 << 10

// block notes that the client keeps the response waiting.
func (r *Request) block() {
	r.blocked = true
	if r.due.IsZero() && r.c.stallTimeout > 0 {
		r.wait()
		r.c.soon()
	}
}

// wait gives the client Server.StallTimeout from now on.
func (r *Request) wait() {
	r.due, r.mark = r.c.time().Add(r.c.stallTimeout), r.sent()
	r.c.blocked.PushBack(&r.turn, r)
}

// sent returns how many bytes of the response were sent, but for the frames around them. It is only
// good for differences.
func (r *Request) sent() int64 { return r.written - int64(r.stream.Unsent()) }

// unblock notes that the client does not keep the response waiting any more.
func (r *Request) unblock() {
	if !r.due.IsZero() {
		r.c.blocked.Remove(&r.turn)
		r.due = time.Time{}
	}
}

// awaitDelivery notes that the response has ended, and is to be acknowledged.
func (r *Request) awaitDelivery() {
	c := r.c
	r.unblock()
	if c.deliveryTimeout > 0 {
		r.due = c.time().Add(c.deliveryTimeout)
		c.delivering.PushBack(&r.turn, r)
		c.soon()
	}
}

// leaveLists takes the request out of the lists that it is in.
func (r *Request) leaveLists() {
	c := r.c
	c.open.Remove(&r.place)
	switch {
	case r.due.IsZero():
	case r.phase == delivering:
		c.delivering.Remove(&r.turn)
	default:
		c.blocked.Remove(&r.turn)
	}
	r.due = time.Time{}
}

// dueAt returns when the next response is given up.
func (c *serverConn) dueAt() (at time.Time) {
	if r := c.blocked.First(); r != nil {
		at = r.due
	}
	if r := c.delivering.First(); r != nil {
		at = lifetime.Earlier(at, r.due)
	}
	return at
}

// giveUp ends the requests whose clients have kept a response waiting for too long.
func (c *serverConn) giveUp() {
	for r := c.blocked.First(); r != nil && lifetime.Due(r.due, c.now); r = c.blocked.First() {
		if r.sent()-r.mark < progress {
			r.giveUp()
			continue
		}
		c.blocked.Remove(&r.turn)
		r.wait()
	}
	for r := c.delivering.First(); r != nil && lifetime.Due(r.due, c.now); r = c.delivering.First() {
		r.giveUp()
	}
}

// giveUp resets the response, even if all of it was handed to the stream.
func (r *Request) giveUp() {
	r.c.stalled++
	r.c.s.lose(1, os.ErrDeadlineExceeded)
	r.stream.Abandon(h3.ExcessiveLoad)
	r.last(h3.Event{Kind: h3.EventCanceled, Code: h3.ExcessiveLoad, Err: os.ErrDeadlineExceeded})
}
