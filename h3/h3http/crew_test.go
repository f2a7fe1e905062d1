package h3http

import (
	"io"
	gonet "net"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// soleCrew returns the crew of a Server with one Loop.
func soleCrew(t *testing.T, s *Server) *crew {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, 1, len(s.crews))
	for _, c := range s.crews {
		return c
	}
	return nil
}

// restingIn returns how many goroutines of c rest.
func restingIn(c *crew) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.resting)
}

// TestHandlersDoNotWaitForEachOther: each handler waits until all have begun. Of the goroutines
// that this takes only some rest afterwards, and none once the connection has ended, or simulate
// fails.
func TestHandlersDoNotWaitForEachOther(t *testing.T) {
	const n = 3 * maxResting
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		var begun sync.WaitGroup
		begun.Add(n)
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun.Done()
			begun.Wait()
			io.WriteString(w, "hello")
		}))
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				_, body := p.get("/")
				require.Equal(t, "hello", body)
			})
		}
		all.Wait()
		synctest.Wait()
		require.Equal(t, maxResting, restingIn(soleCrew(t, p.srv)))
	})
}

// TestHandlersShareGoroutine: a request that comes when no other is there needs no new goroutine.
func TestHandlersShareGoroutine(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "hello")
		}))
		for range 20 {
			_, body := p.get("/")
			require.Equal(t, "hello", body)
			synctest.Wait()
			c := soleCrew(t, p.srv)
			require.Equal(t, 1, restingIn(c))
			c.mu.Lock()
			first, last := c.first, c.last
			c.mu.Unlock()
			require.True(t, first == nil && last == nil, "a crew that rests keeps no request")
		}
	})
}

// TestHandlerEndsGoroutine: handlers that panic, or end their goroutine, take no other request with
// them, also if those wait already.
func TestHandlerEndsGoroutine(t *testing.T) {
	for name, leave := range map[string]func(){
		"Goexit": runtime.Goexit,
		"panic":  func() { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
				p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/leave" {
						leave()
					}
					io.WriteString(w, "hello")
				}))
				var all sync.WaitGroup
				for i := range 40 {
					all.Go(func() {
						if i%2 == 0 {
							_, err := p.c.Get(p.url + "/leave")
							require.Error(t, err)
						} else {
							_, body := p.get("/")
							require.Equal(t, "hello", body)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// TestExchangesServeAgain: requests at a time have an exchange each, and later requests get these
// again, as if they were new.
func TestExchangesServeAgain(t *testing.T) {
	t.Run("no timeouts", func(t *testing.T) { testExchangesServeAgain(t, 0) })
	t.Run("timeouts", func(t *testing.T) { testExchangesServeAgain(t, time.Minute) })
}

func testExchangesServeAgain(t *testing.T, timeout time.Duration) {
	const n = 20
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // all are there at once
			w.Header().Set("Path", r.URL.Path)
			io.WriteString(w, r.Header.Get("Number"))
			io.Copy(w, r.Body)
		}), func(p *pair) { p.srv.ReadTimeout, p.srv.WriteTimeout = timeout, timeout })
		for range 3 {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					number, content := strconv.Itoa(i), strings.Repeat("x", i%3*chunkSize)
					r := p.request("POST", "/"+number, strings.NewReader(content))
					r.Header.Set("Number", number)
					resp, body := p.do(r)
					require.Equal(t, "/"+number, resp.Header.Get("Path"))
					require.Equal(t, number+content, body)
				})
			}
			all.Wait()
			time.Sleep(time.Second) // for the last acknowledgements
			synctest.Wait()
			spare := soleCrew(t, p.srv).spare
			require.Equal(t, n, len(spare))
			for _, x := range spare {
				requireNew(t, &x.exchange, x)
			}
		}
	})
}

// requireNew requires that x differs from a new exchange by nothing but what outlives a request.
func requireNew[T any](t *testing.T, e *exchange, x *T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	require.NotEqual(t, uint64(0), e.turn)
	outlives := map[string]bool{"mu": true, "cond": true, "turn": true, "of": true, "half": true, "s": true}
	var check func(path string, v reflect.Value)
	check = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			switch at := path + "." + name; {
			case outlives[name]:
			case f.Kind() == reflect.Struct:
				check(at, f)
			default:
				require.True(t, f.IsZero(), "%s of an exchange for reuse", at)
			}
		}
	}
	check("x", reflect.ValueOf(x).Elem())
}

// TestExchangesServeOnce: an exchange that somebody waits in, that was taken over, or that has
// failed serves no other request.
func TestExchangesServeOnce(t *testing.T) {
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		spare  int
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, 1},
		"waiting": {func(w http.ResponseWriter, _ *http.Request) {
			x := w.(*response).x
			x.mu.Lock()
			defer x.mu.Unlock()
			x.sleepers++
		}, 0},
		"taken": {func(w http.ResponseWriter, _ *http.Request) {
			s, err := TakeStream(w)
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}, 0},
		"aborted": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
				p := newSimPair(t, net, c.handle)
				if resp, err := p.c.Get(p.url); err == nil {
					resp.Body.Close()
				}
				time.Sleep(time.Second) // for the last acknowledgements
				synctest.Wait()
				require.Len(t, soleCrew(t, p.srv).spare, c.spare)
			})
		})
	}
}

// TestLateHandlerGoroutine: a goroutine that outlives its handler goes on with the response after
// the stream was released, while the exchange waits for another request, and while it serves one.
// It had seen before that the response was not over yet. It gets errors, and nothing of it gets
// anywhere.
func TestLateHandlerGoroutine(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		writers, goOn := make(chan *response, 1), make(chan struct{})
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			writers <- w.(*response)
			switch r.URL.Path {
			case "/abort":
				w.WriteHeader(http.StatusOK)
				panic(http.ErrAbortHandler)
			case "/next":
				<-goOn
				io.WriteString(w, "of the next one")
			default:
				w.Header().Set("Secret", "of this response")
			}
		}))
		late := func(w *response) {
			t.Helper()
			w.handlerDone, w.wroteHeader, w.committed = false, false, false // as it has seen them
			for _, code := range []int{http.StatusEarlyHints, http.StatusOK} {
				w.WriteHeader(code)
			}
			n, err := io.WriteString(w, "content")
			require.ErrorIs(t, err, gonet.ErrClosed)
			require.Equal(t, 0, n)
			many, err := w.ReadFrom(strings.NewReader("content"))
			require.ErrorIs(t, err, gonet.ErrClosed)
			require.Equal(t, int64(0), many)
			w.committed = true
			_, _, err = w.writeChunk(&fifo.Chunk{Memory: make([]byte, blockSize)}, blockSize)
			require.ErrorIs(t, err, gonet.ErrClosed)
			require.ErrorIs(t, w.FlushError(), gonet.ErrClosed)
			require.NoError(t, w.SetReadDeadline(time.Now().Add(-time.Second)))
			require.NoError(t, w.SetWriteDeadline(time.Now().Add(-time.Second)))
			for _, take := range []func(http.ResponseWriter) (*Stream, error){TakeStream, TakeUnanswered} {
				_, err = take(w)
				require.Error(t, err)
			}
		}
		for _, path := range []string{"/", "/abort"} {
			if resp, err := p.c.Get(p.url + path); err == nil {
				resp.Body.Close()
			}
			time.Sleep(time.Second) // for the last acknowledgements
			synctest.Wait()
			w, c := <-writers, soleCrew(t, p.srv)
			require.Equal(t, path == "/", len(c.spare) == 1, "spare exchanges after %s", path)
			late(w)
			if path == "/" {
				require.True(t, w.x == c.spare[0])
				requireNew(t, &w.x.exchange, w.x)
			}
			var next sync.WaitGroup
			next.Go(func() {
				_, body := p.get("/next")
				require.Equal(t, "of the next one", body)
			})
			now := <-writers
			require.Equal(t, path == "/", w.x == now.x)
			late(w)
			goOn <- struct{}{}
			next.Wait()
			time.Sleep(time.Second)
			synctest.Wait()
			c.spare = nil
		}
	})
}
