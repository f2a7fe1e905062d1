package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// edgeSoakEnv is for how long TestEdge makes traffic, and pageEnv the directory that its report
// goes to.
const (
	edgeSoakEnv = "LAZO_SOAK_EDGE"
	pageEnv     = "LAZO_SOAK_PAGE"
)

// visitorKinds are the kinds of clients, and how many there are of each. Of 40 that speak HTTP/3
// two are hostile. Ten more ask for the same over TCP.
func visitorKinds() []*visitorKind {
	return []*visitorKind{
		{name: "requests", visit: visitRequests, clients: 10},
		{name: "the same over TCP", visit: visitOverTCP, clients: 10},
		{name: "requests, HTTP/3 to the backend", visit: visitBehind, clients: 4},
		{name: "downloads", visit: visitDownloads, clients: 4},
		{name: "uploads", visit: visitUploads, clients: 4},
		{name: "datagrams", visit: visitDatagrams, clients: 4},
		{name: "WebTransport", visit: visitSessions, clients: 4},
		{name: "connections", visit: visitBriefly, clients: 4},
		{name: "migrations", visit: visitMoving, clients: 4},
		{name: "hostile acts", visit: visitHostile, clients: 2},
	}
}

type visitorKind struct {
	name    string
	visit   visitor
	clients int
	done    atomic.Int64

	mu   sync.Mutex
	took durations // since the last sample
}

func (k *visitorKind) note(took time.Duration) {
	k.done.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.took = append(k.took, took)
}

// take returns the durations since it was called before, sorted.
func (k *visitorKind) take() durations {
	k.mu.Lock()
	defer k.mu.Unlock()
	took := k.took
	k.took = nil
	slices.Sort(took)
	return took
}

// TestEdge has clients of all kinds, some of them hostile, ask an edge in front of real backends.
// Nothing that an honest client does fails. Afterwards the edge holds no more than before.
func TestEdge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	lasts := 5 * time.Second
	if v := os.Getenv(edgeSoakEnv); v != "" {
		var err error
		lasts, err = time.ParseDuration(v)
		require.NoError(t, err, edgeSoakEnv)
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %v", seed, lasts)
	d := deploy(t)
	if lasts > time.Minute {
		visit(t, d, seed, time.Minute, nil) // what stays for good is there then
	}
	before, heapBefore := d.settled(t, holding{})
	r := &record{lasts: lasts}
	r.kinds = visit(t, d, seed+1, lasts, r)
	after, heapAfter := d.settled(t, before)
	r.before, r.after, r.growth = before, after, heapGrowth(t, heapBefore, heapAfter)
	t.Logf("before %+v, after %+v", r.before, r.after)
	for _, k := range r.kinds {
		t.Logf("%s: %d", k.name, k.done.Load())
	}
	t.Logf("the heap holds more:\n%s", r.growth)
	if dir := os.Getenv(pageEnv); dir != "" && !t.Failed() {
		require.NoError(t, r.write(dir))
	}
}

// visit has all clients for the time, and until there was some of each kind of traffic.
func visit(t *testing.T, d *deployment, seed uint64, lasts time.Duration, r *record) []*visitorKind {
	all := visitorKinds()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for i, k := range all {
		for c := range k.clients {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(c)))
				if err := k.visit(ctx, d, rng, k.note); err != nil {
					t.Errorf("%s: %v", k.name, err)
					cancel()
				}
			})
		}
	}
	if r != nil {
		wg.Go(func() { r.sample(ctx, t, d, all) })
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ctx.Err() == nil; <-tick.C {
		missing := slices.ContainsFunc(all, func(k *visitorKind) bool { return k.done.Load() == 0 })
		if time.Since(began) >= lasts && !missing {
			break
		}
	}
	cancel()
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// What pools and caches of the runtime and the standard library may come to, without growing with
// the length of a run.
const (
	heapSlack       = 16 << 20 // bytes
	goroutineSlack  = 8
	descriptorSlack = 8
)

// settled waits until the edge has no connection and no request. Then it must not hold more than
// before: zero allows anything. It returns the profile of the heap as well, without garbage.
func (d *deployment) settled(t *testing.T, before holding) (h holding, heap []byte) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		var err error
		h, err = d.holds()
		require.NoError(t, err)
		if h.connections == 0 && h.requests == 0 {
			h, heap, err = d.rest()
			require.NoError(t, err)
			if before == (holding{}) || h.goroutines <= before.goroutines+goroutineSlack &&
				h.descriptors <= before.descriptors+descriptorSlack && h.heap <= before.heap+heapSlack {
				return h, heap
			}
		}
		require.Less(t, time.Since(began), 5*time.Minute, "before %+v, and now this is left: %+v", before, h)
	}
}
