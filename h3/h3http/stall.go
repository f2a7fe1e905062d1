package h3http

import (
	"os"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
)

// Defaults of [Server].
const (
	defaultStallTimeout    = time.Minute
	defaultDeliveryTimeout = 5 * time.Minute
)

// A stall is how long a client may keep a response waiting. It belongs to the loop.
type stall struct {
	due  time.Time // when the response is given up; zero if it does not wait
	sent int64     // bytes of content that had been sent when due was set
	last bool      // the handler has returned: due does not move any more
}

// watchStall sets when the response of x is given up. The caller has locked x, which has its
// stream.
func (c *serverConn) watchStall(now time.Time, x *serverExchange) {
	s, waits := &x.stall, x.out.buf.Len() > 0 || len(x.out.sections) > 0
	// What the stream has taken and not sent is not with the client. The frames around the content
	// make no difference that matters.
	sent := int64(x.out.buf.Taken()) - int64(x.stream.Unsent())
	switch {
	case s.last:
		return
	case x.closed:
		s.last, s.due = true, time.Time{}
		if c.deliveryTimeout > 0 {
			s.due = now.Add(c.deliveryTimeout)
		}
	case !waits || x.dg != nil || c.stallTimeout <= 0:
		s.due = time.Time{} // the user of a stream that was taken over sets deadlines
	case s.due.IsZero() || sent-s.sent >= chunkSize:
		s.due, s.sent = now.Add(c.stallTimeout), sent
	}
	c.stallAt = lifetime.Earlier(c.stallAt, s.due)
}

// giveUp ends the exchanges whose clients have kept a response waiting for too long.
func (c *serverConn) giveUp(now time.Time) {
	if !lifetime.Due(c.stallAt, now) {
		return
	}
	c.stallAt = time.Time{}
	for x := range c.all() {
		x := x.half.(*serverExchange)
		x.mu.Lock()
		if x.stream != nil {
			c.watchStall(now, x) // the client may have taken something since the stream was served
		}
		switch at := x.stall.due; {
		case x.aborts.canceled():
		case lifetime.Due(at, now):
			c.abandon(x)
		default:
			c.stallAt = lifetime.Earlier(c.stallAt, at)
		}
		x.mu.Unlock()
	}
}

// abandon resets the stream of x, even if everything was handed to it. The caller has locked x.
func (c *serverConn) abandon(x *serverExchange) {
	c.stalled++
	c.s.lose(1, os.ErrDeadlineExceeded)
	x.giveUp(h3.ExcessiveLoad, os.ErrDeadlineExceeded)
	if x.closed {
		x.release()
	}
}
