package quic_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// wantCode checks that err ends a connection with a code that the peer sent.
func wantCode(t *testing.T, what string, err error, code quic.TransportErrorCode) {
	t.Helper()
	if e, ok := errors.AsType[*quic.TransportError](err); !ok || !e.Remote || e.ErrorCode != code {
		t.Errorf("%s: the error is %v, not %v of the peer", what, err, code)
	}
}

// TestAcceptQueue checks that Accept returns connections in the order of their handshakes, after
// Close too, and that those for which there is no room are refused after their handshake.
func TestAcceptQueue(t *testing.T) {
	const room = 32
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	tr := &quic.Transport{Conn: listenUDP(t)}
	defer tr.Close()
	var conns []*quic.Conn
	for range room {
		conns = append(conns, dialConfirmed(t, tr, l.Addr(), c, quic.Config{}))
	}
	extra, err := tr.Dial(within(t), l.Addr(), c, nil)
	check(t, err)
	<-extra.Context().Done()
	wantCode(t, "one too many", context.Cause(extra.Context()), quic.ConnectionRefused)
	check(t, l.Close())
	for i, conn := range conns {
		server, err := l.Accept(within(t))
		check(t, err)
		check(t, server.CloseWithError(quic.ApplicationErrorCode(i), ""))
		<-conn.Context().Done()
		if e, ok := errors.AsType[*quic.ApplicationError](context.Cause(conn.Context())); !ok || e.ErrorCode != quic.ApplicationErrorCode(i) {
			t.Fatalf("connection %d ended with %v", i, context.Cause(conn.Context()))
		}
	}
	_, err = l.Accept(within(t))
	wantErr(t, "Accept", err, quic.ErrServerClosed)
}

// dialConfirmed dials, and waits until the server has completed the handshake, which is when it
// sends a token.
func dialConfirmed(t *testing.T, tr *quic.Transport, addr net.Addr, c *tls.Config, cfg quic.Config) *quic.Conn {
	t.Helper()
	kept := &tokens{quic.NewLRUTokenStore(1, 1), make(chan struct{}, 10)}
	cfg.TokenStore = kept
	conn, err := tr.Dial(within(t), addr, c, &cfg)
	check(t, err)
	select {
	case <-kept.came:
	case <-within(t).Done():
		t.Fatal("the handshake is not confirmed")
	}
	return conn
}

// TestCloseRefuses checks that Close of a listener refuses handshakes that go on.
func TestCloseRefuses(t *testing.T) {
	s, c := tlsConfigs(t)
	came, closed := make(chan struct{}), make(chan struct{})
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			close(came)
			<-closed
			return s, nil
		},
	}, nil)
	check(t, err)
	go func() {
		<-came
		l.Close()
		close(closed)
	}()
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, nil)
	wantCode(t, "Dial", err, quic.ConnectionRefused)
}

// TestContexts checks that callbacks of TLS get contexts with the values of the connection.
func TestContexts(t *testing.T) {
	type key struct{}
	s, c := tlsConfigs(t)
	values := make(chan any, 2)
	tr := &quic.Transport{Conn: listenUDP(t), ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
		return context.WithValue(ctx, key{}, "server"), nil
	}}
	defer tr.Close()
	s.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		values <- info.Context().Value(key{})
		return nil, nil
	}
	s.ClientAuth = tls.RequestClientCert
	l, err := tr.Listen(s, nil)
	check(t, err)
	c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		values <- info.Context().Value(key{})
		return new(tls.Certificate), nil
	}
	conn, err := quic.DialAddr(context.WithValue(within(t), key{}, "client"), l.Addr().String(), c, nil)
	check(t, err)
	defer conn.CloseWithError(0, "")
	if a, b := <-values, <-values; a != "server" || b != "client" {
		t.Errorf("the contexts have %v and %v", a, b)
	}
}

// TestTokens checks MaxTokenAge, and that an old token of a Retry packet is an error.
func TestTokens(t *testing.T) {
	for _, age := range []time.Duration{0, 1} {
		s, c := tlsConfigs(t)
		verified := make(chan bool, 2)
		tr := &quic.Transport{Conn: listenUDP(t), MaxTokenAge: age}
		defer tr.Close()
		l, err := tr.Listen(s, &quic.Config{GetConfigForClient: func(info *quic.ClientInfo) (*quic.Config, error) {
			verified <- info.AddrVerified
			return nil, nil
		}})
		check(t, err)
		kept := &tokens{quic.NewLRUTokenStore(1, 1), make(chan struct{}, 10)}
		for i := range 2 {
			conn, err := quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{TokenStore: kept})
			check(t, err)
			<-kept.came
			conn.CloseWithError(0, "")
			if got := <-verified; got != (i == 1 && age == 0) {
				t.Errorf("with MaxTokenAge %v, connection %d is verified: %v", age, i, got)
			}
		}
	}
	s, c := tlsConfigs(t)
	tr := &quic.Transport{Conn: listenUDP(t), VerifySourceAddress: func(net.Addr) bool { return true }}
	defer tr.Close()
	l, err := tr.Listen(s, &quic.Config{HandshakeIdleTimeout: 1}) // the token holds for 2 ns
	check(t, err)
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, nil)
	wantCode(t, "an old token", err, quic.InvalidToken)
}

// TestTransportCloseIsSilent checks that peers are not told, and that Accept returns no connection
// that has ended so.
func TestTransportCloseIsSilent(t *testing.T) {
	s, c := tlsConfigs(t)
	tr := &quic.Transport{Conn: listenUDP(t)}
	l, err := tr.Listen(s, nil)
	check(t, err)
	client := &quic.Transport{Conn: listenUDP(t)}
	defer client.Close()
	conn := dialConfirmed(t, client, l.Addr(), c, quic.Config{MaxIdleTimeout: 3 * time.Second})
	check(t, tr.Close())
	_, err = l.Accept(within(t))
	wantErr(t, "Accept", err, quic.ErrTransportClosed)
	<-conn.Context().Done()
	wantErr(t, "the client", context.Cause(conn.Context()), new(quic.IdleTimeoutError))
}

// TestNoALPN checks that programs which agree on their protocol otherwise need no NextProtos, and
// that an error of TLS names the alert.
func TestNoALPN(t *testing.T) {
	s, c := tlsConfigs(t)
	c.NextProtos = []string{"another"}
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, nil)
	wantCode(t, "another protocol", err, 0x178)
	if !strings.Contains(err.Error(), "tls: no application protocol") {
		t.Errorf("the error is %v", err)
	}
	s, c = s.Clone(), c.Clone()
	s.NextProtos, c.NextProtos = nil, nil
	l, err = quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	conn, err := quic.DialAddr(within(t), l.Addr().String(), c, nil)
	check(t, err)
	conn.CloseWithError(0, "")
}

// TestQUICVersionContextKey checks that callbacks of TLS on a server know the version.
func TestQUICVersionContextKey(t *testing.T) {
	s, c := tlsConfigs(t)
	got := make(chan any, 1)
	s.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		got <- hello.Context().Value(quic.QUICVersionContextKey)
		return nil, nil
	}
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	for _, version := range quic.SupportedVersions() {
		conn, err := quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{Versions: []quic.Version{version}})
		check(t, err)
		if v := <-got; v != version {
			t.Errorf("the version is %v, not %v", v, version)
		}
		conn.CloseWithError(0, "")
	}
}

// TestTicketsOfConfig: a listener takes the sessions, and the early data, of another one that has the
// same tls.Config, also if the program wraps the tickets, and unwraps them only later.
func TestTicketsOfConfig(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		s, c := tlsConfigs(t)
		if wrapped {
			s.WrapSession = s.EncryptTicket
		}
		sessions := keepSessions(c)
		for i := range 3 {
			later := wrapped && i == 2
			unwrapped := false
			cfg := &quic.Config{Allow0RTT: true}
			// The listener asks for this before it reads s for a connection: s does not change under it.
			cfg.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) {
				if later {
					s.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
						unwrapped = true
						return s.DecryptTicket(ticket, cs)
					}
				}
				return nil, nil
			}
			l, err := quic.ListenAddrEarly("127.0.0.1:0", s, cfg)
			check(t, err)
			defer l.Close()
			client, err := quic.DialAddrEarly(within(t), l.Addr().String(), c, nil)
			check(t, err)
			server, err := l.Accept(within(t))
			check(t, err)
			pair{client, server}.streams(t)
			<-client.HandshakeComplete()
			<-server.HandshakeComplete()
			if resumed := client.ConnectionState().Used0RTT; resumed != (i > 0) || unwrapped != later {
				t.Errorf("wrapped is %v, connection %d: early data is %v, unwrapped %v", wrapped, i, resumed, unwrapped)
			}
			<-sessions.came
			client.CloseWithError(0, "")
			<-server.Context().Done()
		}
	}
}

// TestNoCertificate checks that a program may listen without a certificate, and that no client
// connects.
func TestNoCertificate(t *testing.T) {
	s, c := tlsConfigs(t)
	s.Certificates = nil
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	_, err = quic.DialAddr(within(t), l.Addr().String(), c, nil)
	wantCode(t, "no certificate", err, 0x150) // internal_error, as crypto/tls has it
}

// TestInvalidHello checks that nothing is sent if TLS has no ClientHello.
func TestInvalidHello(t *testing.T) {
	_, c := tlsConfigs(t)
	c.NextProtos = []string{""}
	nobody := listenUDP(t)
	_, err := quic.DialAddr(within(t), nobody.LocalAddr().String(), c, nil)
	if e, ok := errors.AsType[*quic.TransportError](err); !ok || !e.ErrorCode.IsCryptoError() {
		t.Errorf("Dial returned %v", err)
	}
	// A packet to loopback is there as soon as it is sent: the one that follows comes after it.
	from := listenUDP(t)
	from.WriteTo([]byte("after"), nobody.LocalAddr())
	b := make([]byte, 2000)
	if n, _, err := nobody.ReadFrom(b); err != nil || string(b[:n]) != "after" {
		t.Errorf("%d bytes were sent, %v", n, err)
	}
}

// TestSilenceAboutVersions checks that DisableVersionNegotiationPackets keeps a Transport silent.
func TestSilenceAboutVersions(t *testing.T) {
	s, c := tlsConfigs(t)
	for _, silent := range []bool{false, true} {
		tr := &quic.Transport{Conn: listenUDP(t), DisableVersionNegotiationPackets: silent}
		defer tr.Close()
		l, err := tr.Listen(s, &quic.Config{Versions: []quic.Version{quic.Version1}})
		check(t, err)
		wait := time.Minute
		if silent {
			wait = 300 * time.Millisecond
		}
		_, err = quic.DialAddr(within(t), l.Addr().String(), c, &quic.Config{
			Versions: []quic.Version{quic.Version2}, HandshakeIdleTimeout: wait,
		})
		_, told := errors.AsType[*quic.VersionNegotiationError](err)
		_, idle := errors.AsType[*quic.IdleTimeoutError](err)
		if told == silent || idle != silent {
			t.Errorf("DisableVersionNegotiationPackets is %v, and Dial returned %v", silent, err)
		}
	}
}
