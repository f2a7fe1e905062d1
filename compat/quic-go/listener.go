package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// maxQueued is how many connections may wait for Accept. Further clients are refused.
const maxQueued = 32

// A listener is what Listener and EarlyListener share.
type listener struct {
	t     *Transport
	cfg   *Config
	tls   *tls.Config
	early bool // accept before the handshake is complete
	queue chan *Conn

	mu      sync.Mutex
	waiting map[*Conn]struct{} // whose handshakes go on; nil after end

	done chan struct{} // closed when err is set
	err  error
}

// A Listener accepts connections after their handshake.
type Listener struct{ l *listener }

// Accept returns the next connection.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) { return l.l.accept(ctx) }

// Close ends the listener. Accept still returns connections that wait for it, and then
// ErrServerClosed. Handshakes are broken off. Connections that were accepted go on.
func (l *Listener) Close() error { return l.l.close() }

// Addr returns the address of the socket.
func (l *Listener) Addr() net.Addr { return l.l.t.Conn.LocalAddr() }

// An EarlyListener accepts connections before their handshake is complete.
type EarlyListener struct{ l *listener }

// Accept returns the next connection.
func (l *EarlyListener) Accept(ctx context.Context) (*Conn, error) { return l.l.accept(ctx) }

// Close is [Listener.Close].
func (l *EarlyListener) Close() error { return l.l.close() }

// Addr returns the address of the socket.
func (l *EarlyListener) Addr() net.Addr { return l.l.t.Conn.LocalAddr() }

// Listen accepts connections. A Transport has one listener at a time.
func (t *Transport) Listen(tlsConf *tls.Config, conf *Config) (*Listener, error) {
	l, err := t.listen(tlsConf, conf, false)
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

// ListenEarly is Listen, but returns connections before their handshake is complete.
func (t *Transport) ListenEarly(tlsConf *tls.Config, conf *Config) (*EarlyListener, error) {
	l, err := t.listen(tlsConf, conf, true)
	if err != nil {
		return nil, err
	}
	return &EarlyListener{l}, nil
}

func (t *Transport) listen(tlsConf *tls.Config, conf *Config, early bool) (*listener, error) {
	if tlsConf == nil {
		return nil, errNoTLS
	}
	cfg, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &listener{
		t: t, cfg: cfg, tls: tlsConf, early: early,
		queue: make(chan *Conn, maxQueued), waiting: make(map[*Conn]struct{}), done: make(chan struct{}),
	}
	begun, err := t.startWith(l)
	if err != nil {
		return nil, err
	}
	if begun {
		return l, nil
	}
	t.mu.Lock()
	err = t.err
	if err == nil && t.listener != nil {
		err = errors.New("listener already set")
	}
	if err == nil {
		t.listener = l
	}
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if do := t.loop.Do(context.Background(), func(time.Time) {
		err = t.loop.Endpoint().SetServer(l.lazo(cfg))
	}); do != nil {
		err = t.cause()
	}
	if err != nil {
		l.end(err)
		t.drop(l)
		return nil, err
	}
	return l, nil
}

// lazo returns the configuration for Lazo of connections that shall have cfg.
func (l *listener) lazo(cfg *Config) *conn.Config {
	c := cfg.lazo()
	c.TLS = forServer(l.tls)
	c.Enable0RTT, c.ReuseTickets = cfg.Allow0RTT, true
	c.AllowWindowIncrease = allowIncrease(cfg, l.t.find)
	c.Tokens = nil
	// Lazo calls this when the connection begins. It tells which connection has cfg.
	prepared := begun{listener: l, cfg: cfg}
	c.QLog = prepared.note
	return c
}

// forServer returns a copy of the configuration of a listener for one connection: what the program
// changes in c has effect. As in quic-go, c has the keys of session tickets, so that another listener
// with c resumes the sessions of this one. If c has no certificate and cannot ask for one, a program
// may listen with it, and each handshake fails.
func forServer(c *tls.Config) *tls.Config {
	own := c.Clone()
	if own.WrapSession == nil {
		own.WrapSession = c.EncryptTicket
	}
	if own.UnwrapSession == nil {
		own.UnwrapSession = c.DecryptTicket
	}
	if len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		own.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("quic: the tls.Config has no certificate")
		}
	}
	return own
}

// accept returns the next connection.
func (l *listener) accept(ctx context.Context) (*Conn, error) {
	select {
	case <-l.done:
		if errors.Is(l.err, ErrTransportClosed) { // the connections that wait have ended, too
			return nil, l.err
		}
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err() // as in quic-go, where Dial returns the cause
	case <-l.done:
	}
	select {
	case c := <-l.queue:
		return c, nil
	default:
		return nil, l.err
	}
}

// end has Accept return err, and refuses the connections whose handshakes go on.
func (l *listener) end(err error) {
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	if waiting != nil {
		l.err = err
		close(l.done)
	}
	l.mu.Unlock()
	for c := range waiting {
		c.refuse()
	}
}

// await offers a connection to Accept after its handshake. It runs on the loop's goroutine.
func (l *listener) await(c *Conn) {
	l.mu.Lock()
	listens := l.waiting != nil
	if listens {
		l.waiting[c] = struct{}{}
	}
	l.mu.Unlock()
	if !listens {
		c.refuse()
		return
	}
	c.lc.OnHandshake(func() { l.offer(c) })
}

// forget forgets a connection whose handshake goes on no more.
func (l *listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.waiting, c)
	l.mu.Unlock()
}

func (l *listener) close() error {
	t := l.t
	t.mu.Lock()
	mine := t.listener == l
	t.mu.Unlock()
	if mine {
		t.loop.Do(context.Background(), func(time.Time) {
			t.loop.Endpoint().SetServer(nil)
			for cc := range t.loop.Endpoint().Conns() {
				if b, ok := t.begun[cc.ID()]; ok && b.listener == l {
					cc.Refuse("")
				}
			}
		})
	}
	l.end(ErrServerClosed)
	t.drop(l)
	return nil
}

// drop makes room for another listener.
func (t *Transport) drop(l *listener) {
	t.mu.Lock()
	if t.listener == l {
		t.listener = nil
		if t.single && t.err == nil {
			t.err = ErrServerClosed
		}
	}
	t.mu.Unlock()
	t.closeUnused()
}

// admit decides whether a client must prove its address.
func (t *Transport) admit(r conn.AdmissionRequest) conn.Admission {
	const many = 1024 // handshakes at once
	t.mu.Lock()
	l := t.listener
	t.mu.Unlock()
	switch {
	case l == nil:
		return conn.AdmissionRefuse
	case r.Pending >= 4*many:
		return conn.AdmissionIgnore
	case r.Token != conn.TokenNone:
		return conn.AdmissionAccept
	case r.Pending >= many, t.VerifySourceAddress != nil && t.VerifySourceAddress(net.UDPAddrFromAddrPort(r.Remote)):
		return conn.AdmissionRetry
	}
	return conn.AdmissionAccept
}

// configForClient asks GetConfigForClient and ConnContext.
func (t *Transport) configForClient(r conn.AdmissionRequest) (*conn.Config, error) {
	t.mu.Lock()
	l := t.listener
	t.mu.Unlock()
	if l == nil {
		return nil, ErrServerClosed
	}
	cfg, info := l.cfg, clientInfo(r.Remote, r.Token)
	if l.cfg.GetConfigForClient != nil {
		conf, err := l.cfg.GetConfigForClient(info)
		if err != nil {
			return nil, err
		}
		if conf != nil {
			if cfg, err = conf.withDefaults(); err != nil {
				return nil, err
			}
		}
	}
	if cancel := t.admitted.cancel; cancel != nil { // the last client was not admitted
		cancel(context.Canceled)
	}
	t.admitted.ctx, t.admitted.cancel = context.WithCancelCause(context.Background())
	if t.ConnContext != nil {
		ctx, err := t.ConnContext(t.admitted.ctx, info)
		if err != nil {
			t.admitted.cancel(err)
			return nil, err
		}
		t.admitted.ctx = ctx
	}
	c := l.lazo(cfg)
	c.Context = context.WithValue(t.admitted.ctx, QUICVersionContextKey, Version(r.Version))
	return c, nil
}

func clientInfo(remote netip.AddrPort, token conn.TokenKind) *ClientInfo {
	return &ClientInfo{RemoteAddr: net.UDPAddrFromAddrPort(remote), AddrVerified: token != conn.TokenNone}
}

// newHandler is called for each connection at its first event. It gives connections of clients to
// the listener.
func (t *Transport) newHandler(l *loop.Loop, cc *conn.Conn) loop.Handler {
	lc := l.Conn(cc) // this keeps it from Accept of package loop
	if !cc.Server() {
		return nil
	}
	b, ok := t.begun[cc.ID()]
	delete(t.begun, cc.ID())
	if !ok || cc.Err() != nil {
		if ok {
			b.cancel(cc.Err())
		}
		return nil
	}
	c := newConn(t, lc, b.cfg, b.ctx, b.trace)
	context.AfterFunc(lc.Context(), func() {
		<-c.done
		b.cancel(c.err)
		b.listener.forget(c)
	})
	if b.listener.early {
		b.listener.offer(c)
	} else {
		b.listener.await(c)
	}
	return nil
}

// offer gives a connection to Accept.
func (l *listener) offer(c *Conn) {
	l.forget(c)
	select {
	case <-l.done:
		c.refuse()
		return
	default:
	}
	select {
	case l.queue <- c:
	default:
		c.refuse()
	}
}

// refuse closes a connection that nobody accepts, and does not wait.
func (c *Conn) refuse() {
	err := error(&TransportError{ErrorCode: ConnectionRefused})
	c.closer.Do(func() { c.mine.Store(&err) })
	c.lc.Refuse("")
}
