package interop

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// The code of the server that resets a stream, and that of a client that wants no more.
const (
	resetCode = 7
	stopCode  = 9
)

// TestS2N asks a server of s2n-quic. It has no HTTP/3 of its own, so the streams are those of QUIC.
func TestS2N(t *testing.T) {
	id := newIdentity(t, alpn)
	ctx := testContext(t)
	addr := s2nPeer.serve(t, "server", "127.0.0.1:0", id.certFile, id.keyFile)
	// The final size in a reset of s2n-quic is what it has reserved of the window of the
	// connection, even beyond the limit of the stream (RFC 9000, Section 4.5). So the connection
	// has less.
	c, err := loop.Dial(ctx, addr, &conn.Config{
		TLS: id.client, InitialMaxStreamData: 4 << 20, InitialMaxData: 512 << 10, MaxData: 512 << 10,
	})
	require.NoError(t, err)
	defer c.Close(0, "")
	ask := func(t *testing.T, request string) string {
		st, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		_, err = io.WriteString(st, request)
		require.NoError(t, err)
		require.NoError(t, st.CloseWrite())
		b, err := io.ReadAll(st)
		require.NoError(t, err)
		return string(b)
	}
	t.Run("download", func(t *testing.T) {
		require.True(t, ask(t, fmt.Sprint("get ", transferSize)) == string(make([]byte, transferSize)))
	})
	t.Run("upload", func(t *testing.T) {
		require.Equal(t, strconv.Itoa(transferSize), ask(t, strings.Repeat("y", transferSize)))
	})
	t.Run("300 at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 300 { // it has 100 streams
			wg.Go(func() {
				if got := len(ask(t, fmt.Sprint("get ", 1000+i))); got != 1000+i {
					t.Errorf("%d bytes of %d", got, 1000+i)
				}
			})
		}
		wg.Wait()
	})
	t.Run("reset", func(t *testing.T) {
		st, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		_, err = io.WriteString(st, "reset")
		require.NoError(t, err)
		require.NoError(t, st.CloseWrite())
		_, err = io.ReadAll(st)
		var reset *conn.StreamError
		require.ErrorAs(t, err, &reset)
		require.Equal(t, uint64(resetCode), reset.Code)
	})
	t.Run("stop", func(t *testing.T) {
		st, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		_, err = io.WriteString(st, "get 1000000000")
		require.NoError(t, err)
		require.NoError(t, st.CloseWrite())
		_, err = io.ReadFull(st, make([]byte, 100_000))
		require.NoError(t, err)
		st.StopSending(stopCode)
		require.Len(t, ask(t, "get 1000"), 1000)
	})
	t.Run("keys", func(t *testing.T) {
		require.NoError(t, c.Do(ctx, func(_ time.Time, c *conn.Conn) { err = c.UpdateKeys() }))
		require.NoError(t, err)
		require.Len(t, ask(t, "get 1000000"), 1_000_000)
		require.EqualValues(t, 1, c.Stats().KeyUpdates)
	})
}

// TestS2NClient has a client of s2n-quic ask this side.
func TestS2NClient(t *testing.T) {
	id := newIdentity(t, alpn)
	ctx := testContext(t)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: id.server}},
	})
	require.NoError(t, err)
	defer g.Close()
	stopped := make(chan error, 1)
	go func() {
		for {
			c, err := g.Accept(ctx)
			if err != nil {
				return
			}
			go serveStreams(ctx, c, stopped)
		}
	}()
	require.Equal(t, []string{"download", "upload", "many at once", "reset", "stop"},
		s2nPeer.visit(t, "client", g.LocalAddr().String(), id.certFile))
	var stop *conn.StreamError
	err = <-stopped
	require.ErrorAs(t, err, &stop)
	require.Equal(t, uint64(stopCode), stop.Code)
}

// serveStreams does what the server of peers/s2n-quic does. What the client stops goes to stopped.
func serveStreams(ctx context.Context, c *loop.Conn, stopped chan<- error) {
	for {
		st, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			request, err := io.ReadAll(st)
			if err != nil {
				return
			}
			if string(request) == "reset" {
				io.WriteString(st, "begin")
				st.Reset(resetCode)
				return
			}
			size, get := strings.CutPrefix(string(request[:min(len(request), 100)]), "get ")
			if n, err := strconv.Atoi(size); get && err == nil {
				for n > 0 {
					k, err := st.Write(zeros[:min(n, 1<<16)])
					if err != nil {
						stopped <- err
						return
					}
					n -= k
				}
			} else {
				io.WriteString(st, strconv.Itoa(len(request)))
			}
			st.CloseWrite()
		}()
	}
}
