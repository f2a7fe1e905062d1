package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// The counters of an endpoint by path add up to those of its connections, also after paths and
// connections have ended.
func TestMultipathStats(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.01}
	w := startTwoPaths(t, scenario{seed: 46, streams: 1, upload: 3e6, download: 3e6}.both(link), link)
	w.work()
	require.True(t, w.done())
	check := func(paths int, opened, abandoned uint64) {
		t.Helper()
		for _, p := range []*peer{w.client, w.server} {
			s := p.node.Stats()
			require.Equal(t, paths, s.Paths, "the %s", p.name)
			require.Equal(t, opened, s.PathsOpened, "the %s", p.name)
			require.Equal(t, abandoned, s.PathsAbandoned, "the %s", p.name)
			sum := s.FirstPaths
			sum.Add(s.OtherPaths)
			all := p.conn.Stats()
			require.Equal(t, []uint64{all.PacketsSent, all.PacketsReceived, all.PacketsLost},
				[]uint64{sum.PacketsSent, sum.PacketsReceived, sum.PacketsLost}, "the %s", p.name)
			require.Greater(t, s.OtherPaths.BytesSent, uint64(500_000), "the %s", p.name)
			require.Greater(t, s.FirstPaths.BytesReceived, uint64(500_000), "the %s", p.name)
		}
	}
	check(2, 1, 0)
	require.NoError(t, w.client.conn.AbandonPath(0, 0))
	w.net.RunFor(3 * time.Second) // it is forgotten
	check(1, 1, 1)
	w.finish()
	check(0, 1, 1)
}
