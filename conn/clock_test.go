package conn_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// TestClockIsSetBack: the clocks of both sides are set back, again and again, while packets are
// lost. The work is done as soon as without that, and what is measured stays true.
func TestClockIsSetBack(t *testing.T) {
	for _, by := range []time.Duration{-50 * time.Millisecond, -time.Second, -3 * time.Hour, -100 * 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Loss: 0.1}
			w := scenario{seed: 1, streams: 4, upload: 500e3, download: 500e3, limit: 30 * time.Second}.both(link).start(t)
			for i := range 20 {
				node := []*conntest.Node{w.client.node, w.server.node}[i%2]
				w.net.After(time.Second+time.Duration(i)*100*time.Millisecond, func() {
					node.Ahead += by
					node.Endpoint.HandleTimeout(w.net.Now().Add(node.Ahead)) // its sleep is over
				})
			}
			w.unmoved(t)
		})
	}
}

// TestClockJumpsForward: the clock of one side jumps forward in the middle of a transfer, by less
// than the idle timeout. Round trips that span the jump are no samples.
func TestClockJumpsForward(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Loss: 0.01}
			w := scenario{seed: 1, streams: 4, upload: 500e3, download: 500e3, limit: 30 * time.Second, timeout: 3 * time.Hour}.both(link).start(t)
			node := w.client.node
			if side == "server" {
				node = w.server.node
			}
			w.net.After(time.Second, func() { node.Ahead += time.Hour })
			w.unmoved(t)
		})
	}
}

// unmoved wants the work to be done in time, and round-trip times that are true.
func (w *world) unmoved(t *testing.T) {
	t.Helper()
	w.work()
	require.True(t, w.done(), "in time")
	require.Greater(t, w.client.now(), 1500*time.Millisecond, "it was done before the clock jumped")
	for _, p := range []*peer{w.client, w.server} {
		rtt := p.conn.Stats().SmoothedRTT
		require.True(t, rtt > 30*time.Millisecond && rtt < time.Second, "%s: a round trip of %v", p.name, rtt)
	}
	w.finish()
}

// TestClockJumpsByHours: the clock of one side jumps forward by hours in the middle of a transfer,
// as that of a machine does that slept. Its connection ends at once with the error of an idle
// timeout. The other side's ends with a reset, or in its own time. Both make new connections.
func TestClockJumpsByHours(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6}
			w := scenario{seed: 1, streams: 1, download: 10e6}.both(link).start(t)
			w.net.RunFor(time.Second)
			require.NotZero(t, w.client.lastRead)
			slept, other := w.client, w.server
			if side == "server" {
				slept, other = w.server, w.client
			}
			slept.node.Ahead += 8 * time.Hour
			require.True(t, w.net.Step())
			require.ErrorIs(t, slept.err, conn.ErrIdleTimeout)
			require.False(t, other.closed)
			w.net.RunUntil(time.Minute, func() bool { return other.closed })
			require.True(t, isTimeout(other.err) || errors.Is(other.err, conn.ErrStatelessReset), "%v", other.err)
			ignore := func(time.Time, conn.Event) {}
			w.client.node.OnEvent, w.server.node.OnEvent = ignore, ignore
			cfg := conntest.ClientConfig()
			c, err := w.client.node.Dial(w.net.Now().Add(w.client.node.Ahead), conn.Target{Remote: w.server.node.Addr}, cfg)
			require.NoError(t, err)
			w.net.RunFor(time.Second)
			require.True(t, c.HandshakeComplete())
		})
	}
}

// TestClockIsMad: the clock of one side is wrong by centuries for a moment. What was there ends,
// and timers run as before.
func TestClockIsMad(t *testing.T) {
	w := scenario{seed: 1, streams: 1, upload: 1000}.both(conntest.Link{Delay: 20 * time.Millisecond}).start(t)
	w.work()
	node := w.client.node
	ignore := func(time.Time, conn.Event) {}
	w.client.node.OnEvent, w.server.node.OnEvent = ignore, ignore
	for range 5 {
		node.Endpoint.HandleTimeout(w.net.Now().AddDate(500, 0, 0))
		w.net.RunFor(time.Minute)
		require.Error(t, w.client.conn.Err())
		for _, reachable := range []bool{false, true} {
			to := w.server.node.Addr
			if !reachable {
				to = netip.MustParseAddrPort("10.9.9.9:443")
			}
			c, err := node.Dial(w.net.Now(), conn.Target{Remote: to}, conntest.ClientConfig())
			require.NoError(t, err)
			w.net.RunFor(9 * time.Second)
			require.NoError(t, c.Err())
			require.Equal(t, reachable, c.HandshakeComplete())
			w.net.RunFor(2 * time.Minute)
			require.Error(t, c.Err())
		}
	}
}
