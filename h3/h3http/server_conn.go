package h3http

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
	"github.com/lazoquic/lazo/loop"
)

// A serverConn is a connection of a Server. It is the [loop.Handler] that feeds HTTP/3 and hands
// each request to a goroutine.
type serverConn struct {
	connection
	s     *Server
	crew  *crew // set by Server.register
	local netip.AddrPort

	base     *baseContext
	connOnce sync.Once
	connCtx  context.Context // parent of the contexts of all requests: see connContext
	ctx      handlerContext  // of connCtx; done when the connection has ended

	// The rest belongs to the loop.
	tls        *tls.ConnectionState // set after the handshake
	remote     netip.AddrPort
	remoteText string // remote as a string
	life       lifetime.Lifetime

	stallTimeout, deliveryTimeout time.Duration
	stallAt                       time.Time // to look for responses that clients do not take
	stalled                       uint64
}

func newServerConn(s *Server, base *baseContext, l *loop.Loop, q *conn.Conn) (*serverConn, error) {
	c := &serverConn{s: s, base: base, local: q.LocalAddr()}
	if !c.local.IsValid() {
		c.local = l.Group().LocalAddr()
	}
	c.init(c, l, q, &s.chunks, &s.tally)
	c.life = lifetime.New(
		lifetime.Timeout(s.ReadHeaderTimeout, defaultReadHeaderTimeout),
		lifetime.Timeout(s.IdleTimeout, defaultIdleTimeout))
	c.stallTimeout = lifetime.Timeout(s.StallTimeout, defaultStallTimeout)
	c.deliveryTimeout = lifetime.Timeout(s.DeliveryTimeout, defaultDeliveryTimeout)
	var err error
	if c.h3, err = h3.NewConn(q, s.h3Config()); err != nil {
		return nil, err
	}
	if s.Extend != nil {
		c.extension = s.Extend(c.handle, c.h3)
	}
	return c, nil
}

// HandleEvent is part of [loop.Handler].
func (c *serverConn) HandleEvent(now time.Time, ev conn.Event) {
	c.handleEvent(now, ev)
	if ev.Kind == conn.EventClosed {
		c.loseActive(ev.Err)
		c.closed(now, &connectionError{ev.Err})
		c.ctx.end(cmp.Or(ev.Err, context.Canceled))
		c.count(true, c.stalled)
		c.s.forget(c)
	}
}

// Flush is part of [loop.Handler].
func (c *serverConn) Flush(now time.Time, _ *conn.Conn) { c.flush(now) }

// handleHTTP implements owner.
func (c *serverConn) handleHTTP(now time.Time, e h3.Event) {
	if e.Stream == nil {
		return
	}
	if x, ok := e.Stream.UserData.(*exchange); ok {
		c.handleStream(now, x, e)
	} else if e.Kind == h3.EventFields {
		c.start(e)
	}
}

// start hands a request to a goroutine.
func (c *serverConn) start(e h3.Event) {
	x := c.crew.exchange(c.s)
	x.begin(c, e)
	c.crew.add(x)
}

// tlsState returns the state of the handshake for the request on s. If the request may be a replay,
// the handshake does not count as complete.
func (c *serverConn) tlsState(s *h3.Stream) *tls.ConnectionState {
	if c.tls != nil {
		return c.tls
	}
	state := c.quic.TLS()
	if c.quic.HandshakeComplete() {
		state.HandshakeComplete = true
		c.tls = &state
	} else {
		state.HandshakeComplete = false
	}
	return &state
}

// remoteAddr returns the address of the client as a string. It keeps the string for later calls.
func (c *serverConn) remoteAddr() string {
	if addr := c.quic.RemoteAddr(); addr != c.remote {
		c.remote, c.remoteText = addr, addr.String()
	}
	return c.remoteText
}

// settle implements owner. It does what is due, and sets the timer.
func (c *serverConn) settle(now time.Time) {
	c.giveUp(now)
	c.life.Settle(now, c.h3, c.stallAt)
	c.count(false, c.stalled)
}

// drain announces that no more requests are taken (RFC 9114, Section 5.2). The connection ends
// after the requests that it has.
func (c *serverConn) drain(now time.Time) {
	c.life.Drain(c.h3)
	c.settle(now)
}
