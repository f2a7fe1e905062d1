package h3http

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestFlushSendsWhatGoroutinesWrote: before it sends, the loop lets goroutines run and then calls
// Flush. A request that came from one of them is on its stream after that. It does not wait for the
// function that was posted for it, which runs in a later turn and finds nothing to do.
func TestFlushSendsWhatGoroutinesWrote(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		p.get("/")
		c, _, err := p.tr.get(t.Context(), target{origin: "10.0.0.1:443"}, false)
		require.NoError(t, err)
		x := &clientExchange{clientState: clientState{client: c, whole: true, fields: []h3.Field{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: "10.0.0.1"}, {Name: ":path", Value: "/"},
		}}}
		x.init(&c.connection, x)
		opened := false
		require.NoError(t, c.handle.Do(t.Context(), func(now time.Time, q *conn.Conn) {
			require.True(t, c.wake(&x.exchange))
			c.Flush(now, q)
			opened = x.opened
		}))
		require.True(t, opened)
		head, _, err := x.nextHead()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, statusOf(head))
		x.finish()
	})
}

// TestRequestsWithinTurns: requests and answers of many goroutines are sent in the turns that let
// these run. If the loop forgot one of them, it would wait until the connection ends.
func TestRequestsWithinTurns(t *testing.T) {
	const width, requests = 64, 8
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(procs)
		simulate(t, conntest.Link{Delay: time.Millisecond, Rate: 100e6}, func(t *testing.T, n *looptest.Network) {
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
			var all sync.WaitGroup
			for i := range width {
				all.Go(func() {
					for j := range requests {
						want := strings.Repeat("x", i*j)
						_, got := p.do(p.request(http.MethodPost, "/", strings.NewReader(want)))
						require.Equal(t, want, got)
					}
				})
			}
			all.Wait()
		})
	}
}
