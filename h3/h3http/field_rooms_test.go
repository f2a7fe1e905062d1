package h3http

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestClientFieldRooms: requests at a time have memory for their fields each, and for those of
// their responses. Other requests get it again, cleared. What a response has of it stays.
func TestClientFieldRooms(t *testing.T) {
	const n = 20
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // all are there at once
			w.Header().Set("Path", r.URL.Path)
			io.WriteString(w, r.Header.Get("Number"))
		}))
		var responses [n]*http.Response
		for range 3 {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					number := strconv.Itoa(i)
					r := p.request("GET", "/"+number, nil)
					r.Header.Set("Number", number)
					resp, body := p.do(r)
					require.Equal(t, number, body)
					responses[i] = resp
				})
			}
			all.Wait()
			for i, resp := range responses {
				require.Equal(t, "/"+strconv.Itoa(i), resp.Header.Get("Path"))
				require.Equal(t, strconv.Itoa(i), resp.Request.Header.Get("Number"))
				require.True(t, ConnOf(resp.Request) != nil)
			}
		}
		for range 2 * n { // more than there are
			require.Equal(t, fieldRoom{}, *p.tr.rooms.get())
		}
	})
}
