package h3http

import (
	"context"
	"io"
	gonet "net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// exchangesOf makes tr note its new exchanges. The function that it returns returns them.
func exchangesOf(tr *Transport) func() []*clientExchange {
	var mu sync.Mutex
	var all []*clientExchange
	tr.exchanges.pool.New = func() any {
		mu.Lock()
		defer mu.Unlock()
		x := new(clientExchange)
		all = append(all, x)
		return x
	}
	return func() []*clientExchange {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// TestClientExchangesServeAgain: requests at a time, on two connections, have an exchange each, and
// later requests get these again, as if they were new. Where the reader of a response keeps the
// loop waiting, the loop may be about to look at an exchange when that is over, and then no other
// request gets it.
func TestClientExchangesServeAgain(t *testing.T) {
	t.Run("small", func(t *testing.T) { testClientExchangesServeAgain(t, 100, true) })
	t.Run("large", func(t *testing.T) { testClientExchangesServeAgain(t, 3000, false) })
}

func testClientExchangesServeAgain(t *testing.T, unit int, always bool) {
	const n = 40
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		var all func() []*clientExchange
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // all are there at once
			w.Header().Set("Path", r.URL.Path)
			n, _ := strconv.Atoi(r.URL.Path[1:])
			io.WriteString(w, strings.Repeat("x", n*unit))
		}), func(p *pair) { all = exchangesOf(p.tr) })
		other, err := p.tr.NewClientConn(t.Context(), "10.0.0.1:443", nil)
		require.NoError(t, err)
		for range 5 {
			var done sync.WaitGroup
			for i := range n {
				done.Go(func() {
					send := p.tr.RoundTrip
					if i%2 == 0 {
						send = other.RoundTrip
					}
					r := p.request("GET", "/"+strconv.Itoa(i), nil)
					resp, err := send(r)
					require.NoError(t, err)
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.Equal(t, r.URL.Path, resp.Header.Get("Path"))
					require.Equal(t, strings.Repeat("x", i*unit), string(got))
				})
			}
			done.Wait()
			time.Sleep(time.Second) // for the last acknowledgements
			synctest.Wait()
		}
		served := uint64(0)
		for _, x := range all() {
			if always || x.turn > 0 && x.client == nil {
				requireNew(t, &x.exchange, x)
			}
			served += x.turn
		}
		if always {
			require.Equal(t, uint64(5*n), served)
		}
	})
}

// TestClientExchangesServeOnce: an exchange that somebody else knows, or that has failed, serves no
// other request.
func TestClientExchangesServeOnce(t *testing.T) {
	get := func(t *testing.T, p *pair, r *http.Request) *http.Response {
		t.Helper()
		resp, err := p.tr.RoundTrip(r)
		require.NoError(t, err)
		return resp
	}
	read := func(t *testing.T, p *pair, r *http.Request) {
		t.Helper()
		_, err := io.ReadAll(get(t, p, r).Body)
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		path  string
		do    func(t *testing.T, p *pair, r *http.Request)
		again bool
	}{
		"read": {"/", read, true},
		"closed after it has come": {"/", func(t *testing.T, p *pair, r *http.Request) {
			resp := get(t, p, r)
			time.Sleep(time.Second)
			require.NoError(t, resp.Body.Close())
		}, true},
		"closed before": {"/slow", func(t *testing.T, p *pair, r *http.Request) {
			require.NoError(t, get(t, p, r).Body.Close())
		}, false},
		"never read": {"/", func(t *testing.T, p *pair, r *http.Request) { get(t, p, r) }, false},
		"empty": {"/empty", func(t *testing.T, p *pair, r *http.Request) {
			require.True(t, get(t, p, r).Body == http.NoBody)
		}, true},
		"HEAD": {"/", func(t *testing.T, p *pair, r *http.Request) {
			r.Method = "HEAD"
			require.True(t, get(t, p, r).Body == http.NoBody)
		}, true},
		"failed": {"/abort", func(t *testing.T, p *pair, r *http.Request) {
			_, err := io.ReadAll(get(t, p, r).Body)
			require.Error(t, err)
		}, false},
		"with a body": {"/", func(t *testing.T, p *pair, r *http.Request) {
			r.Method, r.Body = "POST", io.NopCloser(strings.NewReader("x"))
			read(t, p, r)
		}, false},
		"with a context": {"/", func(t *testing.T, p *pair, r *http.Request) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read(t, p, r.WithContext(ctx))
		}, true},
		"canceled": {"/slow", func(t *testing.T, p *pair, r *http.Request) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp := get(t, p, r.WithContext(ctx))
			cancel()
			_, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, context.Canceled)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
				var all func() []*clientExchange
				p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/empty" {
						return
					}
					io.WriteString(w, "hello")
					w.(http.Flusher).Flush()
					switch r.URL.Path {
					case "/slow":
						time.Sleep(time.Second)
					case "/abort":
						panic(http.ErrAbortHandler)
					}
				}), func(p *pair) { all = exchangesOf(p.tr) })
				c.do(t, p, p.request("GET", c.path, nil))
				time.Sleep(2 * time.Second) // for the last acknowledgements
				synctest.Wait()
				require.Len(t, all(), 1)
				x := all()[0]
				if c.again {
					requireNew(t, &x.exchange, x)
				} else {
					require.Equal(t, uint64(0), x.turn)
				}
			})
		})
	}
}

// TestLateReader: a body is read and closed again after its response has ended, while its exchange
// serves another request. It does nothing to that. Nor does the end of the context.
func TestLateReader(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/next" {
				time.Sleep(time.Second)
				io.WriteString(w, "of the next one")
				w.(http.Flusher).Flush()
				time.Sleep(time.Second)
			}
			io.WriteString(w, "the end")
		}))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp, err := p.tr.RoundTrip(p.request("GET", "/", nil).WithContext(ctx))
		require.NoError(t, err)
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "the end", string(content))
		time.Sleep(time.Second)
		synctest.Wait()

		b := resp.Body.(*body)
		x := b.x.half.(*clientExchange)
		requireNew(t, b.x, x)
		p.tr.exchanges.pool = sync.Pool{New: func() any { return x }}
		var next sync.WaitGroup
		next.Go(func() {
			_, body := p.get("/next")
			require.Equal(t, "of the next onethe end", body)
		})
		for range 2 { // before the response has begun, and when a part of it is there
			time.Sleep(700 * time.Millisecond)
			x.mu.Lock()
			require.True(t, x.client != nil && x.turn == 1 && !x.over)
			b.closed = false
			x.mu.Unlock()
			var one [1]byte
			for _, known := range []error{io.EOF, nil} { // as a reader has seen it
				b.err = known
				n, err := b.Read(one[:])
				require.Equal(t, 0, n)
				if known == nil {
					known = gonet.ErrClosed
				}
				require.ErrorIs(t, err, known)
			}
			require.NoError(t, b.Close())
			_, err = b.Read(one[:])
			require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
			cancel()
		}
		next.Wait()
		require.Equal(t, "/", resp.Request.URL.Path)
		require.Equal(t, 200, resp.StatusCode)
	})
}
