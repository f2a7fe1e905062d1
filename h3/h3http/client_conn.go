package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A clientConn is a connection of a Transport.
type clientConn struct {
	connection
	t       *Transport
	target  target
	resumes bool // the dial tried to resume a session

	// The mutex of connection, mu, guards these.
	requests int       // how many have begun and have not ended
	leaving  bool      // takes no new requests, and closes when it has none
	places   allowance // what Reserve and Available of a ClientConn need

	// The lock of the Transport guards these. See pool_choice.go.
	silent  bool // the server does not answer
	crowded bool // requests wait for a stream

	confirmed chan struct{} // closed when the handshake is complete

	tls atomic.Pointer[tls.ConnectionState] // set after the handshake

	// The rest belongs to the loop.
	waiting   []*clientExchange // exchanges that wait for a stream, the oldest first
	opening   bool              // some of waiting may get a stream
	connected bool              // the handshake is complete
	closing   bool              // Close was called
	awaited   bool              // requests wait for it
	deserted  bool              // requests have moved away, because the server is silent
	opened    int               // requests that have got a stream since settle
	roomFor   int               // how many responses that nobody reads fit beside another: see grow
	changed   func()            // what NewClientConn was given, or nil
	sole      bool              // NewClientConn has made it

	streamTimer *time.Timer // awaitStreams uses it
}

// newClientConn takes over lc, a connection to tg that was just dialed.
func newClientConn(ctx context.Context, t *Transport, tg target, resumes bool, lc *loop.Conn) (*clientConn, error) {
	c := &clientConn{t: t, target: tg, resumes: resumes, confirmed: make(chan struct{})}
	var err error
	doErr := lc.Do(ctx, func(now time.Time, q *conn.Conn) {
		l := lc.Loop()
		c.init(c, l, q, &t.chunks, &t.tally)
		c.handle = lc
		if c.h3, err = h3.NewConn(q, t.h3Config()); err != nil {
			return
		}
		if t.Extend != nil {
			c.extension = t.Extend(lc, c.h3)
		}
		if c.shared = t.Dial != nil; c.shared {
			l.Share(q, c, false) // the program may have kept lc
			return
		}
		l.SetHandler(q, c)
	})
	if err = errors.Join(doErr, err); err != nil {
		lc.Close(uint64(h3.InternalError), "")
		return nil, err
	}
	return c, nil
}

// begin counts a request. It reports false if c takes no more.
func (c *clientConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving {
		return false
	}
	c.requests++
	c.places.begin()
	return true
}

// unbegin undoes begin, for a caller that sends no request.
func (c *clientConn) unbegin() {
	c.mu.Lock()
	c.requests--
	c.places.unopened--
	c.mu.Unlock()
	c.post(c.settle)
}

func (c *clientConn) isConfirmed() bool {
	select {
	case <-c.confirmed:
		return true
	default:
		return false
	}
}

// tlsState returns the state of the handshake.
func (c *clientConn) tlsState() *tls.ConnectionState {
	if state := c.tls.Load(); state != nil {
		return state
	}
	state := c.handle.TLS()
	if state.HandshakeComplete {
		c.tls.Store(&state)
	}
	return &state
}

func (c *clientConn) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// leave makes c take no new requests.
func (c *clientConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
}

// closeIfIdle closes the connection if it carries no request. Any goroutine may call it.
func (c *clientConn) closeIfIdle() {
	c.mu.Lock()
	idle := c.requests == 0
	c.leaving = c.leaving || idle
	c.mu.Unlock()
	if idle {
		c.closeNow()
	}
}

// closeNow closes the connection. Any goroutine may call it.
func (c *clientConn) closeNow() {
	c.leave()
	c.post(func(time.Time) { c.quic.Close(uint64(h3.NoError), "") })
}

// HandleEvent is part of [loop.Handler].
func (c *clientConn) HandleEvent(now time.Time, ev conn.Event) {
	if ev.Kind == conn.EventConnected && !c.connected {
		c.connected, c.opening = true, true
		close(c.confirmed)
	}
	c.handleChoice(ev)
	c.handleEvent(now, ev)
	if ev.Kind == conn.EventClosed {
		c.t.forget(c, true)
		c.failWaiting(&connectionError{ev.Err})
		c.closed(now, &connectionError{ev.Err})
		c.count(true, 0)
	}
}

// Flush is part of [loop.Handler].
func (c *clientConn) Flush(now time.Time, _ *conn.Conn) { c.flush(now) }

// handleHTTP implements owner.
func (c *clientConn) handleHTTP(now time.Time, e h3.Event) {
	switch e.Kind {
	case h3.EventSettings, h3.EventRequestsAvailable:
		c.opening = true
		if c.crowded {
			c.setCrowded(false)
		}
	case h3.EventGoAway:
		// RFC 9114, Section 5.2. Package h3 cancels the streams of the requests that are not
		// processed.
		c.leave()
		c.t.forget(c, false)
		c.failWaiting(errGoAway)
	}
	if e.Stream == nil {
		return
	}
	if x, ok := e.Stream.UserData.(*exchange); ok {
		c.handleStream(now, x, e)
	}
}

// over notes that x is over. If x has a stream, it releases that. The caller has locked x. As soon
// as it unlocks x, that may carry another request.
func (c *clientConn) over(x *clientExchange) {
	if x.stream != nil {
		c.release(&x.exchange)
	}
	x.state = outgoingOver
	x.unwatchLocked()
	x.leavePlace()
	c.mu.Lock()
	c.requests--
	if !x.opened {
		c.places.unopened--
	}
	x.unheard = true
	queued := x.queued
	c.mu.Unlock()
	x.left(queued)
}

// service does what x needs.
func (c *clientConn) service(now time.Time, x *clientExchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch failed := x.life.failure != nil; x.state {
	case outgoingNew:
		if failed {
			c.over(x)
			return
		}
		if c.deserted {
			c.refuse(x, &unprocessedError{errSilent})
			return
		}
		x.state = outgoingWaiting
		c.waiting = append(c.waiting, x)
		c.opening = true
	case outgoingWaiting:
		if i := slices.Index(c.waiting, x); failed && i >= 0 {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			c.over(x)
		}
	case outgoingOpen:
		if !x.advance(now) || x.dg != nil && !x.closed && !x.aborts.canceled() {
			return
		}
		x.unwatchLocked()
		x.leavePlace()
		if x.delivered() { // before that, the connection must not close
			c.over(x)
		}
	}
}

// settle implements owner.
func (c *clientConn) settle(time.Time) {
	if c.opening {
		c.opening = false
		c.openWaiting()
	}
	c.mu.Lock()
	awaited, leave, ended := c.requests > 0, c.leaving && c.requests == 0, c.err != nil
	open := c.requests - len(c.waiting)
	c.places.unopened -= c.opened
	c.places.credit, c.opened = c.quic.StreamCredit(conn.Bidi), 0
	changed := c.changed != nil && c.places.changed(c.requests, c.leaving || ended)
	c.mu.Unlock()
	if changed {
		go c.changed()
	}
	if awaited != c.awaited {
		c.awaited = awaited
		c.keepAlive()
	}
	if open > c.roomFor && c.connected {
		c.grow(open)
	}
	if leave && !c.closing {
		c.closing = true
		c.quic.Close(uint64(h3.NoError), "")
	}
	c.count(ended, 0)
}

// grow makes the window of the connection as large as the first windows of n responses and another
// one together, as far as conn.Config.MaxData and the memory of the endpoint allow. Otherwise a few
// responses that nobody reads yet would hold up all others, and a program that reads the bodies of
// its responses one after the other would wait for ever.
func (c *clientConn) grow(n int) {
	c.roomFor = n
	c.quic.GrowWindow(int64(n+1) * min(c.quic.Config().InitialMaxStreamData, maxFirstWindow))
}

// maxFirstWindow bounds what grow asks for each response, so that its product does not overflow.
const maxFirstWindow = 1 << 32

// keepAlive keeps a connection that requests wait for from being silent for long. A NAT on the way
// may give it another address, or forget it, when it is the server's turn to send. Then nothing
// else would tell the server.
func (c *clientConn) keepAlive() {
	switch {
	case c.attached != nil && !c.sole: // others decide
	case c.quic.Config().KeepAlive > 0: // the user, or the Dial function, wants it at all times
	case c.awaited:
		c.quic.SetKeepAlive(awaitedKeepAlive)
	default:
		c.quic.SetKeepAlive(0)
	}
}

// awaitedKeepAlive is how long a connection that requests wait for may be silent.
const awaitedKeepAlive = 10 * time.Second

// openWaiting gives streams to requests that wait for one. It begins with the oldest, and opens as
// many as the peer allows.
func (c *clientConn) openWaiting() {
	all := c.waiting
	left, full := all[:0], false
	for _, x := range all {
		if !full {
			switch c.open(x) {
			case errNotReady:
			case conn.ErrStreamLimit:
				full = true
			default:
				continue
			}
		}
		left = append(left, x)
	}
	clear(all[len(left):])
	c.waiting = left
	if full {
		c.setCrowded(true)
		c.awaitStreams()
	}
}

// errNotReady says that a request waits for something other than a stream.
var errNotReady = errors.New("h3http: not ready")

// open sends the header of x. If x has to wait, the error is errNotReady or [conn.ErrStreamLimit].
// Otherwise x is open or has failed.
func (c *clientConn) open(x *clientExchange) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.life.failure != nil {
		c.over(x)
		return nil
	}
	if !c.connected && !x.safe {
		return errNotReady
	}
	s, err := c.openStream(x)
	switch {
	case errors.Is(err, conn.ErrStreamLimit):
		return conn.ErrStreamLimit
	case errors.Is(err, h3.ErrNoExtendedConnect) && c.h3.PeerSettings() == nil:
		return errNotReady
	case errors.Is(err, h3.ErrGoAway), errors.Is(err, conn.ErrClosed):
		c.refuse(x, &unprocessedError{err})
		return nil
	case err != nil: // for example, the fields are too large for the peer
		c.refuse(x, err)
		return nil
	}
	x.opened, x.early, x.state = true, !c.connected, outgoingOpen
	c.opened++
	if !x.bare {
		x.out.opened(x.whole)
	}
	c.bind(&x.exchange, s)
	if x.awaited {
		x.in.cond.Broadcast()
	}
	return nil
}

// openStream opens the stream of x, with the request if it has come.
func (c *clientConn) openStream(x *clientExchange) (*h3.Stream, error) {
	if x.bare {
		return c.h3.OpenStream()
	}
	return c.h3.OpenRequest(x.fields, x.whole)
}

// refuse ends x with err. The caller has locked x.
func (c *clientConn) refuse(x *clientExchange, err error) {
	c.over(x)
	x.failLocked(err)
}

// failWaiting fails the requests that have no stream. They may be sent on other connections.
func (c *clientConn) failWaiting(err error) {
	for _, x := range c.waiting {
		x.mu.Lock()
		c.refuse(x, &unprocessedError{err})
		x.mu.Unlock()
	}
	c.waiting = nil
}
