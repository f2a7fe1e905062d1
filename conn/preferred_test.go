package conn_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// "A server conveys a preferred address" RFC 9000, Section 9.6: the client validates it, moves
// there, and its streams go on.
func TestPreferredAddress(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		rnd := conntest.Seed(t, 1)
		n := simulate(t, 1)
		n.Default = conntest.Link{Delay: 10 * time.Millisecond}
		preferred := netip.MustParseAddrPort("10.0.0.9:443")
		sc := conntest.ServerConfig()
		sc.PreferredAddress4 = preferred
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		if reachable {
			n.AddAddr(server, preferred.String())
		}
		total := 0
		server.OnEvent = func(_ time.Time, ev conn.Event) {
			if ev.Kind == conn.EventStreamReadable {
				for {
					b, err := ev.Stream.Peek(1)
					total += len(b)
					ev.Stream.Discard(len(b))
					if err != nil {
						return
					}
				}
			}
		}
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		n.RunUntil(time.Second, c.HandshakeComplete)
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 100_000))
		n.RunFor(8 * time.Second)
		want, changes := server.Addr, uint64(0)
		if reachable {
			want, changes = preferred, 1
		}
		if got := c.RemoteAddr(); got != want {
			t.Errorf("reachable %t: the client is connected to %v, want %v", reachable, got, want)
		}
		if st := c.Stats(); st.PathChanges != changes {
			t.Errorf("reachable %t: %d path changes, want %d", reachable, st.PathChanges, changes)
		}
		s.Write(make([]byte, 100_000))
		n.RunFor(time.Second)
		if total != 200_000 {
			t.Errorf("reachable %t: %d bytes arrived", reachable, total)
		}
	}
}

// TestPreferredAddressWithLosses: the first datagrams on the way to the preferred address, or from
// there, are lost. The sides ask again, and move. If all are lost, the connection goes on where it
// is. RFC 9000, Section 9.6.1 [1, 2, 3].
// RFC 9000, Section 9.6.2 [1]; RFC 9000, Section 21.5.3 [1].
func TestPreferredAddressWithLosses(t *testing.T) {
	preferred := netip.MustParseAddrPort("10.0.0.9:443")
	for _, tt := range []struct {
		name     string
		to, from int // how many datagrams are lost there
		moves    bool
	}{
		{"the first probe", 1, 0, true},
		{"two probes", 2, 0, true},
		{"the first answer", 0, 1, true},
		{"two answers", 0, 2, true},
		{"the probe and the answer", 1, 1, true},
		{"all probes", 1 << 20, 0, false},
		{"all answers", 0, 1 << 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			to, from := 0, 0
			n.Default = conntest.Link{Delay: 10 * time.Millisecond, Filter: func(p *conntest.Packet) bool {
				switch preferred {
				case p.Dst:
					to++
					return to > tt.to
				case p.Src:
					from++
					return from > tt.from
				}
				return true
			}}
			sc := conntest.ServerConfig()
			sc.PreferredAddress4 = preferred
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			n.AddAddr(server, preferred.String())
			var at *conn.Conn
			server.OnEvent = func(_ time.Time, ev conn.Event) { at = ev.Conn }
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			require.NoError(t, err)
			n.RunFor(8 * time.Second)
			want := server.Addr
			if tt.moves {
				want = preferred
			}
			require.Equal(t, want, c.RemoteAddr())
			require.Equal(t, want, at.LocalAddr())
			s, err := c.OpenStream(conn.Uni)
			require.NoError(t, err)
			s.Write([]byte("hello"))
			s.CloseWrite()
			n.RunFor(time.Second)
			require.Zero(t, c.Stats().BytesInFlight)
		})
	}
}

// TestMigrationBeforePreferred: a client changes its own address before it has moved to the address
// that its server prefers. It moves there from its new address. RFC 9000, Section 9.6.3 [2, 3, 4].
// RFC 9000, Section 9.6.3 [5].
func TestMigrationBeforePreferred(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	preferred := netip.MustParseAddrPort("10.0.0.9:443")
	sc := conntest.ServerConfig()
	sc.PreferredAddress4 = preferred
	sc.PreferredAddress6 = netip.MustParseAddrPort("[2001:db8::9]:443") // of the other family
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	n.AddAddr(server, preferred.String())
	other := n.AddAddr(client, "10.0.0.3:5000")
	var at *conn.Conn
	server.OnEvent = func(_ time.Time, ev conn.Event) { at = ev.Conn }
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr, Local: client.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(time.Second, func() bool { return c.Migrate(other) == nil })
	require.Equal(t, server.Addr, c.RemoteAddr())
	n.RunFor(8 * time.Second)
	require.Equal(t, preferred, c.RemoteAddr())
	require.Equal(t, other, c.LocalAddr())
	require.Equal(t, preferred, at.LocalAddr())
	require.Equal(t, other, at.RemoteAddr())
	require.Equal(t, uint64(2), c.Stats().PathChanges)
}

// TestProbeInsteadOfPreferred: a client whose connection ID is empty looks at another local address
// before it knows whether the address that its server prefers can be reached. It leaves that to
// others: they can dial it.
func TestProbeInsteadOfPreferred(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	preferred := netip.MustParseAddrPort("10.0.0.9:443") // nobody is there
	sc := conntest.ServerConfig()
	sc.PreferredAddress4 = preferred
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, ConnIDs: noIDs{}})
	other := n.AddAddr(client, "10.0.0.3:5000")
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr, Local: client.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(time.Second, func() bool { return c.Probe(other) == nil })
	_, err = client.Dial(n.Now(), conn.Target{Remote: preferred}, conntest.ClientConfig())
	require.Error(t, err, "packets may be under way from there")
	n.RunFor(8 * time.Second)
	require.NoError(t, c.Err())
	_, err = client.Dial(n.Now(), conn.Target{Remote: preferred}, conntest.ClientConfig())
	require.NoError(t, err)
}

// TestPreferredLinkLocal: a link-local address means something only on a link, which is the one on
// which the client has reached the server (RFC 4007, Section 6).
func TestPreferredLinkLocal(t *testing.T) {
	for _, tt := range []struct{ server, client, preferred, at, want string }{
		{"[fe80::1%eth0]:443", "[fe80::2%eth0]:5000", "[fe80::9]:443", "[fe80::9%eth0]:443", "[fe80::9%eth0]:443"},
		// The server names its own interface, which the client does not learn.
		{"[fe80::1%eth0]:443", "[fe80::2%eth0]:5000", "[fe80::9%eth7]:443", "[fe80::9%eth0]:443", "[fe80::9%eth0]:443"},
		{"[fe80::1%eth0]:443", "[fe80::2%eth0]:5000", "[2001:db8::9]:443", "[2001:db8::9]:443", "[2001:db8::9]:443"},
		{"[2001:db8::1]:443", "[2001:db8::2]:5000", "[fe80::9]:443", "[fe80::9]:443", "[2001:db8::1]:443"},
	} {
		t.Run(tt.server+" prefers "+tt.preferred, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			sc := conntest.ServerConfig()
			sc.PreferredAddress6 = netip.MustParseAddrPort(tt.preferred)
			server := n.Add(tt.server, &conn.EndpointConfig{Server: sc, Rand: rnd})
			client := n.Add(tt.client, &conn.EndpointConfig{Rand: rnd})
			n.AddAddr(server, tt.at)
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			require.NoError(t, err)
			failed := 0
			client.OnEvent = func(_ time.Time, ev conn.Event) {
				if ev.Kind == conn.EventPathFailed {
					failed++
				}
			}
			n.RunFor(8 * time.Second)
			require.True(t, c.HandshakeComplete())
			require.Equal(t, tt.want, c.RemoteAddr().String())
			require.Zero(t, failed)
		})
	}
}

// TestDownloadWhileTheServerMoves: the client moves to the preferred address. Packets that are
// under way from the server's first address are not lost (RFC 9000, Section 9.6).
func TestDownloadWhileTheServerMoves(t *testing.T) {
	const size = 2_000_000
	took := func(move bool) time.Duration {
		rnd := conntest.Seed(t, 1)
		n := simulate(t, 1)
		n.Default = conntest.Link{Delay: 25 * time.Millisecond, Rate: 50e6, Queue: 500_000}
		sc := conntest.ServerConfig()
		preferred := netip.MustParseAddrPort("10.0.0.9:443")
		if move {
			sc.PreferredAddress4 = preferred
		}
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		n.AddAddr(server, preferred.String())
		rest := size
		server.OnEvent = func(_ time.Time, ev conn.Event) {
			s := ev.Stream
			switch ev.Kind {
			case conn.EventConnected:
				s, _ = ev.Conn.OpenStream(conn.Uni)
			case conn.EventStreamWritable:
			default:
				return
			}
			for rest > 0 {
				n, err := s.Write(make([]byte, min(rest, 64<<10)))
				if rest -= n; err != nil {
					return
				}
			}
		}
		got := 0
		client.OnEvent = func(_ time.Time, ev conn.Event) {
			if ev.Kind != conn.EventStreamReadable {
				return
			}
			for {
				b, err := ev.Stream.Peek(1)
				got += len(b)
				if ev.Stream.Discard(len(b)); err != nil {
					return
				}
			}
		}
		start := n.Now()
		c, err := client.Dial(start, conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		require.NoError(t, err)
		n.RunUntil(time.Minute, func() bool { return got == size })
		require.Equal(t, size, got)
		require.Equal(t, move, c.RemoteAddr() == preferred)
		require.Zero(t, client.Stats().DroppedUnroutable)
		return n.Now().Sub(start)
	}
	stays, moves := took(false), took(true)
	if moves > stays+100*time.Millisecond { // two round trips
		t.Errorf("%v with a move, %v without", moves, stays)
	}
}
