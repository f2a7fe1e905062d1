package h3http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

var shortLink = conntest.Link{Delay: 5 * time.Millisecond}

func TestReadDeadline(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		result := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			rc.SetReadDeadline(time.Now().Add(time.Second))
			start := time.Now()
			_, err := io.ReadAll(r.Body)
			if took := time.Since(start); took != time.Second {
				err = fmt.Errorf("read for %v: %w", took, err)
			}
			rc.SetReadDeadline(time.Time{})
			if b, again := io.ReadAll(r.Body); string(b) != "late" || again != nil {
				err = fmt.Errorf("read %q after the deadline was moved: %w", b, again)
			}
			result <- err
		})
		p := newSimPair(t, n, h)
		pr, pw := io.Pipe()
		go func() {
			time.Sleep(3 * time.Second)
			pw.Write([]byte("late"))
			pw.Close()
		}()
		resp, err := p.c.Post(p.url, "", pr)
		require.NoError(t, err)
		resp.Body.Close()
		require.ErrorIs(t, <-result, os.ErrDeadlineExceeded)
	})
}

// slowReader makes a client that takes few bytes before they are read.
func slowReader(p *pair) {
	p.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 16 << 10, MaxStreamData: 16 << 10}
}

func TestWriteDeadline(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		result := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
			if r.URL.Path == "/return" {
				// This is as much as the buffers hold, but not the window of the client.
				_, err := w.Write(make([]byte, 320<<10))
				result <- err
				return
			}
			start := time.Now()
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 32<<10))
			}
			if took := time.Since(start); took != time.Second {
				err = fmt.Errorf("wrote for %v: %w", took, err)
			}
			result <- err
		})
		p := newSimPair(t, n, h, slowReader)
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		require.ErrorIs(t, <-result, os.ErrDeadlineExceeded)
		_, err = io.Copy(io.Discard, resp.Body)
		requireStreamError(t, err, h3.RequestCancelled)

		resp, err = p.c.Get(p.url + "/return")
		require.NoError(t, err)
		require.NoError(t, <-result)
		time.Sleep(2 * time.Second)
		_, err = io.Copy(io.Discard, resp.Body)
		requireStreamError(t, err, h3.RequestCancelled)
	})
}

// TestIdleTimeoutOfSlowHandshake: a handshake that takes longer than IdleTimeout is not idle. Then
// a connection without requests ends after IdleTimeout, also if it never had one.
func TestIdleTimeoutOfSlowHandshake(t *testing.T) {
	simulate(t, conntest.Link{Delay: 1500 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) {
			p.srv.IdleTimeout = 2 * time.Second // less than a round trip
		})
		c, err := p.tr.Preconnect(t.Context(), p.request("GET", "/", nil).URL)
		require.NoError(t, err)
		began := time.Now()
		<-c.Context().Done()
		// the end of the handshake and GOAWAY are on their way for 1.5 s each
		require.GreaterOrEqual(t, time.Since(began), p.srv.IdleTimeout)
		resp, err := p.c.Get(p.url) // on another connection
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
}

// RFC 9114, Section 5.1 [2].
func TestIdleTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(10 * time.Minute) // a connection with a request is not idle
			}
		})
		p := newSimPair(t, n, h, func(p *pair) { p.tr.QUICConfig = keepAliveConfig() })
		resp, err := p.c.Get(p.url + "/slow")
		require.NoError(t, err)
		c := ConnOf(resp.Request)
		start := time.Now()
		<-c.Context().Done()
		ended := time.Since(start)
		require.GreaterOrEqual(t, ended, defaultIdleTimeout-time.Second)
		require.Less(t, ended, defaultIdleTimeout+time.Second)
		err = context.Cause(c.Context())
		closed, ok := errors.AsType[*conn.ApplicationError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, h3.NoError, h3.ErrorCode(closed.Code))

		resp, err = p.c.Get(p.url) // on a new connection
		require.NoError(t, err)
		require.NotEqual(t, c, ConnOf(resp.Request))
	})
}

// TestReadHeaderTimeout opens a request that never comes whole.
func TestReadHeaderTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
		p := newSimPair(t, n, h, func(p *pair) { p.srv.ReadHeaderTimeout = time.Second })
		cfg, err := p.tr.quicConfig("10.0.0.1")
		require.NoError(t, err)
		cfg.KeepAlive = time.Second
		c, err := p.tr.Dial(context.Background(), "10.0.0.1:443", cfg)
		require.NoError(t, err)
		defer c.Close(0, "")
		s, err := c.OpenStream(context.Background(), conn.Bidi)
		require.NoError(t, err)
		defer s.Close()
		start := time.Now()
		s.Write([]byte{0x01, 100, 0, 0}) // HEADERS of 100 bytes, two of which come
		_, err = s.Read(make([]byte, 1))
		se, ok := errors.AsType[*conn.StreamError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, h3.RequestIncomplete, h3.ErrorCode(se.Code))
		require.InDelta(t, time.Second.Seconds(), time.Since(start).Seconds(), 0.1)
	})
}

// TestDialTimeout sends requests to nobody.
func TestDialTimeout(t *testing.T) {
	simulate(t, conntest.Link{Loss: 1}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		start := time.Now()
		_, err := p.c.Do(r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))

		// The dial goes on for the next request.
		_, err = p.c.Get(p.url)
		require.ErrorIs(t, err, conn.ErrHandshakeTimeout)
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

// TestDeadConnection: the server vanishes between two requests.
func TestDeadConnection(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
		var dials int
		p := newSimPair(t, n, h, func(p *pair) {
			dial := p.tr.Dial
			p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				dials++
				return dial(ctx, addr, cfg)
			}
		})
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		first := ConnOf(resp.Request)
		// The connection has ended only for the server, which resets packets that come on it.
		p.srv.mu.Lock()
		for c := range p.srv.conns {
			c.post(func(time.Time) { c.quic.Close(uint64(h3.NoError), "") })
		}
		p.srv.mu.Unlock()
		synctest.Wait()
		resp, err = p.c.Get(p.url)
		require.NoError(t, err)
		require.NotEqual(t, first, ConnOf(resp.Request))
		require.Equal(t, 2, dials)
	})
}

// keepAliveConfig keeps an idle connection alive.
func keepAliveConfig() *conn.Config { return &conn.Config{KeepAlive: 10 * time.Second} }
