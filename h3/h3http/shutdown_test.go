package h3http

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestShutdownDelivers shuts down while a response is on its way over a bad network.
// RFC 9114, Section 3.3 [7]; RFC 9114, Section 5.2 [4, 7].
func TestShutdownDelivers(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Loss: 0.02}
	simulate(t, link, func(t *testing.T, n *looptest.Network) {
		const size = 1 << 20
		started := make(chan bool, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			started <- true
			time.Sleep(time.Second)
			w.Write(make([]byte, size))
		})
		p := newSimPair(t, n, h)
		done := make(chan error, 1)
		go func() {
			<-started
			start := time.Now()
			err := p.srv.Shutdown(context.Background())
			if err == nil && time.Since(start) < time.Second {
				t.Error("Shutdown did not wait")
			}
			done <- err
		}()
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		got, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, got)
		require.NoError(t, <-done)
		require.NoError(t, p.srv.Shutdown(context.Background()), "again")

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		_, err = p.c.Do(r)
		require.Error(t, err, "nobody serves any more")
	})
}

// TestShutdownLosesNothing shuts down under load. Every request that a handler has seen gets its
// response.
func TestShutdownLosesNothing(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		var accepted, answered atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			accepted.Add(1)
			time.Sleep(30 * time.Millisecond)
			io.WriteString(w, "ok")
		})
		p := newSimPair(t, n, h)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for {
					r, _ := http.NewRequestWithContext(ctx, "POST", p.url, nil)
					resp, err := p.c.Do(r)
					if err != nil {
						return
					}
					if b, err := io.ReadAll(resp.Body); err == nil && string(b) == "ok" {
						answered.Add(1)
					}
					resp.Body.Close()
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, p.srv.Shutdown(context.Background()))
		cancel()
		wg.Wait()
		require.Greater(t, accepted.Load(), int64(100))
		require.Equal(t, accepted.Load(), answered.Load())
	})
}

// TestShutdownExpires shuts down while a handler does not end in time.
func TestShutdownExpires(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		ended := make(chan bool, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			ended <- true
		})
		p := newSimPair(t, n, h)
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.srv.Shutdown(ctx), context.DeadlineExceeded)
		select {
		case <-ended:
			t.Error("Shutdown ended the request")
		default:
		}
		require.NoError(t, p.srv.Close())
		<-ended
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err)
	})
}

// TestGoAwayMovesOn: one server goes away, and the client goes on with the next one.
func TestGoAwayMovesOn(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		answer := func(s string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(100 * time.Millisecond)
				io.Copy(io.Discard, r.Body)
				io.WriteString(w, s)
			})
		}
		p := newSimPair(t, n, answer("old"), func(p *pair) {
			next := &Server{Handler: answer("new"), TLSConfig: serverConfig(), Logger: p.log.logger()}
			backend := n.Listen("10.0.0.1:444")
			go next.Serve(backend)
			p.t.Cleanup(func() { next.Close() })
			dial := p.tr.Dial
			first := true
			p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				if !first {
					addr = "10.0.0.1:444"
				}
				first = false
				return dial(ctx, addr, cfg)
			}
		})
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		resp.Body.Close()

		// The requests that cross the GOAWAY move to the new server with their bodies.
		var old, rest atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				resp, err := p.c.Post(p.url, "", bytes.NewReader(make([]byte, 10_000)))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Error(err)
				}
				if string(b) == "old" {
					old.Add(1)
				} else {
					rest.Add(1)
				}
			})
		}
		time.Sleep(25 * time.Millisecond)
		require.NoError(t, p.srv.Shutdown(context.Background()))
		wg.Wait()
		require.Equal(t, int64(50), old.Load()+rest.Load())
		require.NotZero(t, old.Load())
		require.NotZero(t, rest.Load())
	})
}

// TestSharedGroup serves on a Group that belongs to other code.
func TestSharedGroup(t *testing.T) {
	srv := &Server{TLSConfig: serverConfig(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, srv.LoopConfig())
	require.NoError(t, err)
	defer g.Close()
	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	c := &http.Client{Transport: tr}
	resp, err := c.Get("https://" + g.LocalAddr().String())
	require.NoError(t, err)
	require.NoError(t, srv.Shutdown(context.Background()))
	<-ConnOf(resp.Request).Context().Done()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, g.Loops()[0].Do(ctx, func(time.Time) {}), "the Group must go on")
	require.ErrorIs(t, srv.ListenAndServe(), http.ErrServerClosed)
	_, err = c.Get("https://" + g.LocalAddr().String())
	require.Error(t, err, "the Server must take no new connections")
}

// TestServeAfterClose begins to serve a Group after the Server was closed. A connection has come
// already. Its handler is being made, and must not wait for the end of the Group.
func TestServeAfterClose(t *testing.T) {
	srv := &Server{TLSConfig: serverConfig(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
	cfg := srv.LoopConfig()
	newHandler := cfg.NewHandler
	entered, goOn := make(chan bool), make(chan bool)
	cfg.NewHandler = func(l *loop.Loop, q *conn.Conn) loop.Handler {
		entered <- true
		<-goOn
		return newHandler(l, q)
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	require.NoError(t, err)
	require.NoError(t, srv.Close())
	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	go (&http.Client{Transport: tr}).Get("https://" + g.LocalAddr().String())
	<-entered
	served := make(chan error, 1)
	go func() { served <- srv.serve(g) }()
	_, err = g.Accept(t.Context()) // until the Group is told to stop
	require.Error(t, err)
	close(goOn)
	select {
	case err := <-served:
		require.ErrorIs(t, err, http.ErrServerClosed)
	case <-time.After(time.Minute):
		t.Fatal("the handler and the end of the Group wait for each other")
	}
}

func TestServerMistakes(t *testing.T) {
	srv := &Server{Addr: "127.0.0.1:0"}
	require.ErrorContains(t, srv.ListenAndServe(), "no certificate")
	require.ErrorContains(t, srv.Serve(), "no certificate")
	srv.TLSConfig = serverConfig()
	srv.QUICConfig = &conn.Config{TLS: serverConfig()}
	require.ErrorContains(t, srv.ListenAndServe(), "QUICConfig.TLS")
	srv = &Server{Addr: "127.0.0.1:bad", TLSConfig: serverConfig()}
	require.Error(t, srv.ListenAndServe())
	require.Error(t, srv.ListenAndServeTLS("/nonexistent", "/nonexistent"))
	require.NoError(t, srv.Close())
}

// TestShutdownSaysWhatWasLost: Shutdown returns nil only if clients have acknowledged all responses
// that they still wanted.
func TestShutdownSaysWhatWasLost(t *testing.T) {
	vanish := func(_ *pair, n *looptest.Network, _ func()) {
		n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
	}
	for _, tt := range []struct {
		name   string
		server func(s *Server)
		end    func(p *pair, n *looptest.Network, cancel func()) // while three requests wait
		lost   int
		err    error
	}{
		{"idle timeout", nil, vanish, 3, conn.ErrIdleTimeout},
		{"delivery timeout", func(s *Server) { s.DeliveryTimeout = 5 * time.Second }, vanish, 3, os.ErrDeadlineExceeded},
		{"Close", nil, func(p *pair, n *looptest.Network, _ func()) {
			vanish(p, n, nil)
			time.AfterFunc(3*time.Second, func() { p.srv.Close() })
		}, 3, &conn.ApplicationError{Code: uint64(h3.NoError)}},
		{"closed by the client", nil, func(p *pair, _ *looptest.Network, _ func()) { p.tr.Close() }, 0, nil},
		{"canceled by the client", nil, func(_ *pair, _ *looptest.Network, cancel func()) { cancel() }, 0, nil},
		{"delivered", nil, func(*pair, *looptest.Network, func()) {}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				var handlers sync.WaitGroup
				handlers.Add(3)
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer handlers.Done()
					time.Sleep(time.Second)
					w.Write(make([]byte, 30_000))
				}), func(p *pair) {
					p.c.Timeout = 0
					if tt.server != nil {
						tt.server(p.srv)
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var clients sync.WaitGroup
				for range 3 {
					clients.Go(func() {
						r := p.request("GET", "/", nil).WithContext(ctx)
						if resp, err := p.c.Do(r); err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					})
				}
				time.AfterFunc(900*time.Millisecond, func() { tt.end(p, n, cancel) })
				time.Sleep(500 * time.Millisecond)
				err := p.srv.Shutdown(context.Background())
				var lost *UndeliveredError
				if errors.As(err, &lost); tt.lost == 0 {
					require.NoError(t, err)
				} else {
					require.True(t, lost != nil && lost.Responses == tt.lost && lost.Err.Error() == tt.err.Error(), "%v", err)
					require.Equal(t, err, p.srv.Shutdown(context.Background()), "again")
				}
				cancel()
				clients.Wait()
				handlers.Wait()
			})
		})
	}
}

// TestShutdownAmidHandshake: Shutdown does not wait for a handshake that makes no progress.
func TestShutdownAmidHandshake(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		began := make(chan struct{})
		p := newSimPair(t, n, http.NotFoundHandler(), func(p *pair) {
			p.srv.TLSConfig.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				close(began)
				<-h.Context().Done()
				return nil, h.Context().Err()
			}
		})
		failed := make(chan error, 1)
		go func() {
			_, err := p.c.Get(p.url)
			failed <- err
		}()
		<-began
		start := time.Now()
		require.NoError(t, p.srv.Shutdown(t.Context()))
		require.True(t, time.Since(start) < time.Second, time.Since(start))
		require.True(t, <-failed != nil)
	})
}
