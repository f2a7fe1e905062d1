package h3http

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A serverConn is a connection of a Server: the [loop.Handler] that feeds HTTP/3 and
// starts a goroutine for each request.
type serverConn struct {
	connection
	s     *Server
	local netip.AddrPort
	timer connTimer

	baseOnce sync.Once
	base     context.Context // of all requests: see baseContext
	ctx      context.Context // done when the connection has ended
	end      context.CancelCauseFunc

	// The rest is the loop's.
	tls        *tls.ConnectionState // after the handshake
	remote     netip.AddrPort
	remoteText string // remote as a string
	draining   bool
}

func newServerConn(s *Server, l *loop.Loop, q *conn.Conn) (*serverConn, error) {
	c := &serverConn{s: s, local: q.LocalAddr()}
	if !c.local.IsValid() {
		c.local = l.Group().LocalAddr()
	}
	c.init(c, l, q, &s.chunks)
	c.stopCode = h3.NoError // RFC 9114, Section 4.1
	if s.QUICConfig != nil {
		c.datagramPolicy = s.QUICConfig.DatagramPolicy
	}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	c.timer.init(s)
	var err error
	c.h3, err = h3.NewConn(q, s.h3Config())
	return c, err
}

// HandleEvent is part of [loop.Handler].
func (c *serverConn) HandleEvent(now time.Time, ev conn.Event) {
	if !c.draining { // what is opened after a GOAWAY is rejected
		c.timer.observe(now, ev)
	}
	if ev.Kind == conn.EventTimer {
		c.timeout(now)
	}
	c.handleEvent(now, ev)
	for e, ok := c.h3.NextEvent(); ok; e, ok = c.h3.NextEvent() {
		c.handleHTTP(now, e)
	}
	if ev.Kind == conn.EventClosed {
		c.closed(&connectionError{ev.Err})
		c.end(ev.Err)
		c.s.forget(c)
		return
	}
	c.settle(now)
}

// Flush is part of [loop.Handler].
func (c *serverConn) Flush(time.Time, *conn.Conn) {}

func (c *serverConn) handleHTTP(now time.Time, e h3.Event) {
	if e.Stream == nil {
		return
	}
	x, ok := e.Stream.UserData.(*exchange)
	if !ok {
		if e.Kind == h3.EventFields {
			c.start(e)
		} else if e.Kind == h3.EventCanceled {
			c.timer.gotHeader(e.Stream.ID())
			e.Stream.Release()
		}
		return
	}
	x.mu.Lock()
	switch e.Kind {
	case h3.EventFields:
		x.gotTrailer(e.Fields)
	case h3.EventCanceled:
		x.peerCanceled()
	}
	x.mu.Unlock()
	c.service(now, x)
}

// start starts the goroutine of a request.
func (c *serverConn) start(e h3.Event) {
	x := newExchange(&c.connection)
	c.bind(x, e.Stream)
	c.timer.gotHeader(x.id)
	if e.End {
		x.endIn(io.EOF)
	}
	go c.serveRequest(&arrival{
		x:      x,
		fields: slices.Clone(e.Fields),
		end:    e.End,
		tls:    c.tlsState(e.Stream),
		remote: c.remoteAddr(),
	})
}

// tlsState returns the state of the handshake as the request on s sees it: not
// complete if the request may be a replay.
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

// remoteAddr returns the address of the client as a string, which it keeps.
func (c *serverConn) remoteAddr() string {
	if addr := c.quic.RemoteAddr(); addr != c.remote {
		c.remote, c.remoteText = addr, addr.String()
	}
	return c.remoteText
}

// service is part of owner. The stream is given back, which gives the client credit
// for another one, once the handler has returned and the response has arrived or
// cannot: running handlers are bounded by the streams, however fast these are reset.
func (c *serverConn) service(now time.Time, x *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream != nil && x.advance(now) && x.done && (x.acked || x.canceled || x.out.err != nil) {
		c.release(x)
	}
}

// settle is part of owner.
func (c *serverConn) settle(now time.Time) {
	c.timer.busy(now, len(c.active) > 0)
	if c.draining && len(c.active) == 0 && c.timer.waiting() == 0 {
		c.timer.linger(now, c.quic.Stats().SmoothedRTT)
	}
	if at := c.timer.arm(); !at.IsZero() {
		c.quic.SetTimer(at)
	}
}

// timeout runs when the timer of the connection fires.
func (c *serverConn) timeout(now time.Time) {
	switch c.timer.expired(now) {
	case expiredHeader:
		// A client that does not complete its request for so long means no good,
		// and a stream without a request can be given back to nobody.
		c.quic.Close(uint64(h3.ExcessiveLoad), "header section took too long")
	case expiredIdle:
		c.drain(now)
	case expiredLinger:
		c.quic.Close(uint64(h3.NoError), "")
	}
}

// drain announces that no more requests are taken (RFC 9114, Section 5.2), and
// makes the connection end after those that there are.
func (c *serverConn) drain(now time.Time) {
	if c.draining {
		return
	}
	c.draining = true
	if err := c.h3.GoAway(); err != nil {
		c.quic.Close(uint64(h3.NoError), "")
	}
	c.settle(now)
}
