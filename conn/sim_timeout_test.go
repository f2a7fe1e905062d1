package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// "If a max_idle_timeout is specified by either endpoint [...], the connection is
// silently closed [...] when it remains idle for longer than the minimum of both
// peers max_idle_timeout values." RFC 9000, Section 10.1.
func TestIdlePeersPart(t *testing.T) {
	sc := scenario{seed: 1, streams: 1, upload: 1000, download: 1000, timeout: 40 * time.Second}
	sent := 0
	count := func(*conntest.Packet) bool { sent++; return true }
	w := sc.both(conntest.Link{Delay: 10 * time.Millisecond, Filter: count}).start(t)
	w.work()
	w.net.RunFor(time.Second)
	sent = 0
	w.net.RunFor(38 * time.Second)
	require.Zero(t, sent, "an idle connection is silent")
	require.False(t, w.client.closed || w.server.closed, "not yet")
	w.net.RunFor(5 * time.Second)
	for _, p := range []*peer{w.client, w.server} {
		require.True(t, p.closed, p.name)
		require.ErrorIs(t, p.err, conn.ErrIdleTimeout, p.name)
	}
	require.False(t, w.net.Step(), "nothing is left to do")
}

func TestKeptAlive(t *testing.T) {
	sc := scenario{seed: 1, streams: 1, upload: 1000, timeout: 10 * time.Second,
		configure: func(cfg *conn.Config) { cfg.KeepAlive = 3 * time.Second }}
	w := sc.both(conntest.Link{Delay: 10 * time.Millisecond}).start(t)
	w.work()
	w.net.RunFor(5 * time.Minute)
	require.False(t, w.client.closed || w.server.closed)
	w.finish()
}

// When the path breaks in the middle of a transfer, probes go out ever more
// seldom, and both sides give up after the idle timeout.
func TestBrokenPath(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 10e6}
	w := scenario{seed: 1, streams: 1, upload: 10e6, download: 10e6}.both(link).start(t)
	w.net.RunFor(time.Second)
	require.NotZero(t, w.client.lastRead)
	sent := 0
	link.Filter = func(*conntest.Packet) bool { sent++; return false }
	w.net.Connect(w.client.node, w.server.node, link, link)
	w.net.RunUntil(2*time.Minute, func() bool { return w.client.closed && w.server.closed })
	require.ErrorIs(t, w.client.err, conn.ErrIdleTimeout)
	require.ErrorIs(t, w.server.err, conn.ErrIdleTimeout)
	require.Less(t, sent, 200, "datagrams into the void")
	require.Greater(t, sent, 4)
	require.False(t, w.net.Step(), "nothing is left to do")
}

func TestSilentPeer(t *testing.T) {
	for name, silent := range map[string][2]bool{"client": {true, false}, "server": {false, true}} {
		t.Run("silent "+name, func(t *testing.T) {
			drop := func(p *conntest.Packet) bool { return false }
			sc := scenario{seed: 1, streams: 1, timeout: 10 * time.Second}
			if silent[0] {
				sc.up.Filter = drop
			}
			if silent[1] {
				sc.down.Filter = drop
			}
			w := sc.start(t)
			w.net.RunUntil(11*time.Second, func() bool { return w.client.closed })
			require.True(t, isTimeout(w.client.err), "%v", w.client.err)
			for w.net.Step() {
			}
			require.Equal(t, w.server.conn != nil, w.server.closed, "the server forgets it too")
		})
	}
}

// Delays of days are no reason to fail if the timeouts allow for them.
func TestExtremeDelay(t *testing.T) {
	const day = 24 * time.Hour
	sc := scenario{seed: 1, streams: 1, upload: 10_000, download: 10_000, timeout: 60 * 2 * day, limit: 1000 * day}
	require.NoError(t, sc.both(conntest.Link{Delay: day}).run(t).timeout)
}
