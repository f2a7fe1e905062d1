package h3http

import (
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
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

// TestFieldRooms: requests at a time have memory for their fields each, and other requests get it
// again, cleared.
func TestFieldRooms(t *testing.T) {
	const n = 20
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // all are there at once
			w.Header().Set("Path", r.URL.Path)
			io.WriteString(w, r.Header.Get("Number"))
		}))
		for range 3 {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					number := strconv.Itoa(i)
					r := p.request("GET", "/"+number, nil)
					r.Header.Set("Number", number)
					resp, body := p.do(r)
					require.Equal(t, "/"+number, resp.Header.Get("Path"))
					require.Equal(t, number, body)
				})
			}
			all.Wait()
			time.Sleep(time.Second) // for the last acknowledgements
			synctest.Wait()
			rooms := soleCrew(t, p.srv).rooms
			require.Equal(t, n, len(rooms))
			for _, room := range rooms {
				require.Equal(t, fieldRoom{}, *room)
			}
		}
	})
}

// TestLateHandlerGoroutine: a goroutine that outlives its handler goes on with the response after
// the stream was released. It had seen before that the response was not over yet. Nothing of it
// gets into the memory that other requests use by then.
func TestLateHandlerGoroutine(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		late := make(chan *response, 1)
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Secret", "of this response")
			late <- w.(*response)
			if r.URL.Path == "/abort" {
				w.WriteHeader(http.StatusOK)
				panic(http.ErrAbortHandler)
			}
		}))
		for _, path := range []string{"/", "/abort"} {
			if resp, err := p.c.Get(p.url + path); err == nil {
				resp.Body.Close()
			}
			time.Sleep(time.Second) // for the last acknowledgements
			synctest.Wait()
			w, c := <-late, soleCrew(t, p.srv)
			require.Equal(t, 1, len(c.rooms))
			w.fix(http.StatusOK)
			require.False(t, w.x.hold([]byte("content"), holdBuffer))
			w.commit()
			require.Equal(t, fieldRoom{}, *c.rooms[0])
			require.Equal(t, 0, w.x.held())
		}
	})
}
