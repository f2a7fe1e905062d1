package loop_test

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestClosedGroupIsGarbage: nothing keeps a Group that is closed, and its connections.
func TestClosedGroupIsGarbage(t *testing.T) {
	server := listening(t, &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: conntest.ServerTLS()}}})
	defer server.Close()
	addr := server.LocalAddr().String()
	groups, conns := make([]weak.Pointer[loop.Group], 5), make([]weak.Pointer[loop.Conn], 5)
	for i := range groups {
		groups[i], conns[i] = dialAndClose(t, addr)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	left := func() (n int) {
		for i := range groups {
			if groups[i].Value() != nil || conns[i].Value() != nil {
				n++
			}
		}
		return n
	}
	// What a stack or a register still names is not garbage, so the last one may stay.
	for began := time.Now(); left() > 1; <-tick.C {
		require.Less(t, time.Since(began), time.Minute, "%d of %d are left", left(), len(groups))
		runtime.GC()
	}
}

func listening(t *testing.T, cfg *loop.Config) *loop.Group {
	t.Helper()
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	g, err := loop.New(cfg, socket)
	require.NoError(t, err)
	return g
}

func dialAndClose(t *testing.T, addr string) (weak.Pointer[loop.Group], weak.Pointer[loop.Conn]) {
	t.Helper()
	g := listening(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := g.Dial(ctx, addr, &conn.Config{TLS: conntest.ClientTLS()})
	require.NoError(t, err)
	require.NoError(t, g.Close())
	return weak.Make(g), weak.Make(c)
}
