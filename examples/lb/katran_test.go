package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestKatranServers: servers of two loops issue IDs in each version of the layout of Katran.
// Clients change their address ten times, and stay on their connection.
func TestKatranServers(t *testing.T) {
	for version := uint8(1); version <= 3; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			text := "layout: katran\nbackends:\n"
			for id := uint32(1); id <= 2; id++ {
				addr := katranServer(t, quiclb.KatranConfig{Version: version, ServerID: id})
				text += fmt.Sprintf("  - {address: %q, server_ids: [\"%x\"]}\n", addr, id)
			}
			b := startBalancer(t, text)
			for range 4 {
				echoMoving(t, b.addr())
			}
			f := b.forwarders[0]
			t.Logf("datagrams by reason: %v", attrs(b.forwarders))
			require.Greater(t, f.picked[byServerID].Load(), uint64(4*demoChanges))
			require.Zero(t, f.picked[byClient].Load()+f.picked[byOrphan].Load())
		})
	}
}

// katranServer starts a server of two loops that sends back what comes on streams.
func katranServer(t *testing.T, cfg quiclb.KatranConfig) netip.AddrPort {
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()},
		Shard: func(i int, lc *loop.Config) {
			own := cfg
			own.WorkerID = uint8(i)
			source, err := quiclb.NewKatranSource(own, rand.Reader)
			require.NoError(t, err)
			lc.Endpoint.ConnIDs = source
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	go func() {
		for {
			c, err := g.Accept(t.Context())
			if err != nil {
				return
			}
			go func() {
				if s, err := c.AcceptStream(t.Context()); err == nil {
					io.Copy(s, s)
				}
			}()
		}
	}()
	return g.LocalAddr()
}

// echoMoving sends messages on one connection, each from another address, and gets each back.
func echoMoving(t *testing.T, addr netip.AddrPort) {
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	nat := &rebind.Socket{Socket: socket}
	g, err := loop.New(nil, nat)
	require.NoError(t, err)
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := g.Dial(ctx, addr.String(), conntest.ClientConfig())
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	for range demoChanges + 1 {
		_, err = io.WriteString(s, "message")
		require.NoError(t, err)
		got := make([]byte, len("message"))
		_, err = io.ReadFull(s, got)
		require.NoError(t, err)
		require.Equal(t, "message", string(got))
		_, err = nat.Rebind(netip.MustParseAddr("127.0.0.1"))
		require.NoError(t, err)
	}
}
