package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"slices"

	"github.com/lazoquic/lazo/internal/nostream"
	"github.com/lazoquic/lazo/loop"
)

// A target is where a connection leads. Both fields are host:port.
type target struct {
	origin string
	alt    string // where the origin is served, if that is elsewhere (RFC 7838)
}

// addr returns the address to dial.
func (tg target) addr() string {
	if tg.alt != "" {
		return tg.alt
	}
	return tg.origin
}

// A host is what a Transport remembers of one target.
type host struct {
	conns   []*clientConn // those that take new requests, the oldest first
	dial    *dial         // the dial in progress, or nil
	running int           // how many requests have a place: see place
	queue   []chan bool   // requests that wait for a place
}

// A dial is an attempt to make a connection. All requests that want the connection share it.
type dial struct {
	done chan struct{} // closed when it has ended

	// These are valid once done is closed.
	err  error
	made *clientConn // nil if there is an err, or the connection has ended already
}

// get returns a connection to tg that takes new requests. It counts one for the caller, who must
// call end of the connection. reused says whether the connection has carried other requests. The
// first caller starts a dial, which goes on even if that caller gives up. With fresh the dial
// resumes no session.
func (t *Transport) get(ctx context.Context, tg target, fresh bool) (c *clientConn, reused bool, err error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(tg.origin)
	}
	for attempt := 0; ; attempt++ {
		t.mu.Lock()
		t.init()
		if t.closed {
			t.mu.Unlock()
			return nil, false, errTransportClosed
		}
		h := t.host(tg)
		if c := h.begin(); c != nil {
			t.mu.Unlock()
			gotConn(trace, c, attempt == 0)
			return c, attempt == 0, nil
		}
		if onlyCached(ctx) {
			t.prune(tg, h)
			t.mu.Unlock()
			return nil, false, ErrNoCachedConn
		}
		if attempt > maxAttempts {
			t.mu.Unlock()
			return nil, false, errShortLived
		}
		d := t.startDial(ctx, tg, fresh, h)
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case <-d.done:
		}
		if d.err != nil {
			return nil, false, d.err
		}
	}
}

// confirmed reports whether there is a connection to tg that takes new requests and whose handshake
// is complete.
func (t *Transport) confirmed(tg target) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[tg]
	return h != nil && slices.ContainsFunc(h.conns, func(c *clientConn) bool {
		return !c.silent && c.isConfirmed() && c.alive()
	})
}

// host returns the host of tg, and makes it if necessary. The caller has locked and initialized t.
func (t *Transport) host(tg target) *host {
	h := t.hosts[tg]
	if h == nil {
		h = new(host)
		t.hosts[tg] = h
	}
	return h
}

// startDial returns the dial of h that is in progress. If there is none, it begins one. With fresh
// that one resumes no session. The caller has locked t.
func (t *Transport) startDial(ctx context.Context, tg target, fresh bool, h *host) *dial {
	if h.dial == nil {
		t.idleClosed = false
		h.dial = &dial{done: make(chan struct{})}
		t.dials.Add(1)
		go t.dialHost(context.WithoutCancel(ctx), tg, fresh, h, h.dial)
	}
	return h.dial
}

// dialHost runs d. The values of ctx are for a Dial function. Close of t ends it.
func (t *Transport) dialHost(ctx context.Context, tg target, fresh bool, h *host, d *dial) {
	defer t.dials.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()

	c, resumes, err := t.connect(ctx, tg, fresh)
	if err != nil && resumes && ctx.Err() == nil {
		c, _, err = t.connect(ctx, tg, true)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && t.closed {
		err = errTransportClosed
	}
	h.dial = nil
	if err == nil && c.alive() { // if it is not alive, it has called forget already
		d.made = c
		h.conns = append(h.conns, c)
		t.conns[c] = struct{}{}
		if t.closed {
			c.closeNow()
		}
	}
	t.prune(tg, h)
	t.release()
	d.err = err
	close(d.done)
}

// release closes the default socket if CloseIdleConnections has asked for it and nothing uses the
// socket any more. The caller has locked t.
func (t *Transport) release() {
	if t.closed || !t.idleClosed || t.group == nil || len(t.conns) > 0 || t.singles > 0 {
		return
	}
	for _, h := range t.hosts {
		if h.dial != nil {
			return
		}
	}
	g := t.group
	t.group, t.idleClosed = nil, false
	t.dials.Go(func() { g.Close() }) // Close of t waits for it
}

var errShortLived = errors.New("h3http: connections end as soon as they are made")

// connect makes a connection to tg for the pool. With fresh it resumes no session. resumes says
// whether it tried to.
func (t *Transport) connect(ctx context.Context, tg target, fresh bool) (c *clientConn, resumes bool, err error) {
	lc, resumes, err := t.dialTarget(ctx, tg, fresh)
	if err != nil {
		return nil, resumes, err
	}
	c, err = newClientConn(ctx, t, tg, resumes, lc)
	return c, resumes, err
}

// dialTarget makes a connection of QUIC to tg. The certificate has to be that of the origin,
// wherever the connection leads (RFC 7838, Section 2.1). connect describes fresh and resumes.
func (t *Transport) dialTarget(ctx context.Context, tg target, fresh bool) (c *loop.Conn, resumes bool, err error) {
	name, _, err := net.SplitHostPort(tg.origin)
	if err != nil {
		return nil, false, err
	}
	cfg, err := t.quicConfig(name)
	if err != nil {
		return nil, false, err
	}
	sessions := watchSessions(cfg, fresh)
	dial := t.Dial
	if dial == nil {
		g, err := t.defaultGroup()
		if err != nil {
			return nil, false, err
		}
		dial = g.Dial
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	c, err = dial(ctx, tg.addr(), cfg)
	if err == nil && t.Dial != nil && !t.claim(c) {
		c, err = nil, errDialedTwice
	}
	if err == nil && t.Multipath.MaxPaths > 0 {
		t.follow(c)
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		var state tls.ConnectionState
		if err == nil {
			state = c.TLS()
		}
		trace.TLSHandshakeDone(state, err)
	}
	return c, sessions.resumes(), err
}

var errDialedTwice = errors.New("h3http: Transport.Dial has returned a connection that it had returned before")

// claim notes that c is in use until it ends. It reports false if it was in use. HTTP/3 has a
// control stream on a connection once, so a second use would break the first one as well.
func (t *Transport) claim(c *loop.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.dialed[c]; taken {
		return false
	}
	if t.dialed == nil {
		t.dialed = make(map[*loop.Conn]struct{})
	}
	t.dialed[c] = struct{}{}
	context.AfterFunc(c.Context(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.dialed, c)
	})
	return true
}

// follow lets c use the interfaces of the host until it closes, or t does. Where that cannot be
// done, the connection has its one path, as without multipath.
func (t *Transport) follow(c *loop.Conn) {
	t.dials.Go(func() {
		err := c.FollowInterfaces(t.ctx, &t.Multipath)
		if err != nil && c.Context().Err() == nil && t.ctx.Err() == nil && t.Logger != nil {
			t.Logger.Warn("h3http: connection has one path", "remote", c.RemoteAddr(), "err", err)
		}
	})
}

// defaultGroup returns the socket of a Transport without a Dial function.
func (t *Transport) defaultGroup() (*loop.Group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errTransportClosed
	}
	if t.group == nil {
		g, err := loop.Open("udp", ":0", 1, &loop.Config{Logger: t.Logger})
		if err != nil {
			return nil, err
		}
		t.group = g
	}
	return t.group, nil
}

// forget is called when c takes no new requests any more. It is called again when c has ended, with
// ended set.
func (t *Transport) forget(c *clientConn, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ended {
		delete(t.conns, c)
	}
	defer t.release()
	if h := t.hosts[c.target]; h != nil {
		h.conns = slices.DeleteFunc(h.conns, func(other *clientConn) bool { return other == c })
		t.prune(c.target, h)
	}
}

// prune forgets a host that has nothing left. The caller has locked t.
func (t *Transport) prune(tg target, h *host) {
	if len(h.conns) == 0 && h.dial == nil && h.running == 0 && t.hosts[tg] == h {
		delete(t.hosts, tg)
	}
}

// gotConn tells trace which connection a request got.
func gotConn(trace *httptrace.ClientTrace, c *clientConn, reused bool) {
	if trace == nil || trace.GotConn == nil {
		return
	}
	trace.GotConn(httptrace.GotConnInfo{Conn: newAddressedConn(c.handle), Reused: reused})
}

// An addressedConn stands for a QUIC connection where a [net.Conn] is expected. It has the
// addresses and carries no data.
type addressedConn struct {
	nostream.Conn
	handle *loop.Conn
}

func newAddressedConn(handle *loop.Conn) addressedConn {
	return addressedConn{nostream.Conn{Err: errNoStream}, handle}
}

var errNoStream = errors.New("h3http: a QUIC connection is not a byte stream")

func (c addressedConn) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(c.handle.LocalAddr()) }
func (c addressedConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.handle.RemoteAddr()) }
