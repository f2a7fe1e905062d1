package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

// ownConfig returns a configuration with all features that these tests use.
func ownConfig(tlsc *tls.Config) *conn.Config {
	return &conn.Config{TLS: tlsc, MaxDatagramFrameSize: 65535, HandshakeTimeout: 20 * time.Second}
}

// ownServer serves each connection with the blocking tier, until the test ends.
func ownServer(t testing.TB, cfg conn.EndpointConfig, serve func(context.Context, *loop.Conn)) *loop.Group {
	t.Helper()
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: cfg})
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	ctx := testContext(t)
	go func() {
		for {
			c, err := g.Accept(ctx)
			if err != nil {
				return
			}
			go serve(ctx, c)
		}
	}()
	return g
}

// ownEcho sends the data of each stream back as it comes.
func ownEcho(ctx context.Context, c *loop.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if _, err := io.Copy(s, s); err != nil {
				s.Reset(1)
			}
		}()
	}
}

// ownDial connects to addr, until the test ends.
func ownDial(ctx context.Context, t testing.TB, addr net.Addr, cfg *conn.Config) *loop.Conn {
	t.Helper()
	c, err := loop.Dial(ctx, addr.String(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(0, "") })
	return c
}

// ownExchange sends payload(seed, n) on a new stream and expects it back.
func ownExchange(ctx context.Context, t testing.TB, c *loop.Conn, seed byte, n int64) {
	t.Helper()
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	defer s.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s, payload(seed, n))
		sent <- errors.Join(err, s.CloseWrite())
	}()
	requireSame(t, s, seed, n)
	require.NoError(t, <-sent)
}

// large is a transfer that goes through several key updates of quic-go and many windows.
const large = 100_000_000

// transfers are those that every pair of peers does.
var transfers = []struct {
	name  string
	retry bool
	size  int64
}{
	{"Empty", false, 0},
	{"Small", false, 1000},
	{"Retry", true, 1_000_000},
	{"Large", false, large},
}

func TestServerEcho(t *testing.T) {
	for _, test := range transfers {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := tlsConfigs(t, alpn)
			g := ownServer(t, conn.EndpointConfig{
				Server: ownConfig(server),
				Admit: func(conn.AdmissionRequest) conn.Admission {
					if test.retry {
						return conn.AdmissionRetry
					}
					return conn.AdmissionAccept
				},
			}, ownEcho)
			c, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
			require.NoError(t, err)
			foreignExchange(ctx, t, c, 1, test.size)
			require.NoError(t, c.CloseWithError(0, ""))
			stats := g.Stats()
			require.Equal(t, test.retry, stats.Retries > 0, "%d Retry packets", stats.Retries)
		})
	}
}

func TestClientEcho(t *testing.T) {
	for _, test := range transfers {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := tlsConfigs(t, alpn)
			tr := foreignTransport(t)
			tr.VerifySourceAddress = func(net.Addr) bool { return test.retry }
			addr := foreignServer(t, tr, server, foreignEcho)
			c := ownDial(ctx, t, addr, ownConfig(client))
			ownExchange(ctx, t, c, 2, test.size)
		})
	}
}

// TestManyStreams opens more streams than any limit allows at once, in both roles.
func TestManyStreams(t *testing.T) {
	const streams, size = 1000, 3000
	t.Run("Server", func(t *testing.T) {
		ctx := testContext(t)
		server, client := tlsConfigs(t, alpn)
		g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, ownEcho)
		c, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
		require.NoError(t, err)
		concurrently(streams, func(i int) { foreignExchange(ctx, t, c, byte(i), size) })
	})
	t.Run("Client", func(t *testing.T) {
		ctx := testContext(t)
		server, client := tlsConfigs(t, alpn)
		addr := foreignServer(t, foreignTransport(t), server, foreignEcho)
		c := ownDial(ctx, t, addr, ownConfig(client))
		concurrently(streams, func(i int) { ownExchange(ctx, t, c, byte(i), size) })
	})
}

// concurrently calls f with 0 to n-1, each on its own goroutine, and waits.
func concurrently(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// TestUnidirectional sends both ways on streams that go one way.
func TestUnidirectional(t *testing.T) {
	const size = 1_000_000
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	serverDone := make(chan struct{})
	addr := foreignServer(t, foreignTransport(t), server, func(ctx context.Context, c *quic.Conn) {
		defer close(serverDone)
		in, err := c.AcceptUniStream(ctx)
		if !orError(t, err) {
			return
		}
		requireSame(t, in, 1, size)
		out, err := c.OpenUniStreamSync(ctx)
		if !orError(t, err) {
			return
		}
		_, err = io.Copy(out, payload(2, size))
		orError(t, errors.Join(err, out.Close()))
	})
	c := ownDial(ctx, t, addr, ownConfig(client))
	out, err := c.OpenStream(ctx, conn.Uni)
	require.NoError(t, err)
	_, err = io.Copy(out, payload(1, size))
	require.NoError(t, errors.Join(err, out.Close()))
	in, err := c.AcceptStream(ctx)
	require.NoError(t, err)
	require.Equal(t, conn.Uni, in.ID().Dir())
	requireSame(t, in, 2, size)
	require.NoError(t, in.Close())
	<-serverDone
}

// orError fails the test if err is not nil, and reports whether it is nil. Any goroutine may call
// it.
func orError(t testing.TB, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// TestKeyUpdate updates keys from both sides: this one on request, and quic-go every 100,000
// packets, for the first time after 100.
func TestKeyUpdate(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	addr := foreignServer(t, foreignTransport(t), server, foreignEcho)
	c := ownDial(ctx, t, addr, ownConfig(client))
	for i := range 5 {
		ownExchange(ctx, t, c, byte(i), 1_000_000)
		updateKeys(ctx, t, c)
	}
	ownExchange(ctx, t, c, 9, 1_000_000)
	require.GreaterOrEqual(t, c.Stats().KeyUpdates, uint64(6), "five of this side, one or more of the peer")
}

// updateKeys updates the keys of c, as soon as the last update is long enough ago (RFC 9001,
// Section 6.5).
func updateKeys(ctx context.Context, t testing.TB, c *loop.Conn) {
	t.Helper()
	for {
		var err error
		require.NoError(t, c.Do(ctx, func(_ time.Time, c *conn.Conn) { err = c.UpdateKeys() }))
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestChaCha20 runs the echoes in a process whose AES instructions are turned off. There crypto/tls
// prefers ChaCha20-Poly1305.
func TestChaCha20(t *testing.T) {
	if os.Getenv("INTEROP_CHACHA20") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChaCha20$", "-test.v")
		cmd.Env = append(os.Environ(), "INTEROP_CHACHA20=1", "GODEBUG=cpu.aes=off,cpu.pclmulqdq=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, ownEcho)
	fc, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
	require.NoError(t, err)
	require.Equal(t, tls.TLS_CHACHA20_POLY1305_SHA256, fc.ConnectionState().TLS.CipherSuite)
	foreignExchange(ctx, t, fc, 1, 1_000_000)

	addr := foreignServer(t, foreignTransport(t), server, foreignEcho)
	c := ownDial(ctx, t, addr, ownConfig(client))
	require.Equal(t, tls.TLS_CHACHA20_POLY1305_SHA256, c.TLS().CipherSuite)
	ownExchange(ctx, t, c, 2, 1_000_000)
}
