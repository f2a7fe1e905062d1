package conn_test

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// The path of the handshake moves to the address that the server prefers, and stays path 0. The
// other path is not disturbed: draft-ietf-quic-multipath-21, Section 2.2.
func TestMultipathPreferredAddress(t *testing.T) {
	preferred := netip.MustParseAddrPort("10.0.0.9:443")
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.005}
	sides := 0
	sc := scenario{seed: 40, streams: 1, upload: 5e6, download: 5e6}.both(link)
	sc.configure = func(cfg *conn.Config) {
		if sides++; sides == 2 { // the server's
			cfg.PreferredAddress4 = preferred
		}
	}
	w := startTwoPaths(t, sc, link)
	w.net.AddAddr(w.server.node, preferred.String())
	for _, a := range []netip.AddrPort{w.first, w.second} {
		w.net.ConnectAddrs(a, preferred, link, link)
	}
	w.work()
	require.True(t, w.done(), "it ended with %v, %v", w.client.err, w.server.err)
	require.Equal(t, map[string]int{"client": 1, "server": 1}, w.opened)
	require.Empty(t, w.abandoned)
	for _, p := range []*peer{w.client, w.server} {
		paths := p.conn.Paths(nil)
		require.Len(t, paths, 2)
		at := paths[0].Remote
		if p == w.server {
			at = paths[0].Local
		}
		require.Equal(t, preferred, at, "the %s: path 0", p.name)
		for _, s := range paths {
			require.Greater(t, s.BytesSent, uint64(500_000), "the %s: path %d", p.name, s.ID)
		}
	}
	w.finish()
}

// ECN is validated on each path by itself: where marks vanish there are no more of them, and the
// other path goes on with them. draft-ietf-quic-multipath-21, Section 4.1.
func TestMultipathECN(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	var first, second int // packets with a mark
	counted, bleached := link, link
	counted.Filter = func(p *conntest.Packet) bool {
		if p.ECN != conn.NotECT {
			first++
		}
		return true
	}
	bleached.Filter = func(p *conntest.Packet) bool {
		if p.ECN != conn.NotECT {
			second++
		}
		p.ECN = conn.NotECT
		return true
	}
	w := startTwoPaths(t, scenario{seed: 41, streams: 1, download: 10e6}.both(counted), bleached)
	w.work()
	require.True(t, w.done())
	paths := w.server.conn.Paths(nil)
	require.Len(t, paths, 2)
	require.Greater(t, paths[1].PacketsSent, uint64(1000))
	require.Greater(t, first, 1000)
	require.Greater(t, second, 5)
	require.Less(t, second, 100)
	w.finish()
}

// The MTU is searched for on each path by itself. draft-ietf-quic-multipath-21, Section 5.8.
func TestMultipathMTU(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	narrow := link
	narrow.MTU = 1320
	w := startTwoPaths(t, scenario{seed: 42, streams: 1, upload: 5e6, download: 5e6}.both(link), narrow)
	w.work()
	require.True(t, w.done())
	for _, p := range []*peer{w.client, w.server} {
		paths := p.conn.Paths(nil)
		require.Len(t, paths, 2)
		require.Greater(t, paths[0].MTU, narrow.MTU, "the %s", p.name)
		require.Less(t, paths[1].MTU, narrow.MTU+1, "the %s", p.name)
		require.Greater(t, paths[1].MTU, 1200, "the %s", p.name)
		require.Greater(t, paths[1].BytesReceived, uint64(1_000_000), "the %s", p.name)
	}
	w.finish()
}

// The idle timeout is that of the connection: it passes if nothing comes on any path.
// draft-ietf-quic-multipath-21, Section 5.9.
func TestMultipathIdleTimeout(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond}
	sc := scenario{seed: 43, timeout: 3 * time.Second}.both(link)
	sc.configure = func(cfg *conn.Config) { cfg.KeepAlive = time.Second }
	w := startTwoPaths(t, sc, link)
	w.net.RunFor(2 * time.Second)
	require.Equal(t, map[string]int{"client": 1, "server": 1}, w.opened)
	w.net.ConnectAddrs(w.first, w.server.node.Addr, dead, dead)
	w.net.RunFor(20 * time.Second)
	require.False(t, w.client.closed || w.server.closed, "it ended with %v, %v", w.client.err, w.server.err)
	w.net.ConnectAddrs(w.second, w.server.node.Addr, dead, dead)
	w.net.RunFor(10 * time.Second)
	require.ErrorIs(t, w.client.err, conn.ErrIdleTimeout)
	require.ErrorIs(t, w.server.err, conn.ErrIdleTimeout)
}

// The peer is asked for fewer acknowledgements on whichever paths there are, that of the handshake
// or not.
func TestMultipathAckFrequency(t *testing.T) {
	link := conntest.Link{Delay: 40 * time.Millisecond, Rate: 100e6, Queue: 1_000_000}
	w := startTwoPaths(t, scenario{seed: 44, streams: 1, download: 30e6}.both(link), link)
	left := false
	w.step = func(*world) {
		if !left && w.opened["client"] > 0 {
			left = true
			require.NoError(t, w.client.conn.AbandonPath(0, 0))
		}
	}
	w.work()
	require.True(t, w.done())
	paths := w.client.conn.Paths(nil)
	require.Len(t, paths, 1)
	p := paths[0]
	t.Logf("%d packets came, %d went", p.PacketsReceived, p.PacketsSent)
	require.Equal(t, conn.PathID(1), p.ID)
	require.Greater(t, p.PacketsReceived, uint64(15_000))
	require.Less(t, 6*p.PacketsSent, p.PacketsReceived)
	w.finish()
}

// An error of sending counts on whichever path it is, unless the datagram was longer than what is
// known to pass there.
func TestMultipathSendFailed(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond}
	narrow := link
	narrow.MTU = 1320
	w := startTwoPaths(t, scenario{seed: 45, streams: 1, upload: 1e6, download: 1e6}.both(link), narrow)
	w.work()
	require.True(t, w.done())
	for _, p := range []*peer{w.client, w.server} {
		paths := p.conn.Paths(nil)
		require.Len(t, paths, 2)
		for _, path := range paths {
			b := conn.Burst{Remote: path.Remote, Local: path.Local, Conn: p.conn}
			b.N, b.SegmentSize = path.MTU+1, path.MTU+1
			p.node.SendFailed(w.net.Now(), b, syscall.EMSGSIZE)
			require.NoError(t, p.conn.SendError(), "the %s: a probe on path %d", p.name, path.ID)
		}
		second := paths[1]
		b := conn.Burst{Remote: second.Remote, Local: second.Local, Conn: p.conn, N: 1200, SegmentSize: 1200}
		p.node.SendFailed(w.net.Now(), b, syscall.ENETUNREACH)
		require.ErrorIs(t, p.conn.SendError(), syscall.ENETUNREACH)
	}
	w.finish()
}
