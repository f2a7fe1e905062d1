package h3http

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// This file is which of the connections to a host a request takes, and when there is to be
// another one: when the server of one is silent, or when no streams are left on any.

// errSilent is why requests leave a connection on which the server does not answer.
var errSilent = errors.New("h3http: the server does not answer on this connection")

// errCrowded is why requests that wait for a stream leave for a connection that has some.
var errCrowded = errors.New("h3http: no streams left on this connection")

// begin returns a connection that takes another request, and counts that; nil if there is none. It
// prefers one with streams left to one where requests wait. The Transport is locked.
func (h *host) begin() *clientConn {
	for _, crowded := range []bool{false, true} {
		for _, c := range h.conns {
			if !c.silent && c.crowded == crowded && c.begin() {
				return c
			}
		}
	}
	return nil
}

// setSilent notes whether the server answers on c, and makes a new connection if requests wait that
// may go there. It runs on the loop's goroutine.
func (c *clientConn) setSilent(silent bool) {
	c.t.mu.Lock()
	c.silent = silent
	c.t.mu.Unlock()
	switch {
	case !silent:
	case c.target.alt != "": // TCP is ready
		c.moveAway()
	default:
		go c.t.replace(c)
	}
}

// replace makes a connection in the place of c, on which the server is silent, and moves what it
// can of the requests once it is there. Until then they stay: it may be the network that is gone.
func (t *Transport) replace(c *clientConn) {
	ended := c.handle.Context()
	for t.isSilent(c) && c.busy() {
		other, _, err := t.get(ended, c.target, false)
		if err == nil {
			select {
			case <-other.confirmed:
				c.leave()
				t.forget(c, false)
				c.post(func(time.Time) { c.moveAway() })
			case <-other.handle.Context().Done():
			case <-ended.Done():
			}
			other.unbegin()
		}
		select {
		case <-ended.Done():
			return
		case <-time.After(replaceRetry):
		}
	}
}

// replaceRetry is how long replace waits before it tries again.
const replaceRetry = time.Second

func (t *Transport) isSilent(c *clientConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.silent
}

// busy reports whether c carries requests.
func (c *clientConn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests > 0
}

// moveAway fails the requests of a silent connection that may be sent elsewhere: those that have no
// stream, and those that may be repeated and of whose response nothing has come.
func (c *clientConn) moveAway() {
	c.deserted = true
	c.failWaiting(errSilent)
	for _, id := range slices.Sorted(maps.Keys(c.active)) {
		x := c.active[id]
		x.mu.Lock()
		if x.req.movable && x.in.head == nil && x.in.info == nil && x.in.err == nil {
			x.cancelLocked(h3.RequestCancelled, &connectionError{errSilent})
		}
		x.mu.Unlock()
	}
}

// setCrowded notes whether c has no streams left. It runs on the loop's goroutine.
func (c *clientConn) setCrowded(crowded bool) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.crowded = crowded
}

// awaitStreams has another connection made if requests still wait for a stream after a moment. A
// burst of requests passes by itself. It runs on the loop's goroutine.
func (c *clientConn) awaitStreams() {
	if c.streamTimer != nil {
		return
	}
	c.streamTimer = time.AfterFunc(2*c.quic.Stats().SmoothedRTT+streamWait, func() {
		c.post(func(time.Time) {
			c.streamTimer = nil
			if len(c.waiting) > 0 {
				go c.t.relieve(c)
			}
		})
	})
}

// streamWait is how long requests wait for a stream, and two round trips more, before another
// connection is made.
const streamWait = 25 * time.Millisecond

// relieve moves the requests of c that wait for a stream to another connection, which it makes if
// there is none with streams left and MaxConnsPerHost allows.
func (t *Transport) relieve(c *clientConn) {
	t.mu.Lock()
	h := t.hosts[c.target]
	if t.closed || h == nil {
		t.mu.Unlock()
		return
	}
	answering := 0
	for _, other := range h.conns {
		if !other.silent {
			answering++
		}
	}
	room := slices.ContainsFunc(h.conns, func(other *clientConn) bool { return !other.crowded && !other.silent })
	if !room && t.MaxConnsPerHost > 0 && answering >= t.MaxConnsPerHost {
		t.mu.Unlock()
		return
	}
	if !room {
		d := t.startDial(context.Background(), c.target, false, h)
		t.mu.Unlock()
		<-d.done
		room = d.err == nil
	} else {
		t.mu.Unlock()
	}
	c.post(func(time.Time) {
		if room {
			c.failWaiting(errCrowded)
		} else if len(c.waiting) > 0 {
			c.awaitStreams()
		}
	})
}

// handleChoice processes the events of conn that matter for the choice of a connection.
func (c *clientConn) handleChoice(ev conn.Event) {
	switch ev.Kind {
	case conn.EventSilent:
		c.setSilent(true)
	case conn.EventAnswered:
		c.setSilent(false)
	case conn.EventClosed:
		if c.streamTimer != nil {
			c.streamTimer.Stop()
		}
	}
}
