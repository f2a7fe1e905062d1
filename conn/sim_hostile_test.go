package conn_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// Paths that do harm: the transfer goes on, bit for bit, and its speed comes back.
func TestHostilePaths(t *testing.T) {
	began := func(w *world, d time.Duration) bool {
		return w.client.connected != 0 && w.client.now() > w.client.connected+d
	}
	for _, c := range []struct {
		name  string
		spoil func(w *world, up, down *conntest.Link)
		check func(t *testing.T, out outcome)
	}{
		{"RFC 9000, Section 13.4.2: marks are bleached", func(_ *world, up, down *conntest.Link) {
			bleach := func(p *conntest.Packet) bool { p.ECN = conn.NotECT; return true }
			up.Filter, down.Filter = bleach, bleach
		}, func(t *testing.T, out outcome) {
			require.Zero(t, out.client.CEMarks+out.server.CEMarks)
		}},
		{"RFC 9000, Section 13.4.2: marks change", func(_ *world, up, down *conntest.Link) {
			change := func(p *conntest.Packet) bool {
				if p.ECN == conn.ECT0 {
					p.ECN = conn.ECT1
				}
				return true
			}
			up.Filter, down.Filter = change, change
		}, func(t *testing.T, out outcome) {
			require.Zero(t, out.client.CEMarks+out.server.CEMarks)
		}},
		{"RFC 9000, Section 13.4.2: marked packets vanish", func(_ *world, up, down *conntest.Link) {
			drop := func(p *conntest.Packet) bool { return p.ECN == conn.NotECT }
			up.Filter, down.Filter = drop, drop
		}, func(t *testing.T, out outcome) {
			require.Positive(t, out.client.PacketsLost)
		}},
		{"RFC 9002, Section 7.1: everything is marked for a while", func(w *world, up, down *conntest.Link) {
			mark := func(p *conntest.Packet) bool {
				if p.ECN != conn.NotECT && !began(w, 2*time.Second) {
					p.ECN = conn.ECNCE
				}
				return true
			}
			up.Filter, down.Filter = mark, mark
		}, func(t *testing.T, out outcome) {
			require.Positive(t, out.client.CEMarks)
		}},
		{"RFC 8899, Section 4.3: large packets vanish from some time on", func(w *world, up, down *conntest.Link) {
			hole := func(p *conntest.Packet) bool { return len(p.Data) <= 1280 || !began(w, 200*time.Millisecond) }
			up.Filter, down.Filter = hole, hole
		}, func(t *testing.T, out outcome) {
			require.LessOrEqual(t, out.client.MTU, 1280)
			require.LessOrEqual(t, out.server.MTU, 1280)
		}},
		{"RFC 9002, Section 6.2: nothing passes for three seconds", func(w *world, up, down *conntest.Link) {
			hole := func(*conntest.Packet) bool { return !began(w, 200*time.Millisecond) || began(w, 3200*time.Millisecond) }
			up.Filter, down.Filter = hole, hole
		}, func(t *testing.T, out outcome) {
			require.Positive(t, out.client.PTOs+out.server.PTOs)
		}},
		{"RFC 9001, Section 9.5: bits of headers flip", func(_ *world, up, down *conntest.Link) {
			flip := func(p *conntest.Packet) bool {
				if p.N%10 == 3 {
					p.Data[0] ^= 1 << (p.N / 10 % 8)
				}
				return true
			}
			up.Filter, down.Filter = flip, flip
		}, func(t *testing.T, out outcome) {
			require.Zero(t, out.client.KeyUpdates+out.server.KeyUpdates)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
			down := up
			w := &world{}
			sc := scenario{seed: 1, streams: 2, upload: 1e6, download: 1e6, limit: 5 * time.Minute}
			sc.begin = func(started *world) {
				*w = *started
				c.spoil(started, &up, &down)
				started.net.Connect(started.client.node, started.server.node, up, down)
			}
			out := sc.run(t)
			require.NoError(t, out.timeout)
			// it takes longest with a tenth of all packets damaged
			require.Less(t, out.elapsed, 2*time.Minute)
			c.check(t, out)
		})
	}
}

// silence is a link to a peer that does not answer.
var silence = conntest.Link{Filter: func(*conntest.Packet) bool { return false }}

// RFC 9000, Section 9.3.2: somebody on the path takes packets of the client, and sends them on from
// the address of somebody else. The server sends there at most what it may to an address that is
// not validated, goes back, and the transfer is complete.
func TestSpoofedMigrationInTransfer(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
	sc := scenario{seed: 1, streams: 1, download: 3e6}.both(link)
	w := sc.start(t)
	victim := w.net.Add("198.51.100.7:7777", &conn.EndpointConfig{Rand: conntest.Seed(t, 2)})
	spoofed, toVictim := 0, 0
	up, down := link, link
	up.Filter = func(p *conntest.Packet) bool {
		if at := p.Sent.Sub(w.net.Now()) + w.client.now(); at > 500*time.Millisecond && at < 1500*time.Millisecond && p.N%4 == 0 {
			p.Src = victim.Addr
			spoofed += len(p.Data)
		}
		return true
	}
	w.net.Connect(w.client.node, w.server.node, up, down)
	watch := link
	watch.Filter = func(p *conntest.Packet) bool {
		toVictim += len(p.Data)
		return true
	}
	w.net.Connect(w.server.node, victim, watch, silence)
	w.work()
	require.True(t, w.done())
	require.Positive(t, spoofed)
	require.Positive(t, toVictim)
	require.LessOrEqual(t, toVictim, 3*spoofed)
	require.Equal(t, w.client.node.Addr, w.server.conn.RemoteAddr())
	w.finish()
}

// RFC 9000, Section 21.5.3: a server prefers an address that is somebody else's. A client sends
// there what validation takes, and no more, however many connections the server made it open.
func TestPreferredAddressOfAVictim(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	link := conntest.Link{Delay: 10 * time.Millisecond}
	n.Default = link
	cfg := conntest.ServerConfig()
	cfg.PreferredAddress4 = netip.MustParseAddrPort("198.51.100.7:53")
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd})
	victim := n.Add(cfg.PreferredAddress4.String(), &conn.EndpointConfig{Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent, client.OnEvent = discard, discard
	datagrams, bytes := 0, 0
	watch := link
	watch.Filter = func(p *conntest.Packet) bool {
		datagrams++
		bytes += len(p.Data)
		return true
	}
	n.Connect(client, victim, watch, silence)
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(time.Second, c.HandshakeComplete)
	for range 100 {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		s.Write(make([]byte, 1000))
		s.CloseWrite()
		s.Release()
		n.RunFor(100 * time.Millisecond)
	}
	require.Equal(t, server.Addr, c.RemoteAddr())
	require.Positive(t, datagrams)
	require.LessOrEqual(t, datagrams, 10)
	require.LessOrEqual(t, bytes, 12_000)
	require.NoError(t, c.Err())
}

// What Stats say is what happened on the network.
func TestStatsAgree(t *testing.T) {
	count := func(drop, mark int, all, dropped, marked *uint64) func(*conntest.Packet) bool {
		return func(p *conntest.Packet) bool {
			*all++
			switch {
			case p.N > 20 && p.N%drop == 0:
				*dropped++
				return false
			case p.ECN == conn.ECT0 && p.N%mark == 0:
				p.ECN = conn.ECNCE
				*marked++
			}
			return true
		}
	}
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
	sc := scenario{seed: 1, streams: 4, upload: 500_000, download: 100_000}
	var sent, dropped, marked, back, droppedBack, markedBack uint64
	sc.up, sc.down = link, link
	sc.up.Filter = count(50, 97, &sent, &dropped, &marked)
	sc.down.Filter = count(60, 89, &back, &droppedBack, &markedBack)
	w := sc.start(t)
	w.work()
	require.True(t, w.done())
	w.net.RunFor(2 * time.Second)
	cl, sv := w.client.conn.Stats(), w.server.conn.Stats()
	require.Equal(t, cl.PacketsSent-sv.PacketsReceived >= dropped, true)
	require.Less(t, cl.PacketsSent-sv.PacketsReceived, dropped+100) // except overflows of the queue
	require.Positive(t, cl.PacketsLost)
	require.LessOrEqual(t, cl.PacketsLost-min(cl.SpuriousLosses, cl.PacketsLost), cl.PacketsSent-sv.PacketsReceived)
	require.Positive(t, cl.CEMarks)
	require.LessOrEqual(t, cl.CEMarks, marked)
	require.LessOrEqual(t, sv.CEMarks, markedBack)
	require.GreaterOrEqual(t, cl.BytesSent, uint64(4*500_000))
	require.GreaterOrEqual(t, sv.BytesReceived, uint64(4*500_000))
	require.Equal(t, 1452, cl.MTU)
	require.InDelta(t, 40, float64(cl.MinRTT.Milliseconds()), 3)
	require.Zero(t, cl.BytesInFlight)
	require.EqualValues(t, 1, w.server.node.Stats().Accepted)
	w.finish()
}

// RFC 9000, Sections 8.1.2 and 21.2: clients that never answer fill the places for incomplete
// handshakes. The server asks others to validate their addresses first, and stops to ask when the
// flood is over.
func TestRetryUnderFlood(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	cfg := conntest.ServerConfig()
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd, MaxHandshakes: 20})
	flood := n.Add("198.51.100.7:7777", &conn.EndpointConfig{Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent, flood.OnEvent, client.OnEvent = discard, discard, discard
	n.Connect(flood, server, n.Default, silence)
	dial := func(from *conntest.Node) *conn.Conn {
		c, err := from.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		require.NoError(t, err)
		return c
	}
	connect := func() (retries uint64) {
		before := server.Stats().Retries
		c := dial(client)
		n.RunUntil(2*time.Second, c.HandshakeComplete)
		c.Close(0, "")
		return server.Stats().Retries - before
	}
	require.Zero(t, connect())
	for range 100 {
		dial(flood)
	}
	n.RunFor(50 * time.Millisecond)
	require.Positive(t, server.Stats().Retries)
	require.LessOrEqual(t, server.Stats().Handshakes, 20)
	require.Positive(t, connect(), "the client proves where it is, and gets in")
	n.RunFor(time.Minute)
	require.Zero(t, server.Stats().Handshakes)
	require.Zero(t, connect())
}
