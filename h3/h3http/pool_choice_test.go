package h3http

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// rtt50 is a link whose round trip takes 50 ms.
var rtt50 = conntest.Link{Delay: 25 * time.Millisecond}

// restart makes the server crash, which nobody hears of. It comes back as again.
func (p *pair) restart(t *testing.T, n *looptest.Network, again *Server) {
	n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
	require.NoError(t, p.srv.Close())
	again.Handler, again.TLSConfig, again.Logger = p.srv.Handler, serverConfig(), p.log.logger()
	backend := n.Listen("10.0.0.1:443")
	served := make(chan error, 1)
	go func() { served <- again.Serve(backend) }()
	t.Cleanup(func() {
		require.NoError(t, again.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	n.Connect("10.0.0.1:443", "10.0.0.2:5000", rtt50)
}

// TestServerRestarts: the server crashes and comes back with other keys for stateless resets.
// Requests that may be repeated are repeated on a new connection, long before the idle timeout of
// the old one.
func TestServerRestarts(t *testing.T) {
	simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
		hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body); io.WriteString(w, r.Method) })
		p := newSimPair(t, n, hello)
		p.c.Timeout = 0
		_, body := p.get("/")
		require.Equal(t, "GET", body)
		p.restart(t, n, new(Server))

		post := make(chan error, 1)
		go func() {
			_, err := p.c.Post(p.url, "", io.MultiReader(strings.NewReader("not to be sent twice")))
			post <- err
		}()
		begin := time.Now()
		_, body = p.get("/")
		require.Equal(t, "GET", body)
		require.Less(t, time.Since(begin), 1500*time.Millisecond)
		t.Logf("the request took %v", time.Since(begin))
		begin = time.Now()
		p.get("/")
		require.Equal(t, 50*time.Millisecond, time.Since(begin))
		r := p.request("PUT", "/", strings.NewReader("replayed "))
		r.Header.Set("Idempotency-Key", "1")
		_, body = p.do(r)
		require.Equal(t, "replayed PUT", body)
		require.ErrorIs(t, <-post, conn.ErrIdleTimeout)
	})
}

// TestSecret: a server that comes back with the same Secret resets its old connections at once, and
// resumes their sessions. A server with another Secret does neither.
func TestSecret(t *testing.T) {
	secret := []byte("0123456789abcdef")
	for _, same := range []bool{true, false} {
		simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
			hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) })
			p := newSimPair(t, n, hello, func(p *pair) {
				p.srv.Secret = secret
				p.tr.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(10)
			})
			p.get("/")
			time.Sleep(time.Second) // tickets have come
			again := &Server{Secret: secret}
			if !same {
				again.Secret = []byte("fedcba9876543210")
			}
			p.restart(t, n, again)
			begin := time.Now()
			resp, body := p.get("/")
			require.Equal(t, "GET", body)
			took := time.Since(begin)
			t.Logf("same secret: %v; the request took %v", same, took)
			require.Equal(t, same, resp.TLS.DidResume)
			require.Equal(t, same, took == 150*time.Millisecond) // reset, handshake, request
		})
	}
	_, err := new(Server).LoopConfig(), (&Server{Secret: []byte("short"), TLSConfig: serverConfig()}).ListenAndServe()
	require.ErrorContains(t, err, "needs 16")
	keys := (&Server{Secret: secret}).LoopConfig().Endpoint
	require.True(t, keys.ResetKey != keys.TokenKeys[0])
}

// TestNetworkComesBack: the network is away for a while. Nothing is lost. Requests that were
// waiting complete, on their connection or on another.
func TestNetworkComesBack(t *testing.T) {
	simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
		var posts atomic.Int64
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				posts.Add(1)
			}
			io.WriteString(w, r.Method)
		}))
		p.c.Timeout = 0
		p.get("/")
		n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
		results := make(chan string, 2)
		for _, method := range []string{"GET", "POST"} {
			go func() {
				_, body := p.do(p.request(method, "/", nil))
				results <- body
			}()
		}
		time.Sleep(15 * time.Second)
		n.Connect("10.0.0.1:443", "10.0.0.2:5000", rtt50)
		require.Equal(t, 7, len(<-results)+len(<-results))
		require.EqualValues(t, 1, posts.Load())
		time.Sleep(5 * time.Second)
		_, body := p.get("/")
		require.Equal(t, "GET", body)
	})
}

// TestLateIsNotSilent: the answers of a server come so late that it counts as silent, as those of a
// busy server do. They come before another connection is ready. So no request is sent twice, and
// the other connection goes.
func TestLateIsNotSilent(t *testing.T) {
	simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
		var slow, dials atomic.Int64
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				slow.Add(1)
				time.Sleep(5 * time.Second)
			}
			io.WriteString(w, ConnOf(r).ID().String())
		}), func(p *pair) {
			dial := p.tr.Dial
			p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				dials.Add(1)
				return dial(ctx, addr, cfg)
			}
		})
		p.c.Timeout = 0
		_, first := p.get("/")
		for range 10 { // the round trip is known to be short
			p.get("/")
		}
		n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Delay: 1500 * time.Millisecond})
		_, body := p.get("/slow")
		require.Equal(t, first, body)
		require.EqualValues(t, 2, dials.Load()) // or the test shows nothing
		require.EqualValues(t, 1, slow.Load())
		p.tr.mu.Lock()
		left := len(p.tr.conns)
		p.tr.mu.Unlock()
		require.Equal(t, 1, left)
		n.Connect("10.0.0.1:443", "10.0.0.2:5000", rtt50)
		_, body = p.get("/")
		require.Equal(t, first, body)
	})
}

// TestCanceledRequestsDoNotBlock: handlers of canceled requests still hold streams. Other requests
// get streams of another connection.
func TestCanceledRequestsDoNotBlock(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(5 * time.Second)
		}
	})
	for _, tt := range []struct {
		most  int // MaxConnsPerHost
		least time.Duration
		limit time.Duration
	}{
		{0, 0, 500 * time.Millisecond},
		{2, 0, 500 * time.Millisecond},
		{1, 4 * time.Second, 6 * time.Second},
	} {
		simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
			p := newSimPair(t, n, slow, func(p *pair) { p.tr.MaxConnsPerHost = tt.most })
			p.get("/")
			ctx, cancel := context.WithCancel(context.Background())
			canceled := make(chan error)
			for range 300 {
				go func() {
					resp, err := p.c.Do(p.request("GET", "/slow", nil).WithContext(ctx))
					if err == nil {
						resp.Body.Close()
					}
					canceled <- err
				}()
			}
			time.Sleep(60 * time.Millisecond)
			cancel()
			for range 300 {
				require.ErrorIs(t, <-canceled, context.Canceled)
			}
			begin := time.Now()
			p.get("/")
			took := time.Since(begin)
			t.Logf("%d connections at most: the request took %v", tt.most, took)
			require.GreaterOrEqual(t, took, tt.least)
			require.LessOrEqual(t, took, tt.limit)
			time.Sleep(10 * time.Second)
		})
	}
}

// TestConnectionsForStreams: the server does not end its requests. They get as many connections as
// they need, and no more than allowed.
func TestConnectionsForStreams(t *testing.T) {
	for most, want := range map[int]int{0: 4, 3: 3} {
		simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
			conns := make(chan *http.Request, 100)
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conns <- r
				<-r.Context().Done()
			}), func(p *pair) {
				p.tr.MaxConnsPerHost = most
				p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 10}
			})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan bool)
			for range 40 {
				go func() {
					p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
					done <- true
				}()
			}
			time.Sleep(5 * time.Second)
			seen := make(map[string]bool)
			require.Equal(t, 10*want, len(conns))
			for range 10 * want {
				seen[ConnOf(<-conns).ID().String()] = true
			}
			require.Equal(t, want, len(seen))
			cancel()
			for range 40 {
				<-done
			}
		})
	}
}

// TestServerWithoutStreams: a server that allows no requests gets one connection, and not one after
// the other.
func TestServerWithoutStreams(t *testing.T) {
	simulate(t, rtt50, func(t *testing.T, n *looptest.Network) {
		var dials atomic.Int64
		p := newSimPair(t, n, http.NotFoundHandler(), func(p *pair) {
			dial := p.tr.Dial
			p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				dials.Add(1)
				return dial(ctx, addr, cfg)
			}
			p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: -1}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualValues(t, 1, dials.Load())
	})
}

// TestPathDies: UDP stops working in the middle of a connection. Requests that may be repeated go
// over TCP, long before the idle timeout.
func TestPathDies(t *testing.T) {
	simulateAlt(t, 25*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 100*time.Millisecond, 200*time.Millisecond)
		for range 3 { // enough for the measured round trip to settle
			p.requireTakes(overUDP, 50*time.Millisecond, 50*time.Millisecond)
		}
		p.blocked.Store(true)
		begin := time.Now()
		p.requireTakes(overTCP, 0, 1500*time.Millisecond)
		t.Logf("the request took %v", time.Since(begin))
	})
}

// TestPathComesBack: UDP stops working for some seconds. Once the server has answered again,
// requests go over HTTP/3 as before, on the same connection.
func TestPathComesBack(t *testing.T) {
	simulateAlt(t, 25*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 100*time.Millisecond, 200*time.Millisecond)
		p.requireTakes(overUDP, 50*time.Millisecond, 50*time.Millisecond)
		p.blocked.Store(true)
		p.requireTakes(overTCP, 0, 1500*time.Millisecond)
		p.blocked.Store(false)
		time.Sleep(10 * time.Second) // a probe gets through
		require.EqualValues(p.t, 1, p.dials.Load())
		p.requireTakes(overUDP, 50*time.Millisecond, 50*time.Millisecond)
	})
}
