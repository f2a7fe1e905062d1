package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// Multipath begins after handshakes of all kinds: with Retry, and with early data, in which frames
// of multipath have no place. Whether the server of the session before spoke multipath is not
// remembered. draft-ietf-quic-multipath-21, Section 2.1 [6]; draft-ietf-quic-multipath-21, Section
// 4 [1].
func TestMultipathAfterHandshakes(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.01}
	for name, sc := range map[string]scenario{
		"plain": {}, "Retry": {retry: true}, "early data": {resume: true}, "both": {retry: true, resume: true},
	} {
		t.Run(name, func(t *testing.T) {
			sc.seed, sc.streams, sc.upload, sc.download = 30, 2, 3e6, 3e6
			second := 0
			early := 0
			sc.configure = func(cfg *conn.Config) {
				cfg.Enable0RTT = true
				cfg.Trace = func(ev *conn.TraceEvent) {
					if ev.Kind == conn.TracePacketSent && ev.Packet == conn.Packet0RTT {
						early++
					}
				}
			}
			w := startTwoPaths(t, sc.both(link), onPath(link, &second))
			require.False(t, w.client.conn.Multipath())
			_, err := w.client.conn.OpenPath(w.second)
			require.Error(t, err, "before the handshake")
			w.work()
			require.True(t, w.done(), "it ended with %v, %v", w.client.err, w.server.err)
			require.Equal(t, map[string]int{"client": 1, "server": 1}, w.opened)
			require.Greater(t, second, 500_000)
			require.Equal(t, sc.resume, early > 0)
			w.finish()
		})
	}
}
