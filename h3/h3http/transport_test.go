package h3http

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestProxyRefused: Proxy returns a proxy for some requests.
func TestProxyRefused(t *testing.T) {
	broken := errors.New("no idea")
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) {
		p.tr.Proxy = func(r *http.Request) (*url.URL, error) {
			switch r.URL.Path {
			case "/proxy":
				return url.Parse("http://user:secret@proxy.example:3128")
			case "/broken":
				return nil, broken
			}
			return nil, nil
		}
	})
	p.get("/")
	_, err := p.c.Get(p.url + "/proxy")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "proxy http://user:xxxxx@proxy.example:3128")
	_, err = p.c.Get(p.url + "/broken")
	require.ErrorIs(t, err, broken)
}

// TestMaxRequestsPerHost sends more requests than are allowed at once.
func TestMaxRequestsPerHost(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		var running, most, calls atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for now, was := running.Add(1), most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			defer running.Add(-1)
			calls.Add(1)
			time.Sleep(time.Second)
		})
		p := newSimPair(t, n, h, func(p *pair) { p.tr.MaxRequestsPerHost = 3 })
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		var failed atomic.Int64
		for range 12 {
			wg.Go(func() {
				r, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
				resp, err := p.c.Do(r)
				if err != nil {
					failed.Add(1)
					return
				}
				resp.Body.Close()
			})
		}
		wg.Wait()
		require.EqualValues(t, 3, most.Load())
		require.EqualValues(t, 9, failed.Load(), "those in progress and those that wait")
		require.EqualValues(t, 6, calls.Load())

		// A body that is not read holds a place, and so does a stream.
		var open []*http.Response
		for range 3 {
			resp, err := p.c.Get(p.url)
			require.NoError(t, err)
			open = append(open, resp)
		}
		resp, err := p.c.Get(p.url) // those have ended: there was no body
		require.NoError(t, err)
		for _, resp := range append(open, resp) {
			resp.Body.Close()
		}
		time.Sleep(5 * time.Second)
		p.tr.mu.Lock()
		defer p.tr.mu.Unlock()
		require.Zero(t, p.tr.hosts[target{origin: "10.0.0.1:443"}].running)
	})
}

// TestPlacesComeBack: there is one place. Requests that end in all ways give it back.
func TestPlacesComeBack(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := routes(map[string]http.HandlerFunc{
			"/ok":    func(w http.ResponseWriter, r *http.Request) {},
			"/large": func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) },
			"/panic": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			"/crash": func(w http.ResponseWriter, r *http.Request) {
				ConnOf(r).Close(uint64(h3.InternalError), "crash")
				<-r.Context().Done()
			},
			"/slow": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		})
		p := newSimPair(t, n, h, func(p *pair) {
			p.tr.MaxRequestsPerHost = 1
			p.c.Timeout = time.Second
			dial := p.tr.Dial
			p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				if addr == "10.0.0.9:443" {
					return nil, net.ErrClosed
				}
				return dial(ctx, addr, cfg)
			}
		})
		for range 3 {
			for _, path := range []string{"/ok", "/large", "/panic", "/crash", "/slow"} {
				resp, err := p.c.Post(p.url+path, "", nil)
				if err == nil {
					resp.Body.Close()
				}
			}
			_, err := p.tr.RoundTrip(&http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "10.0.0.9"}, Header: http.Header{}})
			require.ErrorIs(t, err, net.ErrClosed)
		}
		resp, err := p.c.Get(p.url + "/ok")
		require.NoError(t, err)
		resp.Body.Close()
		require.NoError(t, p.tr.Close())
		synctest.Wait()
		p.tr.mu.Lock()
		defer p.tr.mu.Unlock()
		require.Empty(t, p.tr.hosts)
	})
}

// TestResponseHeaderTimeout: servers answer late. Clients that send slowly do not count.
func TestResponseHeaderTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if r.URL.Path == "/body" {
				w.(http.Flusher).Flush()
			}
			if r.URL.Path != "/" {
				time.Sleep(2 * time.Second)
			}
			w.Write(b)
		})
		p := newSimPair(t, n, h, func(p *pair) { p.tr.ResponseHeaderTimeout = time.Second })
		for _, body := range []io.Reader{nil, strings.NewReader("x")} {
			start := time.Now()
			_, err := p.c.Post(p.url+"/late", "", body)
			timeout, ok := errors.AsType[net.Error](err)
			require.True(t, ok && timeout.Timeout(), "%v", err)
			require.ErrorContains(t, err, "awaiting response headers")
			require.InDelta(t, 1, time.Since(start).Seconds(), 0.1)
		}
		pr, pw := io.Pipe()
		go func() {
			time.Sleep(3 * time.Second)
			io.WriteString(pw, "slow")
			pw.Close()
		}()
		for path, body := range map[string]io.Reader{"/": pr, "/body": strings.NewReader("slow")} {
			resp, err := p.c.Post(p.url+path, "", body)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "slow", string(b))
		}
	})
}

// TestExpectContinueTimeout: the server never asks for the body.
func TestExpectContinueTimeout(t *testing.T) {
	for d, want := range map[time.Duration]bool{0: true, time.Hour: false, -1: true} {
		simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
			arrived := make(chan bool, 1)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				x := w.(*response).x
				time.Sleep(time.Minute)
				x.mu.Lock()
				defer x.mu.Unlock()
				arrived <- x.in.buf.Len() > 0
			})
			p := newSimPair(t, n, h, func(p *pair) {
				p.srv.QUICConfig = keepAliveConfig()
				p.tr.ExpectContinueTimeout = d
			})
			r, err := http.NewRequest("POST", p.url, strings.NewReader("body"))
			require.NoError(t, err)
			r.Header.Set("Expect", "100-continue")
			resp, err := p.c.Do(r)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, want, <-arrived, "%v", d)
		})
	}
}
