package loop_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// TestManyRequests: goroutines ask, others answer, and both run in the middle of turns. If a
// wake-up were lost, a request would wait until another packet comes. The last one would wait until
// the connection ends.
func TestManyRequests(t *testing.T) {
	const width, requests = 64, 8
	for _, procs := range []int{1, 2, 4} {
		runProcs(t, procs, func() {
			seed := rand.Uint64()
			run(t, setup{link: near, seed: seed}, func(t *testing.T, w *world) {
				client, server := w.dial(nil)
				go serveRequests(server)
				var answered atomic.Int64
				var wg sync.WaitGroup
				start := time.Now()
				for i := range width {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(i)))
						for range requests {
							if !request(t, client, r) {
								return
							}
							answered.Add(1)
						}
					})
				}
				wg.Wait()
				if n := answered.Load(); n != width*requests {
					t.Errorf("%d of %d requests were answered, with %d processors and seed %d", n, width*requests, procs, seed)
				}
				t.Logf("%d processors: %d requests took %v", procs, width*requests, time.Since(start))
			})
		})
	}
}

// runProcs runs f with so many processors.
func runProcs(t *testing.T, n int, f func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	f()
}

// serveRequests answers each stream of c with what it has brought.
func serveRequests(c *loop.Conn) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			b, err := io.ReadAll(s)
			if err == nil {
				s.Write(b)
			}
		}()
	}
}

// request sends up to 3,000 bytes on a stream of its own, in up to three pieces, and reads the same
// bytes.
func request(t *testing.T, c *loop.Conn, r *rand.Rand) bool {
	s, err := c.OpenStream(context.Background(), conn.Bidi)
	if err != nil {
		t.Error(err)
		return false
	}
	defer s.Close()
	want := make([]byte, r.IntN(3000)>>r.IntN(12))
	for i := range want {
		want[i] = byte(r.Uint32())
	}
	for p := want; len(p) > 0; {
		n := 1 + r.IntN(len(p))
		if r.IntN(2) == 0 {
			n = len(p)
		}
		if _, err := s.Write(p[:n]); err != nil {
			t.Error(err)
			return false
		}
		p = p[n:]
	}
	if err := s.CloseWrite(); err != nil {
		t.Error(err)
		return false
	}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
		return false
	}
	return true
}

// TestTurnsSettleAccounts: before a turn sends, also in its middle, the Endpoint learns what others
// keep by then. Otherwise it would take data for which there is no room beside that, and the
// connection would end for it in the next turn.
func TestTurnsSettleAccounts(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		c, _ := w.dial(nil)
		time.Sleep(time.Second)
		l := c.Loop()
		l.Do(w.ctx(), func(time.Time) {
			before := l.Endpoint().Held()
			for _, n := range []int{1 << 20, -1 << 19, -1 << 19} {
				c.Account().Hold(n)
				if _, err := loop.SendEarly(l); err != nil {
					t.Error(err)
				}
				if got, want := l.Endpoint().Held()-before, c.Account().Held(); got != want {
					t.Errorf("the Endpoint knows of %d bytes, and %d are kept", got, want)
				}
			}
		})
		w.checkAccounts()
	})
}
