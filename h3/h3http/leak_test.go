package h3http

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestUnclosedEmptyBodies: a response without content needs no Close. Nothing of its request stays.
func TestUnclosedEmptyBodies(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.Gosched()
		w.WriteHeader(200)
	}))
	p.c.Timeout = 0 // its timers would keep requests
	var live atomic.Int64
	post := func(count bool) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				_ = cancel // nobody calls it
				if count {
					live.Add(1)
					runtime.SetFinalizer(ctx, func(context.Context) { live.Add(-1) })
				}
				r, err := http.NewRequestWithContext(ctx, "POST", p.url, strings.NewReader("Hello"))
				require.NoError(t, err)
				_, err = p.c.Do(r)
				require.NoError(t, err)
			})
		}
		wg.Wait()
	}
	post(true)
	for range 1000 {
		runtime.GC()
		if live.Load() == 0 {
			return
		}
		post(false) // takes the place of what the connection keeps for reuse
	}
	t.Fatalf("%d contexts of requests stay", live.Load())
}
