package conn_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// secondAddr is the other address of the client of a twoPaths.
const secondAddr = "10.1.0.2:5000"

// A twoPaths is a scenario whose client opens a path from secondAddr as soon as it can.
type twoPaths struct {
	*world
	first, second netip.AddrPort // of the client
	opened        map[string]int // EventPathOpened, by side
	abandoned     map[string][]uint64
}

// startTwoPaths starts a scenario in which both sides speak multipath. The links of the second path
// are second, both ways.
func startTwoPaths(t *testing.T, sc scenario, second conntest.Link) *twoPaths {
	t.Helper()
	w := &twoPaths{opened: make(map[string]int), abandoned: make(map[string][]uint64)}
	configure, event := sc.configure, sc.event
	sc.configure = func(cfg *conn.Config) {
		cfg.MaxPaths = 3
		if configure != nil {
			configure(cfg)
		}
	}
	sc.event = func(p *peer, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected, conn.EventPathsAvailable:
			if p.name == "client" && ev.Conn.Multipath() {
				_, err := ev.Conn.OpenPath(w.second)
				require.Equal(t, ev.Kind == conn.EventConnected, errors.Is(err, conn.ErrPathLimit))
			}
		case conn.EventPathOpened:
			w.opened[p.name]++
		case conn.EventPathAbandoned:
			w.abandoned[p.name] = append(w.abandoned[p.name], ev.Code)
		}
		if event != nil {
			event(p, ev)
		}
	}
	w.world = sc.start(t)
	w.first = w.client.node.Addr
	w.second = w.net.AddAddr(w.client.node, secondAddr)
	w.net.ConnectAddrs(w.second, w.server.node.Addr, second, second)
	w.step = func(*world) {}
	return w
}

// A download takes both paths, and is nearly as fast as both together.
func TestMultipathSumsUp(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	w := startTwoPaths(t, scenario{seed: 1, streams: 1, download: 20e6}.both(link), link)
	w.work()
	require.True(t, w.done())
	require.Equal(t, map[string]int{"client": 1, "server": 1}, w.opened)
	took := w.client.lastRead - w.client.connected
	require.Less(t, took, 5*time.Second, "4 s at the rate of both")
	w.finish()
}

// dead is a link that carries nothing.
var dead = conntest.Link{Filter: func(*conntest.Packet) bool { return false }}

// Either path dies in the middle of a transfer. What was in flight there is sent again on the other
// path after a probe timeout, and the transfer goes on. When the path works again, it takes data
// again.
func TestMultipathPathDies(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	for _, tc := range []struct {
		name             string
		upload, download int64
		first            bool // the path of the handshake dies
	}{
		{"download, the second", 0, 20e6, false},
		{"download, the first", 0, 20e6, true},
		{"upload, the second", 20e6, 0, false},
		{"upload, the first", 20e6, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := startTwoPaths(t, scenario{seed: 2, streams: 1, upload: tc.upload, download: tc.download}.both(link), link)
			client := w.second
			if tc.first {
				client = w.first
			}
			open := w.step
			died, back := false, false
			var last, longest time.Duration // between two reads, around the death
			w.step = func(w2 *world) {
				open(w2)
				now, read := w.client.now(), max(w.client.lastRead, w.server.lastRead)
				if died && !back && read > last {
					longest, last = max(longest, read-last), read
				}
				switch {
				case !died && now > 2*time.Second:
					died, last = true, read
					w.net.ConnectAddrs(client, w.server.node.Addr, dead, dead)
				case !back && now > 4*time.Second:
					back = true
					w.net.ConnectAddrs(client, w.server.node.Addr, link, link)
				}
			}
			w.work()
			require.True(t, w.done())
			took := max(w.client.lastRead, w.server.lastRead) - w.client.connected
			t.Logf("%v, nothing was read for %v", took, longest)
			// A round trip is 80 ms with full queues: a probe timeout, and the way to the other
			// side.
			require.Less(t, longest, 250*time.Millisecond)
			// 2 s with both paths, 2 s with one, and the rest with both
			require.Less(t, took, 7*time.Second)
			require.Empty(t, w.abandoned)
			w.finish()
		})
	}
}

// A client abandons the path of the handshake in the middle of a transfer, and later the other one,
// after it has opened a third.
// draft-ietf-quic-multipath-21, Section 3.1 [1]; draft-ietf-quic-multipath-21, Section 3.2.1 [2];
// draft-ietf-quic-multipath-21, Section 3.4 [6]; draft-ietf-quic-multipath-21, Section 3.4.3 [2].
func TestMultipathAbandon(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.005}
	w := startTwoPaths(t, scenario{seed: 3, streams: 1, upload: 10e6, download: 10e6}.both(link), link)
	open, stage := w.step, 0
	third := w.net.AddAddr(w.client.node, "10.2.0.2:5000")
	w.net.ConnectAddrs(third, w.server.node.Addr, link, link)
	c := w.client.conn
	w.step = func(w2 *world) {
		open(w2)
		now := w.client.now()
		switch {
		case stage == 0 && now > time.Second:
			require.NoError(t, c.AbandonPath(0, 0x3e))
			require.Equal(t, w.second, c.LocalAddr())
			stage++
		case stage == 1 && now > 1500*time.Millisecond:
			id, err := c.OpenPath(third)
			require.NoError(t, err)
			require.Equal(t, conn.PathID(2), id)
			stage++
		case stage == 2 && now > 2*time.Second:
			require.NoError(t, c.AbandonPath(1, 0))
			stage++
		case stage == 3 && now > 3*time.Second:
			require.Error(t, c.AbandonPath(2, 0), "the last one")
			// Two were forgotten, so there is room for two more.
			id, err := c.OpenPath(w.first)
			require.NoError(t, err)
			require.Equal(t, conn.PathID(3), id)
			stage++
		}
	}
	w.work()
	require.True(t, w.done())
	require.Equal(t, 4, stage)
	require.Equal(t, map[string][]uint64{"client": {0x3e, 0}, "server": {0x3e, 0}}, w.abandoned)
	require.Equal(t, map[string]int{"client": 3, "server": 3}, w.opened)
	var ids []conn.PathID
	for _, p := range c.Paths(nil) {
		ids = append(ids, p.ID)
	}
	require.Equal(t, []conn.PathID{2, 3}, ids)
	w.finish()
}

// Keys are updated while both paths are full of packets.
func TestMultipathKeyUpdate(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.005}
	slow := link
	slow.Delay = 80 * time.Millisecond
	w := startTwoPaths(t, scenario{seed: 4, streams: 1, upload: 20e6, download: 20e6}.both(link), slow)
	open := w.step
	var next time.Duration
	var dropped [2]uint64 // packets of the handshake whose keys are gone
	updates := 0
	w.step = func(w2 *world) {
		open(w2)
		if now := w.client.now(); now > next && w.opened["client"] > 0 && !w.client.closed {
			p := w.client
			if updates%2 == 1 {
				p = w.server
			}
			if updates == 0 {
				dropped[0], dropped[1] = w.client.node.Stats().DroppedUndecryptable, w.server.node.Stats().DroppedUndecryptable
			}
			if p.conn.UpdateKeys() == nil {
				updates++
				next = now + 100*time.Millisecond
			}
		}
	}
	w.work()
	require.True(t, w.done())
	require.Greater(t, updates, 5)
	for i, p := range []*peer{w.client, w.server} {
		require.Equal(t, dropped[i], p.node.Stats().DroppedUndecryptable, "each side has the keys of all paths")
	}
	w.finish()
}

// A backup path takes nothing but acknowledgements and probes, until the other one dies.
func TestMultipathBackup(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	w := startTwoPaths(t, scenario{seed: 5, streams: 1, download: 10e6}.both(link), link)
	open, stage := w.step, 0
	var sent [2]int
	count := func(p *conntest.Packet) bool { sent[1] += len(p.Data); return true }
	counted := link
	counted.Filter = count
	w.net.ConnectAddrs(w.second, w.server.node.Addr, counted, counted)
	w.step = func(w2 *world) {
		open(w2)
		switch now := w.client.now(); {
		case stage == 0 && w.opened["client"] > 0:
			require.NoError(t, w.client.conn.SetPathBackup(1, true))
			stage++
		case stage == 1 && now > 500*time.Millisecond:
			sent[0] = sent[1]
			stage++
		case stage == 2 && now > 1500*time.Millisecond:
			require.Less(t, sent[1]-sent[0], 10_000, "probes of the MTU")
			w.net.ConnectAddrs(w.first, w.server.node.Addr, dead, dead)
			stage++
		}
	}
	w.work()
	require.True(t, w.done())
	require.Equal(t, 3, stage)
	require.Greater(t, sent[1]-sent[0], 5_000_000)
	w.finish()
}

// A path that cannot be validated is abandoned, and the connection does not suffer.
// draft-ietf-quic-multipath-21, Section 3.1 [3, 7, 8].
func TestMultipathDeadFromTheStart(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 100_000}
	w := startTwoPaths(t, scenario{seed: 6, streams: 1, upload: 1e6, download: 10e6}.both(link), dead)
	w.work()
	require.True(t, w.done())
	require.Empty(t, w.opened)
	require.Equal(t, map[string][]uint64{"client": {0x3e76}, "server": {0x3e76}}, w.abandoned)
	w.finish()
}

// Without multipath on both sides there is one path, and OpenPath says so.
// draft-ietf-quic-multipath-21, Section 2 [1].
func TestMultipathNotNegotiated(t *testing.T) {
	for _, offers := range []string{"", "client", "server"} {
		n := 0
		sc := scenario{seed: 7, streams: 1, upload: 1e5, download: 1e5}.both(conntest.Link{Delay: 10 * time.Millisecond})
		sc.configure = func(cfg *conn.Config) { // the client's first
			if n++; n == 1 && offers == "client" || n == 2 && offers == "server" {
				cfg.MaxPaths = 4
			}
		}
		w := sc.start(t)
		w.work()
		require.True(t, w.done())
		require.False(t, w.client.conn.Multipath())
		require.False(t, w.server.conn.Multipath())
		_, err := w.client.conn.OpenPath(netip.MustParseAddrPort(secondAddr))
		require.Error(t, err)
		require.Len(t, w.client.conn.Paths(nil), 1)
		w.finish()
	}
}

// A client opens and abandons paths as it likes, links die and come back, and keys are updated.
// Nothing gets lost on the way.
func TestMultipathChaos(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { multipathChaos(t, 100+seed) })
	}
}

func multipathChaos(t *testing.T, seed uint64) {
	link := conntest.Link{
		Delay: 15 * time.Millisecond, Jitter: 3 * time.Millisecond, Rate: 10e6, Queue: 60_000, Loss: 0.02, Reorder: 0.01, Duplicate: 0.01,
	}
	sc := scenario{seed: seed, streams: 3, upload: 2e6, download: 2e6}.both(link)
	schedulers := []func() conn.Scheduler{conn.NewEarliestCompletion, conn.NewMinRTT, conn.NewFailover}
	sc.configure = schedulerOf(schedulers[seed%3])
	w := startTwoPaths(t, sc, link)
	const calm = 5 * time.Second // all links work from then on
	broken, end := link, w.net.Now().Add(calm)
	broken.Filter = func(p *conntest.Packet) bool { return p.Sent.After(end) }
	chance := newChance(seed, 7)
	addrs := []netip.AddrPort{w.first, w.second}
	var next time.Duration
	w.step = func(*world) {
		now, c := w.client.now(), w.client.conn
		if now < next || now > calm || w.client.closed || w.client.connected == 0 {
			return
		}
		next = now + time.Duration(chance.between(5, 300))*time.Millisecond
		paths := c.Paths(nil)
		some := paths[chance.IntN(len(paths))]
		switch chance.IntN(7) {
		case 0, 1:
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 3, 0, byte(len(addrs))}), 5000)
			w.net.AddAddr(w.client.node, a.String())
			if _, err := c.OpenPath(a); err == nil {
				w.net.ConnectAddrs(a, w.server.node.Addr, link, link)
				addrs = append(addrs, a)
			}
		case 2:
			c.AbandonPath(some.ID, 0)
		case 3:
			c.SetPathBackup(some.ID, chance.IntN(2) == 0)
		case 4:
			c.UpdateKeys()
		case 5:
			w.net.ConnectAddrs(addrs[chance.IntN(len(addrs))], w.server.node.Addr, broken, broken)
		case 6:
			for _, a := range addrs {
				w.net.ConnectAddrs(a, w.server.node.Addr, link, link)
			}
		}
	}
	w.work()
	require.True(t, w.done(), "it ended with %v, %v", w.client.err, w.server.err)
	w.finish()
}

// TestKeepAliveWithoutTheFirstPath: a server that keeps a connection alive whose first path is gone
// sends a PING on another one, and no further one while that is under way. It sent PINGs without
// end.
func TestKeepAliveWithoutTheFirstPath(t *testing.T) {
	s := story{
		Seed:    7063,
		Servers: []host{{Config: conn.Config{MaxPaths: 3, MaxMTU: 1972}}},
		Clients: []client{{}, {
			Host: host{Config: conn.Config{InitialMaxData: 1, MaxPaths: 3}},
			Up:   conntest.Link{Delay: 120 * time.Microsecond, Rate: 44213812},
			Down: conntest.Link{
				Delay: 42 * time.Microsecond, Rate: 95110339,
				Faults: []conntest.Fault{{From: 278 * time.Millisecond, To: 2 * time.Second, Loss: 0.224}},
			},
			Dials: []dial{{Calls: []call{
				{Do: "window", N: 1},
				{ByServer: true, Do: "keepalive"},
				{At: time.Second},
				{At: 55 * time.Millisecond, Do: "open"},
				{At: 54 * time.Millisecond, Do: "open"},
				{At: 114 * time.Millisecond, Do: "leave"},
			}}},
		}},
	}
	if f := s.check(t); f != nil {
		t.Error(f)
	}
}
