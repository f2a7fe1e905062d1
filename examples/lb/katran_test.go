package main

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
)

// TestKatranServers: servers of two loops issue IDs in each version of the layout of Katran.
// Clients change their address ten times, and stay on their connection.
func TestKatranServers(t *testing.T) {
	for version := uint8(1); version <= 3; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			text := "layout: katran\nbackends:\n"
			for id := uint32(1); id <= 2; id++ {
				g := echoServer(t, func(i int) conn.ConnIDSource {
					cfg := quiclb.KatranConfig{Version: version, ServerID: id, WorkerID: uint8(i)}
					source, err := quiclb.NewKatranSource(cfg, rand.Reader)
					require.NoError(t, err)
					return source
				})
				text += fmt.Sprintf("  - {address: %q, server_ids: [\"%x\"]}\n", g.LocalAddr(), id)
			}
			b := startBalancer(t, text)
			for range 4 {
				c := dialEcho(t, b.addr())
				for range demoChanges + 1 {
					c.sendMoving()
				}
			}
			f := b.forwarders[0]
			t.Logf("datagrams by reason: %v", attrs(b.forwarders))
			require.Greater(t, f.picked[byServerID].Load(), uint64(4*demoChanges))
			require.Zero(t, f.picked[byClient].Load()+f.picked[byOrphan].Load())
		})
	}
}
