package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/quic-go/quic-go/http3"
)

// benchBuffer is how many bytes both sides read and write at a time.
const benchBuffer = 64 << 10

// benchRoutes serves what the benchmarks ask for.
func benchRoutes() http.Handler {
	zeros := make([]byte, benchBuffer)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.PathValue("n"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		for n > 0 {
			k, err := w.Write(zeros[:min(n, benchBuffer)])
			if err != nil {
				return
			}
			n -= int64(k)
		}
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { drain(r.Body, make([]byte, benchBuffer)) })
	return mux
}

// drain reads r to its end through buf, and returns its length.
func drain(r io.Reader, buf []byte) (n int64, err error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
}

// A benchPeer is a server with benchRoutes, and what makes clients of the same implementation. Each
// client opens a connection of its own.
type benchPeer struct {
	url  string
	dial func() (rt http.RoundTripper, closed func())
}

func ownBench(b *testing.B, p *pair) benchPeer {
	return benchPeer{ownHTTP(b, p, nil), func() (http.RoundTripper, func()) {
		tr := &h3http.Transport{TLSClientConfig: p.client}
		return tr, func() { tr.Close() }
	}}
}

func foreignBench(b *testing.B, p *pair) benchPeer {
	return benchPeer{foreignHTTP(b, p, foreignTransport(b)), func() (http.RoundTripper, func()) {
		tr := &http3.Transport{TLSClientConfig: p.client, QUICConfig: foreignConfig()}
		return tr, func() { tr.Close() }
	}}
}

func http2Bench(b *testing.B, p *pair) benchPeer {
	srv := httptest.NewUnstartedServer(p.handler)
	srv.TLS, srv.EnableHTTP2 = p.server.Clone(), true
	srv.StartTLS()
	b.Cleanup(srv.Close)
	return benchPeer{srv.URL, func() (http.RoundTripper, func()) {
		tr := &http.Transport{TLSClientConfig: p.client.Clone(), ForceAttemptHTTP2: true}
		return tr, tr.CloseIdleConnections
	}}
}

// eachHTTP3 runs f with each implementation of HTTP/3, and with HTTP/2 of net/http.
func eachHTTP3(b *testing.B, f func(b *testing.B, peer benchPeer)) {
	for _, impl := range []struct {
		name string
		make func(*testing.B, *pair) benchPeer
	}{{"lazo", ownBench}, {"quic-go", foreignBench}, {"http2", http2Bench}} {
		b.Run(impl.name, func(b *testing.B) {
			p := &pair{handler: benchRoutes()}
			p.server, p.client = tlsConfigs(b)
			p.server.CurvePreferences = []tls.CurveID{tls.X25519}
			peer := impl.make(b, p)
			b.ReportAllocs()
			f(b, peer)
		})
	}
}

// connected returns a client of peer that has a connection, and begins to measure.
func (peer *benchPeer) connected(b *testing.B) *http.Client {
	rt, closed := peer.dial()
	b.Cleanup(closed)
	c := &http.Client{Transport: rt, Timeout: 2 * time.Minute}
	fetch(b, c, peer.url+"/100", 100, make([]byte, benchBuffer))
	b.ResetTimer()
	return c
}

// fetch gets url, whose body is of want bytes. It reads through buf.
func fetch(b *testing.B, c *http.Client, url string, want int64, buf []byte) {
	resp, err := c.Get(url)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if n, err := drain(resp.Body, buf); n != want || err != nil {
		b.Errorf("%d of %d bytes: %v", n, want, err)
	}
}

// BenchmarkHTTP3Requests makes requests of 100 bytes.
func BenchmarkHTTP3Requests(b *testing.B) {
	for _, atOnce := range []int{1, 64} {
		b.Run(fmt.Sprintf("atOnce=%d", atOnce), func(b *testing.B) {
			eachHTTP3(b, func(b *testing.B, peer benchPeer) {
				c := peer.connected(b)
				var wg sync.WaitGroup
				for i := range atOnce {
					wg.Go(func() {
						buf := make([]byte, benchBuffer)
						for range b.N/atOnce + min(1, max(0, b.N%atOnce-i)) {
							fetch(b, c, peer.url+"/100", 100, buf)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// BenchmarkHTTP3Connections makes connections with a request each, one after another.
func BenchmarkHTTP3Connections(b *testing.B) {
	eachHTTP3(b, func(b *testing.B, peer benchPeer) {
		buf := make([]byte, benchBuffer)
		for b.Loop() {
			rt, closed := peer.dial()
			fetch(b, &http.Client{Transport: rt}, peer.url+"/100", 100, buf)
			closed()
		}
	})
}

// BenchmarkHTTP3Download reads a long body.
func BenchmarkHTTP3Download(b *testing.B) {
	eachHTTP3(b, func(b *testing.B, peer benchPeer) {
		c := peer.connected(b)
		b.SetBytes(1 << 20)
		n := int64(b.N) << 20
		fetch(b, c, peer.url+"/"+strconv.FormatInt(n, 10), n, make([]byte, benchBuffer))
	})
}

// BenchmarkHTTP3Upload writes a long body.
func BenchmarkHTTP3Upload(b *testing.B) {
	eachHTTP3(b, func(b *testing.B, peer benchPeer) {
		c := peer.connected(b)
		b.SetBytes(1 << 20)
		resp, err := c.Post(peer.url+"/", "application/octet-stream", io.LimitReader(endless{}, int64(b.N)<<20))
		require.NoError(b, err)
		resp.Body.Close()
	})
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
