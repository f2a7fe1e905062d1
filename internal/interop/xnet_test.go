package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"golang.org/x/net/quic"
)

// These tests have golang.org/x/net/quic on the other side.

// xnetTLS adds to a configuration what golang.org/x/net/quic requires.
func xnetTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	return c
}

// xnetEndpoint opens an endpoint, which closes with the test.
func xnetEndpoint(t testing.TB, cfg *quic.Config) *quic.Endpoint {
	t.Helper()
	e, err := quic.Listen("udp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel() // so that Close does not wait for peers
		e.Close(gone)
	})
	return e
}

// xnetServer serves each connection that e accepts.
func xnetServer(t testing.TB, e *quic.Endpoint, serve func(context.Context, *quic.Conn)) {
	ctx := testContext(t)
	go func() {
		for {
			c, err := e.Accept(ctx)
			if err != nil {
				return
			}
			go serve(ctx, c)
		}
	}()
}

// xnetEcho sends the data of each stream back as it comes.
func xnetEcho(ctx context.Context, c *quic.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			_, err := io.Copy(s, s)
			if code := quic.StreamError(0); errors.As(err, &code) {
				s.Reset(uint64(code) + 1)
				return
			}
			s.Close()
		}()
	}
}

// xnetExchange sends payload(seed, n) on a new stream and expects it back.
func xnetExchange(ctx context.Context, t testing.TB, c *quic.Conn, seed byte, n int64) {
	s, err := c.NewStream(ctx)
	if !orError(t, err) {
		return
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s, payload(seed, n))
		sent <- errors.Join(err, s.CloseWrite())
	}()
	requireSame(t, s, seed, n)
	orError(t, <-sent)
	orError(t, s.Close())
}

// xnetTransfers are those that golang.org/x/net/quic does with each side.
var xnetTransfers = []struct {
	name  string
	retry bool
	size  int64
}{
	{"Empty", false, 0},
	{"Small", false, 1000},
	{"Retry", true, 1_000_000},
	{"Large", false, 20_000_000},
}

func TestXNetClient(t *testing.T) {
	for _, test := range xnetTransfers {
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
			c := xnetDial(ctx, t, g, client)
			xnetExchange(ctx, t, c, 1, test.size)
			require.Equal(t, test.retry, g.Stats().Retries > 0)
			c.Abort(nil)
		})
	}
	t.Run("Streams", func(t *testing.T) {
		ctx := testContext(t)
		server, client := tlsConfigs(t, alpn)
		g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, ownEcho)
		c := xnetDial(ctx, t, g, client)
		concurrently(300, func(i int) { xnetExchange(ctx, t, c, byte(i), 3000) })
		c.Abort(nil)
	})
}

// xnetDial connects to g.
func xnetDial(ctx context.Context, t testing.TB, g *loop.Group, client *tls.Config) *quic.Conn {
	t.Helper()
	cfg := &quic.Config{TLSConfig: xnetTLS(client)}
	c, err := xnetEndpoint(t, nil).Dial(ctx, "udp", g.LocalAddr().String(), cfg)
	require.NoError(t, err)
	return c
}

func TestXNetServer(t *testing.T) {
	for _, test := range xnetTransfers {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := tlsConfigs(t, alpn)
			e := xnetEndpoint(t, &quic.Config{TLSConfig: xnetTLS(server), RequireAddressValidation: test.retry})
			xnetServer(t, e, xnetEcho)
			c := xnetOwnDial(ctx, t, e, client)
			ownExchange(ctx, t, c, 2, test.size)
		})
	}
	t.Run("Streams", func(t *testing.T) {
		ctx := testContext(t)
		server, client := tlsConfigs(t, alpn)
		e := xnetEndpoint(t, &quic.Config{TLSConfig: xnetTLS(server)})
		xnetServer(t, e, xnetEcho)
		c := xnetOwnDial(ctx, t, e, client)
		concurrently(300, func(i int) { ownExchange(ctx, t, c, byte(i), 3000) })
	})
}

// xnetOwnDial connects to e.
func xnetOwnDial(ctx context.Context, t testing.TB, e *quic.Endpoint, client *tls.Config) *loop.Conn {
	t.Helper()
	c, err := loop.Dial(ctx, e.LocalAddr().String(), ownConfig(client))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(0, "") })
	return c
}

// TestXNetKeyUpdate updates keys between transfers. The peer updates its keys by itself, too.
func TestXNetKeyUpdate(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	e := xnetEndpoint(t, &quic.Config{TLSConfig: xnetTLS(server)})
	xnetServer(t, e, xnetEcho)
	c := xnetOwnDial(ctx, t, e, client)
	const updates = 5
	for done := 0; done < updates; {
		ownExchange(ctx, t, c, byte(done), 100_000)
		require.NoError(t, c.Do(ctx, func(_ time.Time, c *conn.Conn) {
			if c.UpdateKeys() == nil { // it fails if the peer has just updated its keys
				done++
			}
		}))
		time.Sleep(20 * time.Millisecond) // RFC 9001, Section 6.5: old keys need time
	}
	ownExchange(ctx, t, c, 9, 100_000)
	require.GreaterOrEqual(t, c.Stats().KeyUpdates, uint64(updates))
}

// TestXNetErrors resets and stops streams, and closes a connection with a code.
func TestXNetErrors(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	e := xnetEndpoint(t, &quic.Config{TLSConfig: xnetTLS(server)})
	conns := make(chan *quic.Conn, 1)
	xnetServer(t, e, func(ctx context.Context, c *quic.Conn) {
		conns <- c
		xnetEcho(ctx, c)
	})
	c := xnetOwnDial(ctx, t, e, client)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	io.WriteString(s, "x")
	s.Reset(77)
	_, err = io.ReadAll(s)
	reset, ok := errors.AsType[*conn.StreamError](err)
	require.True(t, ok && reset.Remote, "%v", err)
	require.EqualValues(t, 78, reset.Code)

	foreign := <-conns
	require.NoError(t, c.Close(99, "enough"))
	err = foreign.Wait(ctx)
	closed, ok := errors.AsType[*quic.ConnectionCloseError](err)
	require.True(t, ok, "%v", err)
	require.EqualValues(t, 99, closed.Code)
}
