package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// routes is the handler of the servers of both implementations.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes/{seed}/{n}", func(w http.ResponseWriter, r *http.Request) {
		seed, _ := strconv.Atoi(r.PathValue("seed"))
		n, _ := strconv.ParseInt(r.PathValue("n"), 10, 64)
		io.Copy(w, payload(byte(seed), n))
	})
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		w.Write(sum(r.Body))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})
	return mux
}

// ownHTTP serves the handler of p with h3http, and returns the server's URL. configure may be nil.
func ownHTTP(t testing.TB, p *pair, configure func(*loop.Config)) string {
	t.Helper()
	srv := &h3http.Server{Handler: p.handler, TLSConfig: p.server, ExtendedConnect: true}
	cfg := srv.LoopConfig()
	if configure != nil {
		configure(cfg)
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return fmt.Sprintf("https://localhost:%d", g.LocalAddr().Port())
}

// foreignHTTP serves the handler of p with quic-go, and returns the server's URL.
func foreignHTTP(t testing.TB, p *pair, tr *quic.Transport) string {
	t.Helper()
	l, err := tr.ListenEarly(http3.ConfigureTLSConfig(p.server), foreignConfig())
	require.NoError(t, err)
	srv := &http3.Server{Handler: p.handler, EnableDatagrams: true}
	go srv.ServeListener(l)
	t.Cleanup(func() { srv.Close() })
	return fmt.Sprintf("https://localhost:%d", l.Addr().(*net.UDPAddr).Port)
}

// A pair is a server and a client. One of them is quic-go's.
type pair struct {
	handler        http.Handler
	server, client *tls.Config
	url            string
	http           *http.Client
}

// newPair makes a pair with routes.
func newPair(t testing.TB, own string, retry bool) *pair {
	t.Helper()
	return newPairOf(t, own, routes(), retry)
}

// newPairOf makes a pair with a handler. With retry the server validates the client's address.
func newPairOf(t testing.TB, own string, h http.Handler, retry bool) *pair {
	t.Helper()
	p := &pair{handler: h}
	p.server, p.client = tlsConfigs(t)
	var rt http.RoundTripper
	if own == "Server" {
		p.url = ownHTTP(t, p, func(cfg *loop.Config) {
			if retry {
				cfg.Endpoint.Admit = func(conn.AdmissionRequest) conn.Admission { return conn.AdmissionRetry }
			}
		})
		tr := &http3.Transport{TLSClientConfig: p.client, QUICConfig: foreignConfig()}
		t.Cleanup(func() { tr.Close() })
		rt = tr
	} else {
		foreign := foreignTransport(t)
		foreign.VerifySourceAddress = func(net.Addr) bool { return retry }
		p.url = foreignHTTP(t, p, foreign)
		tr := &h3http.Transport{TLSClientConfig: p.client}
		t.Cleanup(func() { tr.Close() })
		rt = tr
	}
	p.http = &http.Client{Transport: rt, Timeout: 4 * time.Minute}
	return p
}

func (p *pair) get(t testing.TB, seed byte, n int64) {
	t.Helper()
	resp, err := p.http.Get(fmt.Sprintf("%s/bytes/%d/%d", p.url, seed, n))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 3, resp.ProtoMajor)
	requireSame(t, resp.Body, seed, n)
}

func (p *pair) post(t testing.TB, path string, seed byte, n int64) io.ReadCloser {
	t.Helper()
	resp, err := p.http.Post(p.url+path, "application/octet-stream", payload(seed, n))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp.Body
}

func TestHTTPTransfers(t *testing.T) {
	for _, own := range []string{"Server", "Client"} {
		for _, test := range transfers {
			t.Run(own+test.name, func(t *testing.T) {
				p := newPair(t, own, test.retry)
				p.get(t, 1, test.size)
				body := p.post(t, "/sum", 2, test.size)
				defer body.Close()
				got, err := io.ReadAll(body)
				require.NoError(t, err)
				require.True(t, bytes.Equal(payloadSum(2, test.size), got), "the upload differs")
			})
		}
	}
}

// TestHTTPConcurrent has 200 requests under way at once, half of them with bodies both ways.
func TestHTTPConcurrent(t *testing.T) {
	for _, own := range []string{"Server", "Client"} {
		t.Run(own, func(t *testing.T) {
			p := newPair(t, own, false)
			errs := make(chan error, 200)
			concurrently(200, func(i int) { errs <- p.request(i) })
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
		})
	}
}

// request makes request number i, on any goroutine.
func (p *pair) request(i int) error {
	n := int64(i) * 1000
	var resp *http.Response
	var err error
	if i%2 == 0 {
		resp, err = p.http.Get(fmt.Sprintf("%s/bytes/%d/%d", p.url, i, n))
	} else {
		resp, err = p.http.Post(p.url+"/echo", "application/octet-stream", payload(byte(i), n))
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got := sum(resp.Body); !bytes.Equal(payloadSum(byte(i), n), got) {
		return fmt.Errorf("request %d: bytes differ: %q", i, got)
	}
	return nil
}

// TestHTTPDatagrams takes streams over by extended CONNECT (RFC 9220), and sends
// datagrams (RFC 9297) and bytes on them.
func TestHTTPDatagrams(t *testing.T) {
	t.Run("Server", func(t *testing.T) {
		ctx := testContext(t)
		p := &pair{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := h3http.TakeStream(w)
			if !orError(t, err) {
				return
			}
			defer s.Close()
			ownReflect(ctx, t, s)
		})}
		p.server, p.client = tlsConfigs(t)
		p.url = ownHTTP(t, p, nil)
		addr, err := url.Parse(p.url)
		require.NoError(t, err)
		to, err := net.ResolveUDPAddr("udp4", addr.Host)
		require.NoError(t, err)
		p.client.NextProtos = []string{http3.NextProtoH3}
		c, err := foreignTransport(t).Dial(ctx, to, p.client, foreignConfig())
		require.NoError(t, err)
		cc := (&http3.Transport{EnableDatagrams: true}).NewClientConn(c)
		<-cc.ReceivedSettings()
		require.True(t, cc.Settings().EnableDatagrams)
		require.True(t, cc.Settings().EnableExtendedConnect)
		s, err := cc.OpenRequestStream(ctx)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(ctx, http.MethodConnect, p.url+"/", nil)
		require.NoError(t, err)
		req.Proto = "reflect"
		require.NoError(t, s.SendRequestHeader(req))
		resp, err := s.ReadResponse()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		for i := range 50 {
			require.NoError(t, s.SendDatagram(numbered(i)))
			got, err := s.ReceiveDatagram(ctx)
			require.NoError(t, err)
			require.Equal(t, numbered(i), got)
		}
		_, err = s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
	t.Run("Client", func(t *testing.T) {
		ctx := testContext(t)
		p := &pair{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			s, err := w.(http3.HTTPStreamer).HTTPStream()
			if orError(t, err) {
				foreignReflect(ctx, t, s)
			}
		})}
		p.server, p.client = tlsConfigs(t)
		p.url = foreignHTTP(t, p, foreignTransport(t))
		tr := &h3http.Transport{TLSClientConfig: p.client, H3Config: &h3.Config{Datagrams: true}}
		defer tr.Close()
		req, err := http.NewRequestWithContext(ctx, http.MethodConnect, p.url+"/", nil)
		require.NoError(t, err)
		req.Header.Set(":protocol", "reflect")
		s, resp, err := tr.Connect(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		defer s.Close()
		b := make([]byte, 1500)
		for i := range 50 {
			require.NoError(t, s.SendDatagram(ctx, numbered(i), 0))
			n, err := s.ReceiveDatagram(ctx, b)
			require.NoError(t, err)
			require.Equal(t, numbered(i), b[:n])
		}
		_, err = s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, s.CloseWrite())
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
}

// ownReflect sends 50 datagrams back, and then the data of the stream.
func ownReflect(ctx context.Context, t testing.TB, s *h3http.Stream) {
	b := make([]byte, 1500)
	for range 50 {
		n, err := s.ReceiveDatagram(ctx, b)
		if !orError(t, err) || !orError(t, s.SendDatagram(ctx, b[:n], 0)) {
			return
		}
	}
	_, err := io.Copy(s, s)
	orError(t, err)
}

// foreignReflect is ownReflect for quic-go, and closes the stream.
func foreignReflect(ctx context.Context, t testing.TB, s *http3.Stream) {
	for range 50 {
		b, err := s.ReceiveDatagram(ctx)
		if !orError(t, err) || !orError(t, s.SendDatagram(b)) {
			return
		}
	}
	_, err := io.Copy(s, s)
	orError(t, errors.Join(err, s.Close()))
}
