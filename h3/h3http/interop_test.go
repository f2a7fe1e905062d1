package h3http

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/internal/require"
)

// These tests run one side of HTTP/3 on quic-go, which shares no code with this
// project.

// peers is a server and a client of which one is quic-go's.
type peers struct {
	name string
	url  string
	c    *http.Client
}

// withPeers runs f with our server and quic-go's client, and the other way round.
func withPeers(t *testing.T, h http.Handler, f func(t *testing.T, p *peers)) {
	t.Run("server", func(t *testing.T) {
		p := newPair(t, h)
		tr := &http3.Transport{TLSClientConfig: clientConfig(), QUICConfig: &quic.Config{EnableDatagrams: true}}
		defer tr.Close()
		f(t, &peers{name: "server", url: p.url, c: &http.Client{Transport: tr, Timeout: 20 * time.Second}})
	})
	t.Run("client", func(t *testing.T) {
		url := newForeignServer(t, h)
		tr := &Transport{TLSClientConfig: clientConfig()}
		defer tr.Close()
		f(t, &peers{name: "client", url: url, c: &http.Client{Transport: tr, Timeout: 20 * time.Second}})
	})
}

// newForeignServer runs a server of quic-go, and returns its URL.
func newForeignServer(t *testing.T, h http.Handler) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http3.Server{
		Handler:         h,
		TLSConfig:       http3.ConfigureTLSConfig(serverConfig()),
		EnableDatagrams: true,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(pc) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
		pc.Close()
	})
	return "https://" + pc.LocalAddr().String()
}

func TestInteropGet(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("X-Cookies", r.Header.Get("Cookie"))
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Proto, r.Header.Get("X-Test"))
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		r, err := http.NewRequest("GET", p.url+"/a/b?c=d%20e", nil)
		require.NoError(t, err)
		r.Header.Set("X-Test", "yes")
		r.Header.Set("Cookie", "x=y; z=w")
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "GET /a/b?c=d%20e HTTP/3.0 yes", string(b))
		require.Equal(t, http.StatusTeapot, resp.StatusCode)
		require.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
		require.Equal(t, "x=y; z=w", resp.Header.Get("X-Cookies"))
		require.Equal(t, tls.VersionTLS13, int(resp.TLS.Version))
	})
}

// TestInteropStream exchanges messages in turns on one request.
func TestInteropStream(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				io.WriteString(w, strings.ToUpper(string(buf[:n])))
				rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		pr, pw := io.Pipe()
		r, err := http.NewRequest("POST", p.url+"/", pr)
		require.NoError(t, err)
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		buf := make([]byte, 5)
		for i := range 20 {
			fmt.Fprintf(pw, "msg%02d", i)
			_, err := io.ReadFull(resp.Body, buf)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("MSG%02d", i), string(buf))
		}
		pw.Close()
		_, err = resp.Body.Read(buf)
		require.Equal(t, io.EOF, err)
	})
}

func TestInteropMany(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, sum, err := hashOf(r.Body)
		fmt.Fprint(w, n, sum, err)
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				src := newPattern(byte(i), 10_000)
				resp, err := p.c.Post(p.url, "", src)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if want := fmt.Sprint(10_000, src.hash(), nil); err != nil || string(b) != want {
					t.Errorf("request %d: %q, %v", i, b, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestInteropTrailers(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Declared")
		io.WriteString(w, "body")
		w.Header().Set("X-Declared", r.Trailer.Get("X-Request"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		r, err := http.NewRequest("POST", p.url, io.LimitReader(strings.NewReader("request"), 100))
		require.NoError(t, err)
		r.Trailer = http.Header{"X-Request": {"1"}}
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(b))
		require.Equal(t, "1", resp.Trailer.Get("X-Declared"))
		require.Equal(t, "2", resp.Trailer.Get("X-Late"))
	})
}

func TestInteropEarlyHints(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		var hints []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, header.Get("Link")))
				return nil
			},
		})
		r, err := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		require.NoError(t, err)
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, []string{"103</style.css>; rel=preload"}, hints)
	})
}

// TestInteropCancel cancels a request while the response is under way.
func TestInteropCancel(t *testing.T) {
	canceled := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok" {
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		canceled <- r.Context().Err()
	})
	withPeers(t, h, func(t *testing.T, p *peers) {
		ctx, cancel := context.WithCancel(context.Background())
		r, err := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		require.NoError(t, err)
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		cancel()
		_, err = resp.Body.Read(make([]byte, 1))
		require.Error(t, err)
		require.Error(t, <-canceled)
		resp, err = p.c.Get(p.url + "/ok") // the connection lives
		require.NoError(t, err)
		resp.Body.Close()
	})
}

func TestInteropLargeBodies(t *testing.T) {
	size := largeSize()
	withPeers(t, sumHandler(size), func(t *testing.T, p *peers) {
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		defer resp.Body.Close()
		n, sum, err := hashOf(resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, resp.Trailer.Get("Sum"), sum)

		src := newPattern(3, size)
		resp, err = p.c.Post(p.url, "", src)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(size, " ", src.hash(), " <nil>"), string(b))
	})
}
