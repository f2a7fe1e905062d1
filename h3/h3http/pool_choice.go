package h3http

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// This file decides which connection to a host a request takes, and when another connection is
// made. One is made when the server is silent on one, or when no connection has streams left.

// errSilent is the error of requests that leave a connection on which the server does not answer.
var errSilent = errors.New("h3http: the server does not answer on this connection")

// errCrowded is the error of requests that leave a connection without streams for another one.
var errCrowded = errors.New("h3http: no streams left on this connection")

// begin returns a connection that takes another request, and counts the request. It returns nil if
// there is none. It prefers a connection with streams left to one where requests wait. The caller
// has locked the Transport.
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

// setSilent notes whether the server answers on c. If it does not, and requests wait that may go
// elsewhere, it makes a new connection. It runs on the loop's goroutine.
func (c *clientConn) setSilent(silent bool) {
	c.t.mu.Lock()
	c.silent = silent
	c.t.mu.Unlock()
	switch {
	case !silent:
		c.deserted = false
	case c.target.alt != "": // requests can go over TCP
		c.moveAway()
	default:
		go c.t.replace(c)
	}
}

// replace makes another connection in the place of c, on which the server is silent. Once it is
// there, replace moves the requests that can move. Until then they stay, because the whole network
// may be down. If the server has answered on c meanwhile, it was only late, and nothing moves:
// a busy server would get requests twice, and a connection more for each that waits.
func (t *Transport) replace(c *clientConn) {
	ended := c.handle.Context()
	for t.isSilent(c) && c.busy() {
		if other, made := t.instead(ended, c); other != nil {
			select {
			case <-other.confirmed:
				if !c.post(func(time.Time) { c.giveWay(other, made) }) {
					other.unbegin()
				}
			case <-other.handle.Context().Done():
				other.unbegin()
			case <-ended.Done():
				other.unbegin()
			}
		}
		select {
		case <-ended.Done():
			return
		case <-time.After(replaceRetry):
		}
	}
}

// instead returns a connection that may take the requests of c, or nil. It counts one request for
// the caller. made says that the connection was made for this.
func (t *Transport) instead(ctx context.Context, c *clientConn) (other *clientConn, made bool) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, false
	}
	h := t.host(c.target)
	for _, other := range h.conns {
		if other != c && !other.silent && other.begin() {
			t.mu.Unlock()
			return other, false
		}
	}
	d := t.startDial(ctx, c.target, false, h)
	t.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-d.done:
		if d.made != nil && d.made.begin() {
			return d.made, true
		}
	}
	return nil, false
}

// giveWay moves the requests of c to other, which has counted one for this. made says that other
// was made for it. It runs on the loop's goroutine.
func (c *clientConn) giveWay(other *clientConn, made bool) {
	silent := c.quic.Silent()
	if silent {
		c.leave()
		c.t.forget(c, false)
		c.moveAway()
	}
	other.unbegin()
	if !silent && made {
		other.closeIfIdle()
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

// moveAway fails the requests of a silent connection that may be sent elsewhere. These are requests
// without a stream, and requests that may be repeated and whose response has not begun.
func (c *clientConn) moveAway() {
	c.deserted = true
	c.failWaiting(errSilent)
	for x := range c.all() {
		x := x.half.(*clientExchange)
		x.mu.Lock()
		if x.movable && x.head == nil && x.info == nil && x.in.err == nil {
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

// awaitStreams makes another connection if requests still wait for a stream after a moment. A short
// burst of requests needs none. It runs on the loop's goroutine.
func (c *clientConn) awaitStreams() {
	if c.streamTimer != nil || c.attached != nil {
		return
	}
	c.streamTimer = time.AfterFunc(2*c.quic.Stats().SmoothedRTT+streamWait, func() {
		c.post(func(time.Time) {
			c.streamTimer = nil
			if len(c.waiting) > 0 {
				go c.t.relieve(c, c.quic.StreamLimit(conn.Bidi) == 0)
			}
		})
	})
}

// streamWait is how long requests wait for a stream before another connection is made. Two round
// trips are added to it.
const streamWait = 25 * time.Millisecond

// relieve moves the requests of c that wait for a stream to another connection. If none has streams
// left, it makes one, as far as MaxConnsPerHost allows. If barren is set, the server has never
// allowed a stream on c. It would allow none on another connection either, and that one would bring
// the next.
func (t *Transport) relieve(c *clientConn, barren bool) {
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
	if !room && !barren {
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

// handleChoice processes the events of conn on which the choice of a connection depends.
func (c *clientConn) handleChoice(ev conn.Event) {
	if c.attached != nil {
		return // there is no choice
	}
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
