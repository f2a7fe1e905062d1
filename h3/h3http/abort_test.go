package h3http

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestReverseProxyWhoseBackendDies: a client gets everything that the backend had sent, and then an
// error, over every version of HTTP.
func TestReverseProxyWhoseBackendDies(t *testing.T) {
	const sent = 100_000
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, sent))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)

	get := func(name string, c *http.Client, url string) {
		for range 20 {
			resp, err := c.Get(url)
			require.NoError(t, err, name)
			require.Equal(t, name, resp.Proto)
			got, err := io.ReadAll(resp.Body)
			require.Error(t, err, name)
			require.Equal(t, sent, len(got), "%s: %v", name, err)
			resp.Body.Close()
		}
	}
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		srv := httptest.NewUnstartedServer(proxy)
		srv.EnableHTTP2 = two
		srv.StartTLS()
		get(name, srv.Client(), srv.URL)
		srv.Close()
	}
	p := newPair(t, proxy)
	get("HTTP/3.0", p.c, p.url)
}

// TestAbortDelivers: everything that a handler has sent arrives before the error, on a lossy
// network too, however slowly the client reads.
// RFC 9114, Section 4.1.1 [8].
func TestAbortDelivers(t *testing.T) {
	const size = 200 << 10
	want := bytes.Repeat([]byte("x"), size)
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Loss: 0.03}
	simulate(t, link, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/nothing" {
				panic(http.ErrAbortHandler)
			}
			w.Write(want)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		p.c.Timeout = 0
		for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
			resp, err := p.c.Get(p.url)
			require.NoError(t, err)
			got, err := readSlowly(resp.Body, 8<<10, wait)
			require.True(t, bytes.Equal(want, got), "%d of %d bytes", len(got), size)
			var reset *conn.StreamError
			require.ErrorAs(t, err, &reset)
			resp.Body.Close()
		}
		_, err := p.c.Get(p.url + "/nothing")
		require.Error(t, err)
		time.Sleep(time.Second)
		require.EqualValues(t, 0, p.srv.Stats().Open, "nothing is left")
	})
}

// TestAbortIsBounded: a client takes nothing. An aborted response does not wait for it for ever.
func TestAbortIsBounded(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(w, zeroReader{}, 300<<10)
			panic(http.ErrAbortHandler)
		}), func(p *pair) {
			p.srv.DeliveryTimeout = 20 * time.Second
			p.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 1000, MaxStreamData: 1000, KeepAlive: time.Second}
		})
		p.c.Timeout = 0
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 1, p.srv.Stats().Open)
		time.Sleep(15 * time.Second)
		require.EqualValues(t, 0, p.srv.Stats().Open)
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err)
		require.True(t, !errors.Is(err, io.ErrUnexpectedEOF))
		resp.Body.Close()
	})
}

// A zeroReader has no end.
type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }
