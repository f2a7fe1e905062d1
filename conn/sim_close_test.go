package conn_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// closeMany is more than the number of answers to strangers that an Endpoint keeps.
const closeMany = 300

// Many connections that close in one turn all tell their peers at once, whatever strangers send
// meanwhile.
func TestManyCloseInOneTurn(t *testing.T) {
	for _, segments := range []int{1, 64} {
		rnd := conntest.Seed(t, 1)
		n := simulate(t, 1)
		n.Default = conntest.Link{Delay: 10 * time.Millisecond}
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		server.OnEvent = discard
		server.MaxSegments = segments
		told := 0
		client.OnEvent = func(_ time.Time, ev conn.Event) {
			if ev.Kind == conn.EventClosed {
				told++
			}
		}
		for range closeMany {
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			require.NoError(t, err)
			n.RunUntil(time.Second, c.HandshakeComplete)
		}
		n.RunFor(5 * time.Second)
		flood(n, server)
		for c := range server.Conns() {
			c.Close(closeCode, "")
		}
		flood(n, server)
		n.RunFor(15 * time.Millisecond)
		require.Equal(t, closeMany, told)
	}
}

// flood makes a stranger send more than an Endpoint answers, from one address.
func flood(n *simulation, to *conntest.Node) {
	long := make([]byte, 1200) // of an unknown version, with IDs of 8 bytes
	long[0], long[4], long[5], long[14] = 0xc0, 99, 8, 8
	for range 2 * closeMany {
		to.Receive(n.Now(), conn.Datagram{Data: long, Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: to.Addr})
	}
}

// Strangers who send without end do not keep an Endpoint from what its connections have to send.
func TestFloodHoldsUpNobody(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent, client.OnEvent = discard, discard
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(time.Second, c.HandshakeComplete)
	n.RunFor(time.Second)
	for c := range server.Conns() {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		s.Write(make([]byte, 1000))
	}
	flood(n, server)
	buf := make([]byte, 64<<10)
	for i := range 6 {
		b, ok := server.Transmit(n.Now(), buf, 1)
		require.True(t, ok)
		if b.Remote == client.Addr {
			return
		}
		require.Less(t, i, 5, "answers to strangers go before the connection")
	}
}

// Connections without an ID of their own end with nothing left, wherever they have moved meanwhile.
func TestMovedWithoutIDs(t *testing.T) {
	for _, c := range []struct {
		name      string
		preferred bool
		reachable bool
	}{{"stays", false, false}, {"moves", true, true}, {"tries to move", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			cfg := conntest.ServerConfig()
			preferred := netip.MustParseAddrPort("10.0.0.9:443")
			if c.preferred {
				cfg.PreferredAddress4 = preferred
			}
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd})
			if c.reachable {
				n.AddAddr(server, preferred.String())
			}
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, ConnIDs: noIDs{}})
			server.OnEvent, client.OnEvent = discard, discard
			for range 2 { // remains of the first round would disturb the second
				cc, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
				require.NoError(t, err)
				n.RunUntil(time.Second, cc.HandshakeComplete)
				n.RunFor(8 * time.Second)
				n.Rebind(client, "10.0.0.2:5001")
				s, err := cc.OpenStream(conn.Bidi)
				require.NoError(t, err)
				s.Write(make([]byte, 100_000))
				n.RunFor(time.Second)
				require.NoError(t, cc.Err())
				if c.reachable {
					require.Equal(t, preferred, cc.RemoteAddr())
				}
				cc.Close(closeCode, "")
				n.rest()
				require.NoError(t, client.CheckEmpty(n.Now()))
				require.NoError(t, server.CheckEmpty(n.Now()))
				n.Rebind(client, "10.0.0.2:5000")
			}
		})
	}
}

// noIDs issues empty connection IDs.
type noIDs struct{}

func (noIDs) Generate(*[20]byte) int { return 0 }
func (noIDs) Len([]byte) int         { return 0 }
