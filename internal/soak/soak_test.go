package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// briefly is how long the test runs unless LAZO_SOAK says otherwise.
const briefly = 2 * time.Second

func soakTime(t *testing.T) time.Duration {
	v := os.Getenv("LAZO_SOAK")
	if v == "" {
		return briefly
	}
	d, err := time.ParseDuration(v)
	require.NoError(t, err, "LAZO_SOAK")
	return d
}

// kinds are the kinds of traffic, and how many workers of each there are.
func kinds() []*kind {
	return []*kind{
		{name: "requests", work: requests, workers: 3},
		{name: "streams", work: streams, workers: 2},
		{name: "datagrams", work: datagrams, workers: 2},
		{name: "migrations", work: migrations, workers: 2},
		{name: "churn", work: churn, workers: 2},
		{name: "rebinds", work: rebinds, workers: 1},
	}
}

type kind struct {
	name    string
	work    worker
	workers int
	done    atomic.Int64
}

// TestSoak: everything arrives as it was sent, whatever the network does. Afterwards no connection,
// byte, goroutine or descriptor is left.
func TestSoak(t *testing.T) {
	d, seed := soakTime(t), rand.Uint64()
	t.Logf("seed %d, %v", seed, d)
	warmUp(t)
	before := measure(t)
	s := startServer(t, seed)
	all := kinds()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var wg sync.WaitGroup
	for i, k := range all {
		for w := range k.workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(w)))
				if err := k.work(ctx, s, rng, func() { k.done.Add(1) }); err != nil {
					t.Errorf("%s: %v", k.name, err)
					cancel()
				}
			})
		}
	}
	wg.Go(func() { report(ctx, t, s, all, d/20) })
	wg.Go(func() {
		defer cancel()
		lasts(ctx, d, all)
	})
	wg.Wait()
	for _, k := range all {
		t.Logf("%s: %d", k.name, k.done.Load())
	}
	if t.Failed() {
		return
	}
	settles(t, func() (any, bool) {
		st := s.g.Stats()
		return st, st.Conns == 0 && st.Buffered == 0
	})
	require.Zero(t, s.g.Stats().TransportErrors)
	s.stop(t)
	settles(t, func() (any, bool) {
		now := measure(t)
		return []measurement{before, now}, now.goroutines <= before.goroutines && now.descriptors <= before.descriptors
	})
	// What a run leaves in pools and caches does not grow with its length.
	require.Less(t, heap(), before.heap+16<<20)
}

// lasts returns after d, or when there was some of each kind of traffic if that takes longer.
func lasts(ctx context.Context, d time.Duration, all []*kind) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ctx.Err() == nil; <-tick.C {
		missing := slices.ContainsFunc(all, func(k *kind) bool { return k.done.Load() == 0 })
		if time.Since(began) >= d && !missing {
			return
		}
	}
}

// warmUp has the runtime open the descriptors that it keeps for its own use.
func warmUp(t *testing.T) {
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, sock.Close())
}

// settles waits until nothing is left. What it waits for happens without a sign: connections
// time out, goroutines end.
func settles(t *testing.T, nothingLeft func() (what any, ok bool)) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		what, ok := nothingLeft()
		if ok {
			return
		}
		require.Less(t, time.Since(began), 2*time.Minute, "this is left: %+v", what)
	}
}

// report logs now and then how a long run gets on.
func report(ctx context.Context, t *testing.T, s *server, all []*kind, every time.Duration) {
	if every < 5*time.Second {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			line := ""
			for _, k := range all {
				line += fmt.Sprintf(" %s %d", k.name, k.done.Load())
			}
			st := s.g.Stats()
			t.Logf("heap %d KiB, %+v,%s, %d connections, %d bytes", heap()>>10, measure(t), line, st.Conns, st.Buffered)
		}
	}
}

// A measurement is what may not grow.
type measurement struct {
	goroutines, descriptors int
	heap                    uint64
}

// measure counts descriptors where the system shows them.
func measure(t *testing.T) measurement {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil && !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return measurement{goroutines: runtime.NumGoroutine(), descriptors: len(fds), heap: heap()}
}

// heap returns how many bytes are in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
