package programs

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// protos are TLS configurations of a server and a client for one protocol.
func protos(name string) (server, client *tls.Config) {
	server, client = conntest.ServerTLS(), conntest.ClientTLS()
	server.NextProtos, client.NextProtos = []string{name}, []string{name}
	return server, client
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listen runs n loops on this machine until the test ends.
func listen(t *testing.T, n int, cfg *loop.Config) *loop.Group {
	t.Helper()
	g, err := loop.Listen("udp", "127.0.0.1:0", n, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// echo serves the streams of every connection that is accepted.
func echo(ctx context.Context, g *loop.Group) {
	for {
		c, err := g.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			for {
				s, err := c.AcceptStream(ctx)
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					io.Copy(s, s)
				}()
			}
		}()
	}
}

// say sends text on a stream and reads what comes back.
func say(t *testing.T, s *loop.Stream, text string) {
	t.Helper()
	_, err := io.WriteString(s, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(s, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}
