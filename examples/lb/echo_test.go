package main

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// echoServer starts a server of two loops that sends back what comes on streams. source makes the
// source of the connection IDs of a loop.
func echoServer(t *testing.T, source func(i int) conn.ConnIDSource) *loop.Group {
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()},
		Shard:    func(i int, cfg *loop.Config) { cfg.Endpoint.ConnIDs = source(i) },
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
	return g
}

// An echoClient has one connection to an echoServer, whose address changes.
type echoClient struct {
	t      *testing.T
	nat    *rebind.Socket
	group  *loop.Group
	stream *loop.Stream
}

// dialEcho connects through the balancer at addr.
func dialEcho(t *testing.T, addr netip.AddrPort) *echoClient {
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	c := &echoClient{t: t, nat: &rebind.Socket{Socket: socket}}
	c.group, err = loop.New(nil, c.nat)
	require.NoError(t, err)
	t.Cleanup(func() { c.group.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	qc, err := c.group.Dial(ctx, addr.String(), conntest.ClientConfig())
	require.NoError(t, err)
	c.stream, err = qc.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	return c
}

// sendMoving sends a message, gets it back, and changes the address.
func (c *echoClient) sendMoving() {
	c.t.Helper()
	_, err := io.WriteString(c.stream, "message")
	require.NoError(c.t, err)
	got := make([]byte, len("message"))
	_, err = io.ReadFull(c.stream, got)
	require.NoError(c.t, err)
	require.Equal(c.t, "message", string(got))
	_, err = c.nat.Rebind(netip.MustParseAddr("127.0.0.1"))
	require.NoError(c.t, err)
}
