package h3loop

import (
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
	"github.com/lazoquic/lazo/loop"
)

// A serverConn is a connection of a Server. It is the [loop.Handler] that feeds HTTP/3. All of it
// belongs to the loop.
type serverConn struct {
	s    *Server
	l    *loop.Loop
	http *h3.Conn
	quic *conn.Conn

	now     time.Time // of the events that are handled; zero outside of events
	later   func(time.Time)
	settled bool // later was posted, and has not run

	life            lifetime.Lifetime
	stallTimeout    time.Duration // 0 for none
	deliveryTimeout time.Duration // 0 for none

	open       requests   // all that have not ended
	blocked    requests   // those whose client keeps the response waiting, by due
	delivering requests   // those whose response waits for its acknowledgment, by due
	over       []*Request // ended since the last Flush: the Handler may still hold them
	free       []*Request

	counted h3.Stats // what the Server has of this connection
	stalled uint64   // responses that were given up since it was told
	failed  error    // the error of EventClosed
}

// maxFree is how many requests that ended are kept for reuse.
const maxFree = 64

// requestCost is what a Request counts in the account of the connection, in bytes, also while it
// waits for reuse.
const requestCost = 384

func newServerConn(s *Server, l *loop.Loop, q *conn.Conn) (*serverConn, error) {
	c := &serverConn{s: s, l: l, quic: q}
	c.life = lifetime.New(
		lifetime.Timeout(s.ReadHeaderTimeout, defaultReadHeaderTimeout),
		lifetime.Timeout(s.IdleTimeout, defaultIdleTimeout))
	c.stallTimeout = lifetime.Timeout(s.StallTimeout, defaultStallTimeout)
	c.deliveryTimeout = lifetime.Timeout(s.DeliveryTimeout, defaultDeliveryTimeout)
	c.later = c.runLater
	var err error
	c.http, err = h3.NewConn(q, s.h3Config())
	return c, err
}

// HandleEvent is part of [loop.Handler].
func (c *serverConn) HandleEvent(now time.Time, ev conn.Event) {
	c.now = now
	c.http.HandleEvent(now, ev)
	c.handOut()
	if ev.Kind == conn.EventClosed {
		c.close(ev.Err)
	}
	c.now = time.Time{}
}

// Flush is part of [loop.Handler].
func (c *serverConn) Flush(now time.Time, _ *conn.Conn) { c.settle(now) }

// handOut hands out the events of HTTP/3.
func (c *serverConn) handOut() {
	for e, ok := c.http.NextEvent(); ok; e, ok = c.http.NextEvent() {
		if e.Stream == nil {
			continue
		}
		if r, ok := e.Stream.UserData.(*Request); ok {
			r.handle(e)
		} else if e.Kind == h3.EventFields {
			c.begin(e)
		}
	}
}

// begin hands a request to the Handler.
func (c *serverConn) begin(e h3.Event) {
	r := c.newRequest(e.Stream)
	r.takeFields(e.Fields)
	r.hasBody = !e.End
	c.s.Handler(r)
	if r.follower != nil {
		r.holdFields()
		return
	}
	if r.phase == answering {
		r.Reset(h3.InternalError)
	}
	r.dropFields()
}

// newRequest returns a Request over s.
func (c *serverConn) newRequest(s *h3.Stream) *Request {
	var r *Request
	if n := len(c.free); n > 0 {
		r = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		r = new(Request)
		c.quic.Hold(requestCost)
	}
	*r = Request{c: c, stream: s, rest: r.rest, memory: r.memory}
	s.UserData = r
	c.open.PushBack(&r.place, r)
	return r
}

// recycle keeps for reuse the requests that have ended.
func (c *serverConn) recycle() {
	for i, r := range c.over {
		c.over[i] = nil
		r.dropFields()
		if cap(r.rest) > maxKept {
			r.rest = nil
		}
		if len(c.free) < maxFree {
			r.account()
			c.free = append(c.free, r)
		} else {
			c.quic.Hold(int64(-requestCost - r.memory))
		}
	}
	c.over = c.over[:0]
}

// settle does what is due, and sets the timer.
func (c *serverConn) settle(now time.Time) {
	if c.failed != nil {
		c.over = nil
		return
	}
	c.now = now
	c.giveUp()
	c.now = time.Time{}
	c.recycle()
	c.life.Settle(now, c.http, c.dueAt())
	c.count()
}

// soon makes the loop hand out events and settle, if it is not about to do so. Functions that were
// posted to the loop may have used a Request.
func (c *serverConn) soon() {
	if c.now.IsZero() && !c.settled {
		c.settled = c.l.Post(c.later)
	}
}

// runLater does what soon has asked for.
func (c *serverConn) runLater(now time.Time) {
	c.settled = false
	if c.failed != nil {
		return
	}
	c.now = now
	c.handOut()
	c.now = time.Time{}
	c.settle(now)
}

// time returns the present time.
func (c *serverConn) time() time.Time {
	if c.now.IsZero() {
		return time.Now()
	}
	return c.now
}

// drain announces that no more requests are taken. The connection ends after the requests that it
// has.
func (c *serverConn) drain(now time.Time) {
	if c.failed == nil {
		c.life.Drain(c.http)
		c.settle(now)
	}
}

// close tells the Followers that the connection has ended. What was received can still be read
// then.
func (c *serverConn) close(err error) {
	c.failed = err
	lost := 0
	for r := c.open.First(); r != nil; r = c.open.First() {
		lost++
		r.last(h3.Event{Kind: h3.EventClosed, Err: err})
	}
	c.count()
	c.s.lose(lost, err)
	c.s.forget(c)
}

// count tells the Server what has happened since it was told.
func (c *serverConn) count() {
	st := c.http.Stats()
	if c.failed != nil {
		st.Open, st.FieldBytes = 0, 0
	}
	if st != c.counted || c.stalled > 0 {
		c.s.count(&c.counted, &st, c.stalled)
		c.counted, c.stalled = st, 0
	}
}
