package conn_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// "An endpoint [...] might see a change in peer address [...] caused by NAT
// rebinding" RFC 9000, Section 9.3. The transfer goes on, and the server validates
// the new address.
func TestRebinding(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
	sc := scenario{seed: 1, streams: 2, upload: 1e6, download: 1e6}.both(link)
	changed := 0
	sc.event = func(p *peer, ev conn.Event) {
		if ev.Kind == conn.EventPathChanged && p.name == "server" {
			changed++
			require.Equal(t, "192.0.2.9:61000", ev.Remote.String())
		}
	}
	w := sc.start(t)
	w.net.RunFor(300 * time.Millisecond)
	w.net.Rebind(w.client.node, "192.0.2.9:61000")
	w.work()
	require.True(t, w.done())
	require.Equal(t, 1, changed)
	require.EqualValues(t, 1, w.server.conn.Stats().PathChanges)
	require.Equal(t, "192.0.2.9:61000", w.server.conn.RemoteAddr().String())
	w.finish()
}

// A path carries less than Config.InitialMTU says, as one through WireGuard or PPPoE may: the
// handshake completes after a timeout of the client, and the search finds what passes.
func TestInitialMTUAboveThePath(t *testing.T) {
	const initial, path = 1400, 1372
	for _, tc := range []struct {
		name           string
		client, server bool // which side's InitialMTU is too large
		max            int
		retry          bool
	}{
		{name: "server", server: true, max: 1452},
		{name: "client", client: true, max: 1452},
		{name: "both", client: true, server: true, max: 1452},
		{name: "both, no search", client: true, server: true, max: initial},
		{name: "both, with Retry", client: true, server: true, max: 1452, retry: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := scenario{seed: 1, streams: 2, upload: 1e5, download: 1e5, retry: tc.retry}.both(conntest.Link{Delay: 20 * time.Millisecond, MTU: path})
			server := false
			sc.configure = func(cfg *conn.Config) { // the client's first
				cfg.MaxMTU = tc.max
				if server && tc.server || !server && tc.client {
					cfg.InitialMTU = initial
				}
				if server { // a chain of usual length
					chain := &cfg.TLS.Certificates[0].Certificate
					*chain = slices.Repeat(*chain, 4)
				}
				server = true
			}
			w := sc.start(t)
			w.work()
			require.True(t, w.done(), "client: %v", w.client.err)
			// a probe timeout of a second, and the time of a handshake
			require.Less(t, w.client.connected, 1300*time.Millisecond)
			w.net.RunFor(5 * time.Second)
			for _, p := range []*peer{w.client, w.server} {
				if mtu := p.conn.Stats().MTU; mtu > path || mtu < path-16 {
					t.Errorf("%s: the MTU is %d on a path of %d", p.name, mtu, path)
				}
			}
			w.finish()
		})
	}
}

// A client moves to another of its addresses in the middle of a transfer, and the
// first one breaks behind it.
// RFC 9000, Section 14.2 [5].
func TestMigration(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
	sc := scenario{seed: 1, streams: 2, upload: 1e6, download: 1e6}.both(link)
	changed := make(map[string]int)
	sc.event = func(p *peer, ev conn.Event) {
		if ev.Kind == conn.EventPathChanged {
			changed[p.name+" "+ev.Local.String()+" "+ev.Remote.String()]++
		}
	}
	w := sc.start(t)
	w.net.RunFor(300 * time.Millisecond)
	first, second := w.client.node.Addr, w.net.AddAddr(w.client.node, "10.1.0.2:5000")
	require.NoError(t, w.client.conn.Migrate(second))
	w.net.RunFor(200 * time.Millisecond)
	require.Equal(t, map[string]int{
		"client 10.1.0.2:5000 10.0.0.1:443": 1,
		"server 10.0.0.1:443 10.1.0.2:5000": 1,
	}, changed)

	broken := link
	broken.Filter = func(p *conntest.Packet) bool { return p.Src != first && p.Dst != first }
	w.net.Connect(w.client.node, w.server.node, broken, broken)
	w.work()
	require.True(t, w.done())
	require.Equal(t, second, w.client.conn.LocalAddr())
	require.Equal(t, second, w.server.conn.RemoteAddr())
	w.finish()
}

// rove moves the client of w every few round trips, once its handshake is confirmed. It may move
// behind a NAT that forgets its binding, to another address of its own, or home.
func rove(w *world) {
	c := newChance(w.seed, 2)
	rtt := float64(w.up.Delay + w.down.Delay)
	spare := w.net.AddAddr(w.client.node, "10.1.0.1:5000")
	confirmed, moves := false, 0
	var next time.Duration
	w.step = func(*world) {
		if w.client.closed || w.client.now() < next || moves == 10 {
			return
		}
		if !confirmed { // Probe reports this
			if confirmed = w.client.conn.Probe(spare) == nil; !confirmed {
				return
			}
		}
		next = w.client.now() + time.Duration(c.between(3, 100)*rtt)
		moves++
		switch c.IntN(3) {
		case 0:
			w.net.Rebind(w.client.node, fmt.Sprintf("192.0.2.%d:61000", moves))
		case 1:
			w.client.conn.Migrate(w.net.AddAddr(w.client.node, fmt.Sprintf("10.2.0.%d:5000", moves)))
		case 2:
			w.client.conn.Migrate(w.client.node.Addr)
		}
	}
}
