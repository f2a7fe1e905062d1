package conn_test

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// ConfigForClient gives each client the configuration that is meant for it, or refuses it.
func TestConfigForClient(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	special := conntest.ServerConfig()
	special.InitialMaxStreamsBidi = 3
	special.MaxIdleTimeout = 7 * time.Second
	special.KeepAlive = -1
	bad := conntest.ServerConfig()
	bad.TLS = bad.TLS.Clone()
	bad.TLS.Certificates = nil
	var asked []netip.AddrPort
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{
		Server: conntest.ServerConfig(), Rand: rnd,
		ConfigForClient: func(r conn.AdmissionRequest) (*conn.Config, error) {
			asked = append(asked, r.Remote)
			switch r.Remote.Addr().String() {
			case "10.0.0.2":
				return special, nil
			case "10.0.0.3":
				return nil, errors.New("unknown")
			case "10.0.0.4":
				return bad, nil
			}
			return nil, nil
		},
	})
	accepted := map[string]*conn.Conn{}
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventConnected {
			accepted[ev.Conn.RemoteAddr().Addr().String()] = ev.Conn
		}
	}
	for addr, want := range map[string]int{"10.0.0.2": 3, "10.0.0.3": -1, "10.0.0.4": -1, "10.0.0.5": 100} {
		client := n.Add(addr+":5000", &conn.EndpointConfig{Rand: rnd})
		for range 2 { // the second time, the configuration is ready
			var closed error
			client.OnEvent = func(_ time.Time, ev conn.Event) {
				if ev.Kind == conn.EventClosed {
					closed = ev.Err
				}
			}
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			require.NoError(t, err)
			n.RunFor(time.Second)
			if want < 0 {
				var refused *conn.TransportError
				require.ErrorAs(t, closed, &refused)
				require.True(t, refused.Remote)
				require.Equal(t, uint64(2), refused.Code) // CONNECTION_REFUSED
				break
			}
			require.True(t, c.HandshakeComplete())
			streams := 0
			for ; ; streams++ {
				if _, err := c.OpenStream(conn.Bidi); err != nil {
					require.ErrorIs(t, err, conn.ErrStreamLimit)
					break
				}
			}
			require.Equal(t, want, streams)
			require.Equal(t, int64(want), accepted[addr].Config().InitialMaxStreamsBidi)
			c.Close(0, "")
			n.RunFor(10 * time.Second)
		}
	}
	// the ClientHello has two datagrams, and is refused twice
	require.GreaterOrEqual(t, len(asked), 6)
}

// TestSetServer: a server that comes later, is exchanged and goes away again.
func TestSetServer(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rnd})
	var last *conn.Conn
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventConnected {
			last = ev.Conn
		}
	}
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	connects := func(versions ...uint32) bool {
		cfg := conntest.ClientConfig()
		cfg.Versions, cfg.HandshakeTimeout = versions, time.Second
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
		require.NoError(t, err)
		n.RunFor(2 * time.Second)
		return c.HandshakeComplete()
	}
	require.False(t, connects(conn.Version1))
	require.NoError(t, server.SetServer(conntest.ServerConfig()))
	require.True(t, connects(conn.Version1))
	require.True(t, connects(conn.Version2))
	first := last

	require.Error(t, server.SetServer(&conn.Config{}))
	only := conntest.ServerConfig()
	only.Versions, only.InitialMaxStreamsUni = []uint32{conn.Version2}, 7
	require.NoError(t, server.SetServer(only))
	require.False(t, connects(conn.Version1))
	require.True(t, connects(conn.Version2))
	require.Equal(t, int64(7), last.Config().InitialMaxStreamsUni)

	require.NoError(t, server.SetServer(nil))
	require.False(t, connects(conn.Version2))
	require.NoError(t, first.Err())
	require.Equal(t, int64(100), first.Config().InitialMaxStreamsUni)
}

// TestTokenKeysAreCopied: a program may wipe its keys once the endpoint has them. Servers that come
// later seal session tickets with them nevertheless.
func TestTokenKeysAreCopied(t *testing.T) {
	for name, give := range map[string]func(cfg *conn.EndpointConfig, keys [][32]byte) (later func(*conntest.Node)){
		"EndpointConfig": func(cfg *conn.EndpointConfig, keys [][32]byte) func(*conntest.Node) {
			cfg.TokenKeys = keys
			return func(*conntest.Node) {}
		},
		"SetTokenKeys": func(_ *conn.EndpointConfig, keys [][32]byte) func(*conntest.Node) {
			return func(a *conntest.Node) { a.SetTokenKeys(keys) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := conntest.New(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			keys := [][32]byte{{1, 2, 3}}
			cfg := &conn.EndpointConfig{Rand: rnd, Server: conntest.ServerConfig()}
			later := give(cfg, keys)
			wiped := n.Add("10.0.0.1:443", cfg)
			later(wiped)
			clear(keys)
			require.NoError(t, wiped.SetServer(conntest.ServerConfig()))
			honest := n.Add("10.0.0.3:443", &conn.EndpointConfig{
				Rand: rnd, Server: conntest.ServerConfig(), TokenKeys: [][32]byte{{1, 2, 3}},
			})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			tickets := conntest.ClientConfig()
			tickets.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			for i, to := range []*conntest.Node{wiped, honest, wiped} {
				c, err := client.Dial(n.Now(), conn.Target{Remote: to.Addr}, tickets)
				require.NoError(t, err)
				n.RunFor(time.Second)
				require.Equal(t, i > 0, c.TLS().DidResume, "connection %d", i)
			}
		})
	}
}

// TestAdmittedWith: a connection tells how its client had proved its address.
func TestAdmittedWith(t *testing.T) {
	for retry, want := range map[conn.Admission]conn.TokenKind{
		conn.AdmissionAccept: conn.TokenNone, conn.AdmissionRetry: conn.TokenRetry,
	} {
		rnd := conntest.Seed(t, 1)
		n := conntest.New(t, 1)
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{
			Server: conntest.ServerConfig(), Rand: rnd,
			Admit: func(conn.AdmissionRequest) conn.Admission { return retry },
		})
		var accepted *conn.Conn
		server.OnEvent = func(_ time.Time, ev conn.Event) { accepted = ev.Conn }
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		require.NoError(t, err)
		require.False(t, c.ResetAtSupported())
		n.RunFor(time.Second)
		require.Equal(t, want, accepted.AdmittedWith())
		require.Equal(t, conn.TokenNone, c.AdmittedWith())
		require.True(t, c.ResetAtSupported())
	}
}

// A fixedRate is a controller whose rate the application sets.
type fixedRate struct {
	congestion.Controller
	rate uint64
}

func (f *fixedRate) PacingRate() uint64 {
	if f.rate > 0 {
		return f.rate
	}
	return f.Controller.PacingRate()
}

func newFixedRate(p congestion.Params) congestion.Controller {
	return &fixedRate{Controller: congestion.NewCubic(p)}
}

// Controller leads to the controller of a connection, so that an application can tell it
// what it has learned.
func TestController(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	cfg := conntest.ClientConfig()
	cfg.Congestion = newFixedRate
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	require.NoError(t, err)
	n.RunUntil(time.Second, c.HandshakeComplete)
	own, ok := c.Controller().(*fixedRate)
	require.True(t, ok)
	own.rate = 1e6
	require.Equal(t, uint64(1e6), c.Controller().(*fixedRate).rate)
}

// Datagrams of other protocols go to those who share the socket, those of QUIC do not,
// also if a connection clears the fixed bit.
func TestNonQUIC(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	var got [][]byte
	from := netip.MustParseAddrPort("10.0.0.9:3478")
	ep, err := conn.NewEndpoint(&conn.EndpointConfig{
		Rand: rnd, Server: conntest.ServerConfig(),
		NonQUIC: func(_ time.Time, d conn.Datagram) {
			require.Equal(t, from, d.Remote)
			got = append(got, append([]byte(nil), d.Data...))
		},
	})
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	dtls := append([]byte{22, 254, 253}, make([]byte, 60)...)
	rtp := append([]byte{0x80, 96, 0, 1}, make([]byte, 40)...)
	for _, b := range [][]byte{stun, dtls, rtp, {0}} {
		ep.Receive(now, conn.Datagram{Data: b, Remote: from})
	}
	require.Equal(t, [][]byte{stun, dtls, rtp, {0}}, got)
	both := append(append([]byte(nil), stun...), stun...)
	ep.Receive(now, conn.Datagram{Data: both, SegmentSize: len(stun), Remote: from}) // GRO
	require.Len(t, got, 6)
	ep.Receive(now, conn.Datagram{Data: append([]byte{0x40}, make([]byte, 50)...), Remote: from})
	ep.Receive(now, conn.Datagram{Data: append([]byte{0xc0}, make([]byte, 50)...), Remote: from})
	require.Len(t, got, 6)
	require.Equal(t, 0, ep.Stats().Conns)
}

// A connection whose peer clears the fixed bit (RFC 9287) keeps its packets.
// RFC 9287, Section 3 [2].
func TestNonQUICAndGrease(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	strays := 0
	nonQUIC := func(time.Time, conn.Datagram) { strays++ }
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd, NonQUIC: nonQUIC})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, NonQUIC: nonQUIC})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Uni)
	require.NoError(t, err)
	s.Write(make([]byte, 500_000))
	n.RunFor(5 * time.Second)
	require.Zero(t, strays)
	require.Greater(t, c.Stats().PacketsSent, uint64(50))
}
