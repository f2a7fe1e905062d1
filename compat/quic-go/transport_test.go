package quic_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestOneSocket has two Transports dial each other from the sockets on which they listen.
func TestOneSocket(t *testing.T) {
	s, c := tlsConfigs(t)
	a, b := &quic.Transport{Conn: listenUDP(t)}, &quic.Transport{Conn: listenUDP(t)}
	defer a.Close()
	defer b.Close()
	for _, way := range [][2]*quic.Transport{{a, b}, {b, a}} {
		l, err := way[0].Listen(s, nil)
		check(t, err)
		if _, err := way[0].Listen(s, nil); err == nil {
			t.Error("a second listener")
		}
		client, err := way[1].Dial(within(t), l.Addr(), c, nil)
		check(t, err)
		server, err := l.Accept(within(t))
		check(t, err)
		if client.LocalAddr().String() != way[1].Conn.LocalAddr().String() || server.RemoteAddr().String() != client.LocalAddr().String() {
			t.Errorf("the client is at %v and %v", client.LocalAddr(), server.RemoteAddr())
		}
		check(t, l.Close())
		_, err = l.Accept(within(t))
		wantErr(t, "Accept after Close", err, quic.ErrServerClosed)
		wantErr(t, "Accept after Close", err, net.ErrClosed)
		pair{client, server}.streams(t) // this connection goes on
		if _, err = way[0].Listen(s, nil); err != nil {
			t.Errorf("Listen after Close: %v", err)
		}
	}
}

// TestTransportClose checks that Close ends everything, but leaves the socket open.
func TestTransportClose(t *testing.T) {
	s, c := tlsConfigs(t)
	udp := listenUDP(t)
	tr := &quic.Transport{Conn: udp}
	l, err := tr.Listen(s, nil)
	check(t, err)
	other, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer other.Close()
	client, err := tr.Dial(within(t), other.Addr(), c, nil)
	check(t, err)
	server, err := other.Accept(within(t))
	check(t, err)
	defer server.CloseWithError(0, "") // the client does not tell it
	check(t, tr.Close())
	wantErr(t, "the connection", context.Cause(client.Context()), quic.ErrTransportClosed)
	_, err = client.AcceptStream(within(t))
	wantErr(t, "AcceptStream", err, quic.ErrTransportClosed)
	_, err = l.Accept(within(t))
	wantErr(t, "Accept", err, quic.ErrTransportClosed)
	_, err = tr.Dial(within(t), other.Addr(), c, nil)
	wantErr(t, "Dial", err, quic.ErrTransportClosed)
	_, err = tr.Listen(s, nil)
	wantErr(t, "Listen", err, quic.ErrTransportClosed)
	_, _, err = tr.ReadNonQUICPacket(within(t), nil)
	wantErr(t, "ReadNonQUICPacket", err, quic.ErrTransportClosed)
	check(t, tr.Close())

	from := listenUDP(t)
	from.WriteTo([]byte("for the user"), udp.LocalAddr())
	b := make([]byte, 2000)
	for {
		n, addr, err := udp.ReadFrom(b)
		if err == nil && addr.String() != from.LocalAddr().String() {
			continue // the peer was not told, and may go on sending
		}
		if err != nil || string(b[:n]) != "for the user" {
			t.Errorf("the socket read %q, %v", b[:n], err)
		}
		return
	}
}

// TestStatelessResetKey: a Transport with the key of an earlier one resets its connections. A key of
// zeros is a key.
func TestStatelessResetKey(t *testing.T) {
	s, c := tlsConfigs(t)
	for _, key := range []quic.StatelessResetKey{{}, {7: 7}} {
		udp := listenUDP(t)
		first := &quic.Transport{Conn: udp, StatelessResetKey: &key}
		l, err := first.Listen(s, nil)
		check(t, err)
		client, err := quic.DialAddr(within(t), l.Addr().String(), c, nil)
		check(t, err)
		_, err = l.Accept(within(t))
		check(t, err)
		check(t, first.Close()) // which tells clients nothing
		second := &quic.Transport{Conn: udp, StatelessResetKey: &key}
		_, err = second.Listen(s, nil)
		check(t, err)
		if str, err := client.OpenStream(); err == nil { // a late acknowledgement may be reset first
			str.Write(make([]byte, 100))
		}
		select {
		case <-client.Context().Done():
		case <-within(t).Done():
		}
		var reset *quic.StatelessResetError
		if err := context.Cause(client.Context()); !errors.As(err, &reset) {
			t.Errorf("key %x: the connection ended with %v", key[:8], err)
		}
		check(t, second.Close())
	}
}

// TestSocketClosed checks that closing the net.UDPConn ends the Transport.
func TestSocketClosed(t *testing.T) {
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	udp := listenUDP(t)
	client, err := quic.Dial(within(t), udp, l.Addr(), c, nil)
	check(t, err)
	server, err := l.Accept(within(t))
	check(t, err)
	defer server.CloseWithError(0, "")
	udp.Close()
	<-client.Context().Done()
	wantErr(t, "the connection", context.Cause(client.Context()), quic.ErrTransportClosed)
}

// An onlyConn takes addresses of 16 bytes alone.
type onlyConn struct{ net.PacketConn }

func (c onlyConn) WriteTo(b []byte, a net.Addr) (int, error) {
	if u := a.(*net.UDPAddr); len(u.IP) != net.IPv6len {
		return 0, errors.New("no such address")
	}
	return c.PacketConn.WriteTo(b, a)
}

func (c onlyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(b)
	if u, ok := a.(*net.UDPAddr); ok {
		a = &net.UDPAddr{IP: u.IP.To16(), Port: u.Port}
	}
	return n, a, err
}

// TestOwnAddresses checks that a net.PacketConn gets addresses in the form that it or the program
// used.
func TestOwnAddresses(t *testing.T) {
	s, c := tlsConfigs(t)
	l, err := quic.Listen(onlyConn{listenUDP(t)}, s, nil)
	check(t, err)
	defer l.Close()
	to := &net.UDPAddr{IP: net.ParseIP("127.0.0.1"), Port: l.Addr().(*net.UDPAddr).Port}
	client, err := quic.Dial(within(t), onlyConn{listenUDP(t)}, to, c, nil)
	check(t, err)
	server, err := l.Accept(within(t))
	check(t, err)
	pair{client, server}.streams(t)
	client.CloseWithError(0, "")
}

// A namedConn has addresses of a type of its own.
type namedConn struct{ net.PacketConn }

type namedAddr struct{ net.Addr }

func (a namedAddr) Network() string { return "named" }

func (c namedConn) LocalAddr() net.Addr { return namedAddr{c.PacketConn.LocalAddr()} }

func (c namedConn) WriteTo(b []byte, a net.Addr) (int, error) {
	return c.PacketConn.WriteTo(b, a.(namedAddr).Addr)
}

func (c namedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(b)
	return n, namedAddr{a}, err
}

// TestConnAddresses: a connection has the addresses that its Transport.Conn has. That of a server is
// more exact, if the socket has none.
func TestConnAddresses(t *testing.T) {
	s, c := tlsConfigs(t)
	any4 := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{})
		check(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	for _, named := range []bool{false, true} {
		var serverConn, clientConn net.PacketConn = any4(), any4()
		if named {
			serverConn, clientConn = namedConn{serverConn}, namedConn{clientConn}
		}
		l, err := quic.Listen(serverConn, s, nil)
		check(t, err)
		defer l.Close()
		var to, from net.Addr = loopback(serverConn), loopback(clientConn)
		local := to
		if named {
			to, from, local = namedAddr{to}, namedAddr{from}, serverConn.LocalAddr()
		}
		var p pair
		p.client, err = quic.Dial(within(t), clientConn, to, c, nil)
		check(t, err)
		p.server, err = l.Accept(within(t))
		check(t, err)
		for what, of := range map[string][2]net.Addr{
			"the client":               {p.client.LocalAddr(), clientConn.LocalAddr()},
			"the server of the client": {p.client.RemoteAddr(), to},
			"the server":               {p.server.LocalAddr(), local},
			"the client of the server": {p.server.RemoteAddr(), from},
		} {
			if got, want := of[0], of[1]; got.Network() != want.Network() || got.String() != want.String() {
				t.Errorf("%s is at %v %v, not %v %v", what, got.Network(), got, want.Network(), want)
			}
		}
		p.client.CloseWithError(0, "")
	}
}

// loopback returns the address of a socket on this machine.
func loopback(c net.PacketConn) *net.UDPAddr {
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	n, _ := strconv.Atoi(port)
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n}
}

// A brokenConn fails to read once it is broken.
type brokenConn struct {
	net.PacketConn
	broken atomic.Bool
}

func (c *brokenConn) ReadFrom(b []byte) (int, net.Addr, error) {
	if c.broken.Load() {
		return 0, nil, io.ErrNoProgress
	}
	n, a, err := c.PacketConn.ReadFrom(b)
	if c.broken.Load() {
		return 0, nil, io.ErrNoProgress
	}
	return n, a, err
}

// TestBrokenConn checks that everything ends with the error of the net.PacketConn.
func TestBrokenConn(t *testing.T) {
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	pc := &brokenConn{PacketConn: listenUDP(t)}
	tr := &quic.Transport{Conn: pc}
	defer tr.Close()
	client, err := tr.Dial(within(t), l.Addr(), c, nil)
	check(t, err)
	server, err := l.Accept(within(t))
	check(t, err)
	defer server.CloseWithError(0, "")
	pc.broken.Store(true)
	pc.SetReadDeadline(time.Now())
	<-client.Context().Done()
	_, dial := tr.Dial(within(t), l.Addr(), c, nil)
	for _, err := range []error{context.Cause(client.Context()), dial} {
		wantErr(t, "a Transport whose socket fails", err, quic.ErrTransportClosed)
		wantErr(t, "a Transport whose socket fails", err, io.ErrNoProgress)
	}
}

// sessions signals when there is a session to resume.
type sessions struct {
	tls.ClientSessionCache
	came chan struct{}
}

// keepSessions has a client keep its sessions.
func keepSessions(c *tls.Config) *sessions {
	s := &sessions{tls.NewLRUClientSessionCache(10), make(chan struct{}, 100)}
	c.ClientSessionCache = s
	return s
}

func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, state)
	if state != nil {
		s.came <- struct{}{}
	}
}

// tokens signals when there is a token.
type tokens struct {
	quic.TokenStore
	came chan struct{}
}

func (s *tokens) Put(key string, token *quic.ClientToken) {
	s.TokenStore.Put(key, token)
	s.came <- struct{}{}
}

// TestPacketConn runs DialEarly and ListenEarly on a net.PacketConn that is no net.UDPConn.
func TestPacketConn(t *testing.T) {
	s, c := tlsConfigs(t)
	plain := func() net.PacketConn { return struct{ net.PacketConn }{listenUDP(t)} }
	l, err := quic.ListenEarly(plain(), s, &quic.Config{Allow0RTT: true})
	check(t, err)
	sessions := keepSessions(c)
	for i := range 2 {
		client, err := quic.DialEarly(within(t), plain(), l.Addr(), c, nil)
		check(t, err)
		a, err := client.OpenStream()
		check(t, err)
		a.Write([]byte("early?"))
		a.Close()
		server, err := l.Accept(within(t))
		check(t, err)
		b, err := server.AcceptStream(within(t))
		check(t, err)
		if got, err := io.ReadAll(b); string(got) != "early?" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		<-client.HandshakeComplete()
		<-server.HandshakeComplete()
		if used := client.ConnectionState().Used0RTT; used != (i == 1) || server.ConnectionState().Used0RTT != used {
			t.Errorf("connection %d: early data: %v", i, used)
		}
		<-sessions.came
		client.CloseWithError(0, "")
	}
	check(t, l.Close())
}

// A heldConn receives nothing until its channel is closed.
type heldConn struct {
	net.PacketConn
	release chan struct{}
}

func (c heldConn) ReadFrom(b []byte) (int, net.Addr, error) {
	<-c.release
	return c.PacketConn.ReadFrom(b)
}

// TestEarlyDataRejected checks that all calls fail until NextConnection.
func TestEarlyDataRejected(t *testing.T) {
	s, c := tlsConfigs(t)
	sessions := keepSessions(c)
	key := quic.TokenGeneratorKey{1}
	for i, allow := range []bool{true, false} {
		tr := &quic.Transport{Conn: listenUDP(t), TokenGeneratorKey: &key}
		l, err := tr.ListenEarly(s, &quic.Config{Allow0RTT: allow})
		check(t, err)
		if i == 0 {
			client, err := quic.DialAddrEarly(within(t), l.Addr().String(), c, nil)
			check(t, err)
			<-client.HandshakeComplete()
			<-sessions.came
			client.CloseWithError(0, "")
			tr.Close()
			continue
		}
		defer tr.Close()
		held := heldConn{listenUDP(t), make(chan struct{})}
		client, err := quic.DialEarly(within(t), held, l.Addr(), c, nil)
		check(t, err)
		a, err := client.OpenStream() // before the client can know that its early data is rejected
		check(t, err)
		close(held.release)
		server, err := l.Accept(within(t))
		check(t, err)
		<-client.HandshakeComplete()
		wantErr(t, "Read", readErr(a), quic.Err0RTTRejected)
		_, err = client.OpenStream()
		wantErr(t, "OpenStream", err, quic.Err0RTTRejected)
		next, err := client.NextConnection(within(t))
		check(t, err)
		pair{next, server}.streams(t)
		client.CloseWithError(0, "")
	}
}

type contextKey struct{}

// TestClients checks the callbacks about clients.
func TestClients(t *testing.T) {
	s, c := tlsConfigs(t)
	tokens := &tokens{quic.NewLRUTokenStore(1, 1), make(chan struct{}, 100)}
	var refuse atomic.Bool
	var verified atomic.Int32
	contexts := make(chan context.Context, 10)
	tr := &quic.Transport{
		Conn:                listenUDP(t),
		ConnectionIDLength:  7,
		VerifySourceAddress: func(net.Addr) bool { return true },
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			if info.AddrVerified {
				verified.Add(1)
			}
			contexts <- ctx
			return context.WithValue(ctx, contextKey{}, info.RemoteAddr.String()), nil
		},
	}
	defer tr.Close()
	l, err := tr.Listen(s, &quic.Config{GetConfigForClient: func(info *quic.ClientInfo) (*quic.Config, error) {
		if refuse.Load() {
			return nil, errors.New("no")
		}
		return &quic.Config{EnableDatagrams: true, MaxIncomingUniStreams: -1}, nil
	}})
	check(t, err)
	for range 2 { // the second time with a token
		client, err := quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{TokenStore: tokens, EnableDatagrams: true})
		check(t, err)
		server, err := l.Accept(within(t))
		check(t, err)
		if _, port, _ := net.SplitHostPort(client.LocalAddr().String()); !strings.HasSuffix(server.Context().Value(contextKey{}).(string), port) {
			t.Errorf("the context has %v", server.Context().Value(contextKey{}))
		}
		if !server.ConnectionState().SupportsDatagrams.Local {
			t.Error("the connection does not have the Config for the client")
		}
		a, _ := pair{client, server}.streams(t)
		if a.Context().Value(contextKey{}) != nil {
			t.Error("a client has the context of a server")
		}
		<-tokens.came
		client.CloseWithError(0, "")
		ended := <-contexts
		<-ended.Done()
		wantErr(t, "the context of ConnContext", context.Cause(ended), &quic.ApplicationError{Remote: true})
	}
	if n := verified.Load(); n != 2 {
		t.Errorf("%d addresses were verified", n)
	}
	turnedAway := &quic.TransportError{ErrorCode: quic.ConnectionRefused, Remote: true}
	// GetConfigForClient is asked before ConnContext, whose error is that of the context.
	var asked atomic.Int32
	no := errors.New("no")
	tr2 := &quic.Transport{Conn: listenUDP(t), ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
		if asked.Load() == 0 {
			t.Error("ConnContext is asked first")
		}
		contexts <- ctx
		return nil, no
	}}
	defer tr2.Close()
	l2, err := tr2.Listen(s, &quic.Config{GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) {
		asked.Add(1)
		return nil, nil
	}})
	check(t, err)
	_, err = quic.DialAddr(within(t), l2.Addr().String(), c, nil)
	wantErr(t, "Dial to who lets nobody in", err, turnedAway)
	refused := <-contexts
	<-refused.Done()
	wantErr(t, "the context of a client that was refused", context.Cause(refused), no)
	refuse.Store(true)
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, nil)
	wantErr(t, "Dial", err, turnedAway)
}

// TestNonQUICPackets has other packets share the socket.
func TestNonQUICPackets(t *testing.T) {
	a, b := &quic.Transport{Conn: listenUDP(t)}, &quic.Transport{Conn: listenUDP(t)}
	defer a.Close()
	defer b.Close()
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, _, err := b.ReadNonQUICPacket(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ReadNonQUICPacket returned %v", err)
	}
	n, err := a.WriteTo([]byte{0, 1, 2}, b.Conn.LocalAddr())
	if n != 3 || err != nil {
		t.Errorf("WriteTo returned %d, %v", n, err)
	}
	buf := make([]byte, 10)
	n, from, err := b.ReadNonQUICPacket(within(t), buf)
	if n != 3 || err != nil || buf[2] != 2 || from.String() != a.Conn.LocalAddr().String() {
		t.Errorf("ReadNonQUICPacket returned %d, %v, %v", n, from, err)
	}
}

// TestDialErrors checks the error of each way in which Dial fails.
func TestDialErrors(t *testing.T) {
	s, c := tlsConfigs(t)
	nobody := listenUDP(t).LocalAddr().String()
	start := time.Now()
	_, err := quic.DialAddr(within(t), nobody, c, &quic.Config{HandshakeIdleTimeout: 100 * time.Millisecond})
	var timeout net.Error
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); !ok || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("without an answer: %v after %v", err, time.Since(start))
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(io.ErrNoProgress) })
	_, err = quic.DialAddr(ctx, nobody, c, nil)
	wantErr(t, "canceled", err, io.ErrNoProgress)

	l, err := quic.ListenAddr("127.0.0.1:0", s, &quic.Config{Versions: []quic.Version{quic.Version2}})
	check(t, err)
	defer l.Close()
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{Versions: []quic.Version{quic.Version1}})
	if v, ok := errors.AsType[*quic.VersionNegotiationError](err); !ok || len(v.Ours) != 1 || !slices.Contains(v.Theirs, quic.Version2) {
		t.Errorf("without a common version: %v", err)
	}
	c.NextProtos = []string{"another"}
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{Versions: []quic.Version{quic.Version2}})
	if e, ok := errors.AsType[*quic.TransportError](err); !ok || !e.Remote || e.ErrorCode != 0x178 || !e.ErrorCode.IsCryptoError() {
		t.Errorf("without a common protocol: %v", err)
	}
	c = c.Clone()
	c.RootCAs, c.NextProtos = nil, []string{"test"}
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{Versions: []quic.Version{quic.Version2}})
	var cert *tls.CertificateVerificationError
	if !errors.As(err, &cert) {
		t.Errorf("with a certificate of nobody: %v", err)
	}
	if _, err := quic.DialAddr(within(t), nobody, c, &quic.Config{Versions: []quic.Version{3}}); err == nil {
		t.Error("an unknown version")
	}
}

// TestIdle has a peer go away in silence.
func TestIdle(t *testing.T) {
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	client, err := quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{MaxIdleTimeout: time.Second})
	check(t, err)
	<-client.Context().Done()
	_, err = client.OpenStreamSync(within(t))
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); !ok {
		t.Errorf("OpenStreamSync returned %v", err)
	}
}

// A waitingConn is a net.PacketConn with datagrams that have come before anybody reads. More do not
// come until it is closed.
type waitingConn struct {
	*net.UDPConn
	waiting chan []byte
	from    net.Addr
}

func (c *waitingConn) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-c.waiting:
		return copy(p, b), c.from, nil
	default:
		return c.UDPConn.ReadFrom(p)
	}
}

// TestListenAfterPackets: what has come to the socket before Listen finds the listener.
func TestListenAfterPackets(t *testing.T) {
	s, c := tlsConfigs(t)
	c.CurvePreferences = []tls.CurveID{tls.X25519} // the ClientHello fits a datagram
	sink := listenUDP(t)
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		quic.DialAddr(ctx, sink.LocalAddr().String(), c, nil)
	}()
	b := make([]byte, 2000)
	n, from, err := sink.ReadFrom(b)
	check(t, err)
	cancel()
	<-ended
	for range 20 {
		pc := &waitingConn{UDPConn: listenUDP(t), waiting: make(chan []byte, 1), from: from}
		pc.waiting <- b[:n]
		l, err := quic.ListenEarly(pc, s, nil)
		check(t, err)
		_, err = l.Accept(within(t))
		check(t, err)
		check(t, l.Close())
	}
}

// TestSourceIDs: a client that has its socket for itself has an empty connection ID, as with
// quic-go. On the socket of a Transport the length is that of the Transport.
func TestSourceIDs(t *testing.T) {
	_, c := tlsConfigs(t)
	type dial func(context.Context, net.Addr) (*quic.Conn, error)
	on := func(tr *quic.Transport) dial {
		tr.Conn = listenUDP(t)
		t.Cleanup(func() { tr.Close() })
		return func(ctx context.Context, to net.Addr) (*quic.Conn, error) { return tr.Dial(ctx, to, c, nil) }
	}
	for _, tt := range []struct {
		name string
		dial dial
		want byte
	}{
		{"DialAddr", func(ctx context.Context, to net.Addr) (*quic.Conn, error) {
			return quic.DialAddr(ctx, to.String(), c, nil)
		}, 0},
		{"Dial", func(ctx context.Context, to net.Addr) (*quic.Conn, error) {
			return quic.Dial(ctx, listenUDP(t), to, c, nil)
		}, 0},
		{"a Transport", on(&quic.Transport{}), 4},
		{"with ConnectionIDLength", on(&quic.Transport{ConnectionIDLength: 5}), 5},
		{"with a generator", on(&quic.Transport{ConnectionIDGenerator: noIDs{}}), 0},
	} {
		server := listenUDP(t) // it reads the first packet, and answers none
		ctx, cancel := context.WithCancel(within(t))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tt.dial(ctx, server.LocalAddr())
		}()
		b := make([]byte, 2048)
		check(t, server.SetReadDeadline(time.Now().Add(time.Minute)))
		_, _, err := server.ReadFrom(b)
		check(t, err)
		// first byte, version, length and destination ID, and then the length of the source ID
		if got := b[6+b[5]]; got != tt.want {
			t.Errorf("%s: an ID of %d bytes, not %d", tt.name, got, tt.want)
		}
		cancel()
		<-ended
	}
}

// noIDs is a quic.ConnectionIDGenerator of empty IDs.
type noIDs struct{}

func (noIDs) GenerateConnectionID() (quic.ConnectionID, error) { return quic.ConnectionID{}, nil }
func (noIDs) ConnectionIDLen() int                             { return 0 }

// failingIDs is a quic.ConnectionIDGenerator that has no IDs left.
type failingIDs struct{ noIDs }

var errNoIDs = errors.New("no IDs left")

func (failingIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	return quic.ConnectionID{}, errNoIDs
}

// TestFailingIDs: the error of a generator is that of Dial, as it is.
func TestFailingIDs(t *testing.T) {
	_, client := tlsConfigs(t)
	tr := &quic.Transport{Conn: listenUDP(t), ConnectionIDGenerator: failingIDs{}}
	defer tr.Close()
	if _, err := tr.Dial(within(t), listenUDP(t).LocalAddr(), client, nil); err != errNoIDs {
		t.Errorf("Dial returned %v", err)
	}
}

// A goneConn has no socket any more.
type goneConn struct{ net.PacketConn }

var errGone = errors.New("gone")

func (goneConn) SyscallConn() (syscall.RawConn, error) { return nil, errGone }

// TestConnWithoutSocket: an error of SyscallConn is that of Listen and Dial.
func TestConnWithoutSocket(t *testing.T) {
	server, client := tlsConfigs(t)
	tr := &quic.Transport{Conn: goneConn{listenUDP(t)}}
	_, err := tr.Listen(server, nil)
	wantErr(t, "Listen", err, errGone)
	_, err = tr.Dial(within(t), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, client, nil)
	wantErr(t, "Dial", err, errGone)
}
