package h3http

import (
	"context"
	"errors"
	"net"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// This file has connections that a Transport makes for those who choose the connection of each
// request themselves.

// ErrNoPlace is the error of [ClientConn.Reserve] if the server allows no more requests for now.
var ErrNoPlace = errors.New("h3http: the server allows no more requests for now")

// NewClientConn makes a connection to addr, which is host:port, outside the pool of t. Only
// RoundTrip of the ClientConn sends requests on it. Close of t closes it. changed, if not nil, is
// called on a goroutine of its own after Available has grown, InFlight has fallen, or Err has
// become something else than nil. NewClientConn waits for the handshake, unless requests may be
// sent as early data, until ctx is done.
func (t *Transport) NewClientConn(ctx context.Context, addr string, changed func()) (*ClientConn, error) {
	if err := t.beginSingle(); err != nil {
		return nil, err
	}
	defer t.endSingle()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()

	tg := target{origin: addr}
	lc, resumes, err := t.dialTarget(ctx, tg, false)
	if err != nil && resumes && ctx.Err() == nil {
		lc, _, err = t.dialTarget(ctx, tg, true)
	}
	if err != nil {
		return nil, t.orClosed(err)
	}
	c, err := t.attach(ctx, lc, false, &clientConn{target: tg, changed: changed, sole: true})
	if err != nil {
		lc.Close(0, "")
		return nil, t.orClosed(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.client.alive() { // if it is not alive, it has called forget already
		t.conns[c.client] = struct{}{}
		if t.closed {
			c.client.closeNow()
		}
	}
	return c, nil
}

// beginSingle keeps the default socket and Close waiting for a connection that is being made.
func (t *Transport) beginSingle() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	if t.closed {
		return errTransportClosed
	}
	t.idleClosed = false
	t.singles++
	t.dials.Add(1)
	return nil
}

func (t *Transport) endSingle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.singles--
	t.release()
	t.dials.Done()
}

// orClosed returns err, or what says that t was closed if that is the cause.
func (t *Transport) orClosed(err error) error {
	if t.ctx.Err() != nil {
		return errTransportClosed
	}
	return err
}

// Err returns nil while c takes requests. Afterwards it returns why it takes none: the connection
// has ended, Close was called, or the server goes away (RFC 9114, Section 5.2).
func (c *ClientConn) Err() error { return c.client.gone() }

// Close closes the connection at once, with H3_NO_ERROR. Requests in progress fail.
func (c *ClientConn) Close() error {
	if errors.Is(c.Err(), conn.ErrClosed) {
		return net.ErrClosed
	}
	c.client.closeNow()
	return nil
}

// CloseIdle makes c take no more requests. It closes once those in progress have ended.
func (c *ClientConn) CloseIdle() {
	c.client.leave()
	c.client.post(c.client.settle)
}

// Available returns how many requests c takes without making them wait for the server to allow
// more streams (RFC 9000, Section 4.6). Reserved ones are taken off.
func (c *ClientConn) Available() int {
	cc := c.client
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.err != nil || cc.leaving {
		return 0
	}
	return cc.places.left()
}

// InFlight returns how many requests are in progress or reserved. A request is in progress until
// its response has come and its body was read or closed.
func (c *ClientConn) InFlight() int {
	cc := c.client
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.err != nil {
		return 0
	}
	return cc.requests + cc.places.reserved
}

// Reserve takes a place for a request. The next call of RoundTrip uses it, or Release gives it
// back. The error is [ErrNoPlace] if there is none, or that of Err.
func (c *ClientConn) Reserve() error {
	if err := c.Err(); err != nil {
		return err
	}
	cc := c.client
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.places.left() == 0 {
		return ErrNoPlace
	}
	cc.places.reserved++
	return nil
}

// Release gives back a place that Reserve took. Without one it does nothing.
func (c *ClientConn) Release() {
	cc := c.client
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.places.release()
}

// Conn returns the connection itself, for its addresses and statistics.
func (c *ClientConn) Conn() *loop.Conn { return c.client.handle }
