package quic

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"

	"github.com/quic-go/quic-go/qlogwriter"
)

// A Transport has all connections of one net.PacketConn: those that it dials and those that its
// listener accepts.
type Transport struct {
	// Conn receives and sends the packets. A net.UDPConn is read and written in batches. Conn
	// belongs to the Transport until Close, which leaves it open.
	Conn net.PacketConn

	// ConnectionIDLength is the length of connection IDs in bytes, from 1 to 20; 4 by default.
	// Clients that [Dial] and DialAddr make have none.
	ConnectionIDLength int

	// ConnectionIDGenerator makes connection IDs. The default draws them.
	ConnectionIDGenerator ConnectionIDGenerator

	// StatelessResetKey is the key of stateless reset tokens. If it is nil, a key is drawn, so
	// that resets work as long as this Transport lives.
	StatelessResetKey *StatelessResetKey

	// TokenGeneratorKey seals tokens. The default is drawn.
	TokenGeneratorKey *TokenGeneratorKey

	// MaxTokenAge is how long a token for later connections holds. The default is 24 hours.
	MaxTokenAge time.Duration

	// DisableVersionNegotiationPackets keeps silent about versions to clients of other versions.
	DisableVersionNegotiationPackets bool

	// VerifySourceAddress reports whether a client must prove its address first, which costs a
	// round trip (Retry). It must not block.
	VerifySourceAddress func(net.Addr) bool

	// ConnContext returns the context of a connection that a client begins. Its argument is a
	// context that ends with the connection. If it returns an error, the client is refused. It
	// must not block.
	ConnContext func(context.Context, *ClientInfo) (context.Context, error)

	// Tracer is closed with the Transport. It gets no events.
	Tracer qlogwriter.Recorder

	single bool // made by Listen or Dial for itself alone: closes when nothing is left
	owns   bool // closes Conn

	once    sync.Once
	failed  error // of once
	group   *loop.Group
	loop    *loop.Loop
	gso     bool
	ids     *connIDs
	strange strangers
	book    *addressBook // Conn, if it is no net.UDPConn
	visits  visits
	closed  chan struct{}

	mu       sync.Mutex
	err      error // why Dial and Listen fail from now on
	listener *listener
	conns    map[*Conn]struct{}

	// Of clients. They belong to the loop's goroutine.
	begun    map[conn.ConnID]begun
	admitted admitted // the last result of configForClient, for note
}

// begun holds what is known of a client's connection before its first event.
type begun struct {
	listener *listener
	cfg      *Config
	trace    trace
	admitted
}

// admitted holds the context of a client's connection, before it is derived further.
type admitted struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// note is conn.Config.QLog: Lazo calls it when a connection has begun, on the loop's goroutine.
func (b begun) note(id conn.ConnID, _ bool) io.WriteCloser {
	t := b.listener.t
	b.admitted, t.admitted = t.admitted, admitted{}
	b.trace = newTrace(b.ctx, b.cfg, false, id, t.Conn.LocalAddr())
	t.begun[id] = b
	return b.trace.packets
}

// start begins to read. Later calls do nothing.
func (t *Transport) start() error {
	t.once.Do(func() { t.failed = t.open(nil) })
	return t.failed
}

// startWith is start with a listener, if this call is the one that begins. Packets of clients may
// wait in the socket by then, and must not be read before there is a listener.
func (t *Transport) startWith(l *listener) (begun bool, err error) {
	t.once.Do(func() {
		begun = true
		t.mu.Lock()
		t.listener = l
		t.mu.Unlock()
		if t.failed = t.open(l.lazo(l.cfg)); t.failed != nil {
			l.end(t.failed)
		}
	})
	return begun, t.failed
}

// open begins to read. Server, which may be nil, is the configuration of connections of clients.
func (t *Transport) open(server *conn.Config) error {
	switch {
	case t.Conn == nil:
		return errors.New("quic: Transport.Conn is nil")
	case t.ConnectionIDLength < 0 || t.ConnectionIDLength > 20:
		return fmt.Errorf("quic: Transport.ConnectionIDLength is %d", t.ConnectionIDLength)
	}
	t.conns, t.begun = make(map[*Conn]struct{}), make(map[conn.ConnID]begun)
	t.closed, t.strange.packets = make(chan struct{}), make(chan packet, maxStrangers)
	n := t.ConnectionIDLength
	if n == 0 && (server != nil || !t.single) {
		n = 4 // a socket that one client alone uses needs none
	}
	t.ids = newConnIDs(t.ConnectionIDGenerator, n)
	cfg := &loop.Config{NewHandler: t.newHandler}
	e := &cfg.Endpoint
	e.Server = server
	e.Admit, e.ConfigForClient, e.ConnIDs = t.admit, t.configForClient, t.ids
	if !t.single {
		e.NonQUIC = t.strange.receive
	}
	e.Elsewhere = t.elsewhere
	e.NewTokenLife, e.NoVersionNegotiation = t.MaxTokenAge, t.DisableVersionNegotiationPackets
	if server != nil {
		e.RetryTokenLife = server.HandshakeTimeout
	}
	if t.StatelessResetKey != nil {
		if e.ResetKey = *t.StatelessResetKey; e.ResetKey == [32]byte{} {
			e.ResetKey[0] = 1 // zeros are a key here, and stand for none in Lazo
		}
	}
	if t.TokenGeneratorKey != nil {
		e.TokenKeys = [][32]byte{*t.TokenGeneratorKey}
	}
	pc := t.Conn
	if _, ok := pc.(*net.UDPConn); !ok {
		if c, ok := pc.(interface {
			SyscallConn() (syscall.RawConn, error)
		}); ok {
			if _, err := c.SyscallConn(); err != nil { // as a program that wraps a socket may say that it is gone
				return err
			}
		}
		t.book = &addressBook{PacketConn: pc, failed: t.writeFailed}
		pc = t.book
	}
	s, err := udpio.Wrap(pc, &udpio.Config{KeepOpen: !t.owns})
	if err != nil {
		return err
	}
	t.gso = s.Caps().MaxSegments > 1
	if t.group, err = loop.New(cfg, visitingSocket{s, &t.visits}); err != nil {
		return err
	}
	t.loop = t.group.Loops()[0]
	go func() { t.shutdown(t.group.Wait()) }()
	if c, ok := t.Conn.(*net.UDPConn); ok && !t.owns {
		go t.watch(c)
	}
	return nil
}

// watchEvery is how soon a Transport notices that its user has closed the net.UDPConn.
const watchEvery = 200 * time.Millisecond

// watch ends the Transport once c is closed. Epoll does not report that.
func (t *Transport) watch(c *net.UDPConn) {
	rc, err := c.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.closed:
			return
		case <-tick.C:
			if err := rc.Control(func(uintptr) {}); err != nil {
				t.shutdown(err)
				return
			}
		}
	}
}

// Close ends all connections and the listener. Peers are not told: close the connections before. It
// leaves Conn open.
func (t *Transport) Close() error {
	if t.start() != nil {
		return nil // nothing was opened
	}
	t.shutdown(nil)
	return nil
}

// shutdown ends the listener and all connections with err, and waits until they have ended.
func (t *Transport) shutdown(err error) {
	t.mu.Lock()
	_, again := t.err.(*errTransportClosed)
	if !again {
		t.err = &errTransportClosed{err}
	}
	l := t.listener
	t.listener = nil
	var left []*Conn
	for c := range t.conns {
		left = append(left, c)
	}
	t.mu.Unlock()
	if again {
		<-t.closed
		return
	}
	if l != nil {
		l.end(t.err)
	}
	t.visits.evict(t, t.err)
	t.loop.Do(context.Background(), func(time.Time) {
		for cc := range t.loop.Endpoint().Conns() {
			cc.Abandon()
		}
	})
	t.group.Close()
	for _, c := range left {
		<-c.done
	}
	if t.Tracer != nil {
		t.Tracer.Close()
	}
	close(t.closed)
}

// usable begins to read, and returns why the Transport cannot be used.
func (t *Transport) usable() error {
	if err := t.start(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// cause returns why the Transport has closed.
func (t *Transport) cause() error {
	t.mu.Lock()
	err := t.err
	t.mu.Unlock()
	if err == nil { // the loop is stopping by itself, and says why in a moment
		err = &errTransportClosed{t.group.Wait()}
	}
	return err
}

// writeFailed ends the connections to an address to which the net.PacketConn writes no more. It runs
// on the loop's goroutine.
func (t *Transport) writeFailed(to netip.AddrPort, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if unmapped(c.lc.RemoteAddr()) == unmapped(to) {
			go c.abandon(err)
		}
	}
}

func (t *Transport) add(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns[c] = struct{}{}
}

// find returns the Conn of a connection, or nil.
func (t *Transport) find(cc *conn.Conn) *Conn {
	lc := t.loop.Conn(cc)
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.lc == lc {
			return c
		}
	}
	return nil
}

// remove forgets a connection that has ended.
func (t *Transport) remove(c *Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
	t.closeUnused()
}

// closeUnused closes a Transport that was made for one listener or connection, if that has ended.
func (t *Transport) closeUnused() {
	t.mu.Lock()
	unused := t.single && t.listener == nil && len(t.conns) == 0
	t.mu.Unlock()
	if unused {
		go t.shutdown(nil)
	}
}

// Dial connects to addr.
func (t *Transport) Dial(ctx context.Context, addr net.Addr, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return t.dial(ctx, addr, "", tlsConf, conf, false)
}

// DialEarly connects to addr. If a session allows early data, it returns before the handshake.
func (t *Transport) DialEarly(ctx context.Context, addr net.Addr, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return t.dial(ctx, addr, "", tlsConf, conf, true)
}

var errNoTLS = errors.New("quic: tls.Config not set")

// dial connects to the server at addr. host is its name, and may end with a port.
func (t *Transport) dial(ctx context.Context, addr net.Addr, host string, tlsConf *tls.Config, conf *Config, early bool) (*Conn, error) {
	if tlsConf == nil {
		return nil, errNoTLS
	}
	cfg, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	to, err := addrPort(addr)
	if err != nil {
		return nil, err
	}
	if t.book != nil {
		t.book.dial(addr)
	}
	l := cfg.lazo()
	l.TLS = withServerName(tlsConf, addr, host)
	l.Enable0RTT = early
	c, err := t.begin(ctx, to, cfg, l)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// begin starts a connection.
func (t *Transport) begin(waits context.Context, to netip.AddrPort, cfg *Config, l *conn.Config) (c *Conn, err error) {
	var self atomic.Pointer[Conn]
	var tr trace
	ctx := context.WithoutCancel(waits)
	l.QLog = func(id conn.ConnID, _ bool) io.WriteCloser {
		tr = newTrace(ctx, cfg, true, id, t.Conn.LocalAddr())
		return tr.packets
	}
	l.AllowWindowIncrease = allowIncrease(cfg, func(*conn.Conn) *Conn { return self.Load() })
	do := t.loop.Do(waits, func(now time.Time) {
		t.mu.Lock()
		err = t.err
		t.mu.Unlock()
		if err != nil {
			return
		}
		t.ids.err = nil
		l.Context = ctx
		cc, e := t.loop.Endpoint().Dial(now, conn.Target{Remote: to}, l)
		if err = cmp.Or(t.ids.err, translated(e)); err != nil {
			if cc != nil {
				cc.Close(0, "")
			} else {
				tr.abandon()
			}
			return
		}
		c = newConn(t, t.loop.Conn(cc), cfg, ctx, tr)
		c.client, c.early = true, cc.EarlyData()
		self.Store(c)
	})
	switch {
	case waits.Err() != nil && do != nil:
		return nil, context.Cause(waits)
	case do != nil:
		return nil, t.cause()
	}
	return c, err
}

// connect waits for the handshake, unless there is early data to send.
func (c *Conn) connect(ctx context.Context) error {
	if c.early {
		return nil
	}
	received := uint64(0)
	idle := time.NewTicker(c.cfg.HandshakeIdleTimeout)
	defer idle.Stop()
	for {
		select {
		case <-c.lc.Handshake():
			return nil
		case <-c.done:
			if _, late := c.err.(*HandshakeTimeoutError); late && c.lc.Stats().PacketsReceived == received {
				return new(IdleTimeoutError) // idle would have ticked about now
			}
			return c.err
		case <-ctx.Done():
			c.stop(context.Cause(ctx), 0, "")
			return context.Cause(ctx)
		case <-idle.C:
			n := c.lc.Stats().PacketsReceived
			if n == received {
				c.stop(new(IdleTimeoutError), 0, "")
				return c.err
			}
			received = n
		}
	}
}

// WriteTo sends a packet that is not a QUIC packet. It does not wait.
func (t *Transport) WriteTo(b []byte, addr net.Addr) (int, error) {
	if err := t.start(); err != nil {
		return 0, err
	}
	to, err := addrPort(addr)
	if err != nil {
		return 0, err
	}
	if err := t.group.WriteDatagram(b, to); err != nil {
		if errors.Is(err, net.ErrClosed) {
			err = t.cause()
		}
		return 0, err
	}
	return len(b), nil
}

// ReadNonQUICPacket returns a packet whose first two bits are zero. Packets before the first call
// are dropped. Further packets are dropped while 32 wait.
func (t *Transport) ReadNonQUICPacket(ctx context.Context, b []byte) (int, net.Addr, error) {
	if err := t.start(); err != nil {
		return 0, nil, err
	}
	t.strange.wanted.Store(true)
	select {
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	case p := <-t.strange.packets:
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-t.closed:
		return 0, nil, t.cause()
	}
}
