package conn_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A pathRecord is what a record of a log says about a path.
type pathRecord struct {
	Name, Tuple string
	Data        struct {
		Header struct {
			Number *uint64 `json:"packet_number"`
		}
		Numbers []uint64        `json:"packet_numbers"`
		ID      *string         `json:"tuple_id"`
		Local   json.RawMessage `json:"tuple_local"`
		RTT     float64         `json:"smoothed_rtt"`
	}
}

// With multipath, the events of a path name it: its packets with their own numbers, what is
// acknowledged and lost of them, its estimates, and where it leads until it has ended.
func TestQLogPaths(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.01}
	slow := link
	slow.Delay = 60 * time.Millisecond
	var logs []*logFile
	sc := scenario{seed: 50, streams: 1, upload: 3e6, download: 3e6}.both(link)
	sc.configure = func(cfg *conn.Config) {
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		}
	}
	w := startTwoPaths(t, sc, slow)
	w.work()
	require.True(t, w.done())
	sent := w.client.conn.Paths(nil)[1].PacketsSent
	require.NoError(t, w.client.conn.AbandonPath(1, 0))
	w.net.RunFor(time.Second)
	w.finish()
	require.Len(t, logs, 2)
	for i, log := range logs {
		log.check(t)
		seen := make(map[string]int)
		next, assigned, ended := uint64(0), false, false
		for _, rec := range bytes.Split(log.Bytes(), []byte{0x1e})[2:] {
			var r pathRecord
			require.NoError(t, json.Unmarshal(rec, &r))
			d := &r.Data
			if d.ID != nil && *d.ID == "path1" {
				require.False(t, ended)
				ended = d.Local == nil
				assigned = true
				continue
			}
			if r.Tuple == "" {
				continue
			}
			require.Equal(t, "path1", r.Tuple)
			require.True(t, assigned, "%s before its path has addresses", r.Name)
			seen[r.Name]++
			switch {
			case r.Name == "quic:packet_sent":
				require.NotNil(t, d.Header.Number)
				require.GreaterOrEqual(t, *d.Header.Number, next)
				next = *d.Header.Number + 1
			case d.RTT != 0:
				require.Greater(t, d.RTT, 100.0)
			}
		}
		require.True(t, ended, "log %d", i)
		require.Greater(t, next, sent/2)
		for _, name := range []string{
			"quic:packet_sent", "quic:packet_received", "quic:packet_lost", "quic:packets_acked", "quic:recovery_metrics_updated",
			"quic:mtu_updated", "quic:udp_datagrams_sent", "quic:udp_datagrams_received",
		} {
			require.Greater(t, seen[name], 0, "log %d: %s", i, name)
		}
	}
}
