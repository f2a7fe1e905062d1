//go:build go1.27

package nethttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

type baseKey struct{}

type connKey struct{}

// A std does what net/http does for ListenAndServeTLS of an http.Server.
type std struct {
	s    *http.Server
	errc chan error
	ctx  context.Context // of Shutdown
}

func (h *std) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.s.Handler.ServeHTTP(w, r) }
func (h *std) Addr() string                                     { return h.s.Addr }
func (h *std) TLSConfig() *tls.Config                           { return h.s.TLSConfig }
func (h *std) ListenErrHook(err error)                          { h.errc <- err }
func (h *std) ShutdownContext() context.Context                 { return h.ctx }
func (h *std) BaseContext() context.Context {
	return context.WithValue(context.Background(), http.ServerContextKey, h.s)
}

// serve registers HTTP/3 with a server, starts it, and returns its URL and who to trust.
func serve(t *testing.T, s *http.Server) (base string, roots *x509.CertPool) {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS() // for its certificate
	defer ts.Close()
	roots = x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	s.Addr, s.TLSConfig = "127.0.0.1:0", ts.TLS
	opened := make(chan *loop.Group, 1)
	RegisterServer(s, &h3http.Server{Loops: 1}, func(g *loop.Group, err error) { opened <- g })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	h := &std{s, make(chan error, 1), ctx}
	go s.TLSNextProto["http/3"](s, nil, h)
	require.NoError(t, <-h.errc)
	g := <-opened
	t.Cleanup(func() { g.Close() })
	return "https://" + g.LocalAddr().String(), roots
}

// TestServer: requests reach the handler of the http.Server with its contexts, and Shutdown lets
// them end.
func TestServer(t *testing.T) {
	begun := make(chan struct{})
	release := make(chan struct{})
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			local := ctx.Value(connKey{}).(net.Conn).LocalAddr().String()
			own := ctx.Value(http.LocalAddrContextKey).(net.Addr).String()
			w.Header().Set("Got", ctx.Value(baseKey{}).(string))
			if srv := ctx.Value(http.ServerContextKey); local != own || srv.(*http.Server).MaxHeaderValueCount != 7 {
				w.WriteHeader(500)
			}
			w.(http.Flusher).Flush()
			if r.URL.Path == "/slow" {
				close(begun)
				<-release
				io.WriteString(w, "whole")
			}
		}),
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), baseKey{}, l.Addr().Network())
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		MaxHeaderValueCount: 7,
	}
	base, roots := serve(t, s)
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tr.Close()
	c := &http.Client{Transport: tr}
	resp, err := c.Get(base)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "udp", resp.Header.Get("Got"))
	resp.Body.Close()

	r, err := http.NewRequest("GET", base, nil)
	require.NoError(t, err)
	for range 8 {
		r.Header.Add("X-Many", "value")
	}
	resp, err = c.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	resp.Body.Close()

	resp, err = c.Get(base + "/slow")
	require.NoError(t, err)
	<-begun
	require.NoError(t, s.Shutdown(t.Context())) // which does not wait for HTTP/3
	close(release)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "whole", string(b))
}

// TestListenError: a port that is taken is an error of ListenAndServeTLS.
func TestListenError(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s := &http.Server{Addr: taken.LocalAddr().String(), TLSConfig: new(tls.Config)}
	RegisterServer(s, nil, nil)
	h := &std{s: s, errc: make(chan error, 1)}
	s.TLSNextProto["http/3"](s, nil, h)
	require.Error(t, <-h.errc)
}

// TestDial: what net/http asks of a connection, as its pool and as NewClientConn use it.
func TestDial(t *testing.T) {
	release := make(chan struct{})
	base, roots := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/slow" {
			<-release
		}
	})})
	u, err := url.Parse(base)
	require.NoError(t, err)
	d := &dialer{t: new(h3http.Transport), from: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer d.t.Close()
	ctx := t.Context()
	dial := func(changed func()) *clientConn {
		t.Helper()
		rt, err := d.DialClientConn(ctx, u.Host, nil, changed)
		require.NoError(t, err)
		return rt.(*clientConn)
	}
	get := func(c *clientConn, path string) error {
		r, err := http.NewRequestWithContext(ctx, "GET", base+path, nil)
		require.NoError(t, err)
		resp, err := c.RoundTrip(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	isUnprocessed := func(err error) bool {
		_, ok := err.(interface{ IsHTTP2NoCachedConnError() })
		return ok
	}

	// The pool takes a connection with a request out of its list.
	c := dial(nil)
	ended := make(chan error)
	go func() { ended <- get(c, "/slow") }()
	for c.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, c.Close())
	require.True(t, isUnprocessed(get(c, "/")))
	close(release)
	require.NoError(t, <-ended)

	// The caller of NewClientConn closes his.
	c = dial(func() {})
	require.NoError(t, get(c, "/"))
	require.NoError(t, c.Close())
	err = get(c, "/")
	require.ErrorIs(t, err, h3http.ErrUnprocessed)
	require.False(t, isUnprocessed(err))

	// A pool without keep-alive closes a connection before its only request.
	d.from.DisableKeepAlives = true
	err = unprocessed{}
	for begin := time.Now(); isUnprocessed(err) && time.Since(begin) < time.Minute; {
		c = dial(nil)
		require.NoError(t, c.Close())
		err = get(c, "/") // a slow machine may take longer than unusedTime
	}
	require.NoError(t, err)
	require.True(t, isUnprocessed(get(c, "/")))

	_, err = d.DialClientConn(ctx, u.Host, &url.URL{Scheme: "http", Host: "proxy"}, nil)
	require.True(t, errors.Is(err, errors.ErrUnsupported))
}
