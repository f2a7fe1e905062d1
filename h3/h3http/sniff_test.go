package h3http

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestGuessBesideReset: clients give up requests while the server guesses the type of the content.
// The memory of that content then goes to other bodies. The race detector sees it if the guess
// looks there too late.
func TestGuessBesideReset(t *testing.T) {
	page := bytes.Repeat([]byte("page "), 80)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(page)
	}))
	body := bytes.Repeat([]byte("body"), 4<<10)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 150 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					time.AfterFunc(time.Duration(rand.IntN(500))*time.Microsecond, cancel)
				}
				r, err := http.NewRequestWithContext(ctx, "POST", p.url+"/", bytes.NewReader(body))
				require.NoError(t, err)
				if resp, err := p.c.Do(r); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
