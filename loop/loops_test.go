package loop_test

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// indexHandler answers each stream with the index of its loop. A stream that brings a 1 makes its
// loop wait.
type indexHandler struct {
	l        *loop.Loop
	stuck    chan<- struct{}
	released <-chan struct{}
}

func (h *indexHandler) HandleEvent(now time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable && ev.Kind != conn.EventStreamOpened {
		return
	}
	b, _ := ev.Stream.Peek(1)
	if len(b) == 0 {
		return
	}
	if b[0] == 1 {
		h.stuck <- struct{}{}
		<-h.released
	}
	ev.Stream.Discard(len(b))
	ev.Stream.Write([]byte{byte(h.l.Index())})
	ev.Stream.CloseWrite()
}

func (h *indexHandler) Flush(time.Time, *conn.Conn) {}

// ask sends b on a new stream of c, and returns the index of the loop that has answered.
func ask(ctx context.Context, c *loop.Conn, b byte) (int, error) {
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	p := []byte{b}
	if _, err = s.Write(p); err == nil {
		err = s.CloseWrite()
	}
	if err == nil {
		_, err = io.ReadFull(s, p)
	}
	return int(p[0]), err
}

// dialFrom makes conns connections from each of so many sockets.
func dialFrom(t testing.TB, sockets, conns int, to string) []*loop.Conn {
	t.Helper()
	cfg := conntest.ClientConfig()
	cfg.MaxIdleTimeout = time.Hour
	all := make([]*loop.Conn, sockets*conns)
	var wg sync.WaitGroup
	for i := range sockets {
		s, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := loop.New(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Close() })
		wg.Go(func() {
			for j := range conns {
				c, err := g.Dial(context.Background(), to, cfg)
				if err != nil {
					t.Error(err)
					return
				}
				all[i*conns+j] = c
			}
		})
	}
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
	return all
}

// TestBusyLoopDelaysNoOther: a handler blocks one of eight loops. The connections of the others go
// on meanwhile, and those of this loop go on afterwards.
func TestBusyLoopDelaysNoOther(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("one socket gets all datagrams here")
	}
	noLeaks(t)
	stuck, released := make(chan struct{}), make(chan struct{})
	cfg := serverConfig(nil)
	cfg.NewHandler = func(l *loop.Loop, _ *conn.Conn) loop.Handler {
		return &indexHandler{l: l, stuck: stuck, released: released}
	}
	g, err := loop.Listen("udp4", "127.0.0.1:0", 8, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	release := sync.OnceFunc(func() { close(released) })
	defer release()

	conns := dialFrom(t, 4, 8, g.LocalAddr().String())
	where := make([]int, len(conns))
	for i, c := range conns {
		if where[i], err = ask(within(t), c, 0); err != nil {
			t.Fatal(err)
		}
	}
	var late sync.WaitGroup
	late.Go(func() {
		if _, err := ask(within(t), conns[0], 1); err != nil {
			t.Error(err)
		}
	})
	<-stuck
	others := 0
	for range 20 {
		for i, c := range conns {
			if where[i] == where[0] {
				continue
			}
			if _, err := ask(within(t), c, 0); err != nil {
				t.Fatal(err)
			}
			others++
		}
	}
	if others == 0 {
		t.Error("all connections are on one loop")
	}
	for i, c := range conns[1:] {
		if where[1+i] == where[0] {
			late.Go(func() {
				if _, err := ask(within(t), c, 0); err != nil {
					t.Error(err)
				}
			})
		}
	}
	release()
	late.Wait()
}

// BenchmarkLoops makes requests on 1,024 connections at once, each with one at a time, to eight
// loops. It reports the least and the most connections, requests and p99 of a loop, and how many
// datagrams were handed over for a request. Where the kernel chooses by connection ID or by
// address, 64 sockets with 16 connections each ask; and a single one, whose datagrams the kernel
// gives to one loop if it chooses by address.
func BenchmarkLoops(b *testing.B) {
	newHandler := func(l *loop.Loop, _ *conn.Conn) loop.Handler { return &indexHandler{l: l} }
	for _, bc := range []struct {
		name           string
		steered        bool
		sockets, conns int
	}{
		{"ByConnID", true, 64, 16}, {"ByAddress", false, 64, 16},
		{"ByConnIDOneSocket", true, 1, 1024}, {"ByAddressOneSocket", false, 1, 1024},
	} {
		b.Run(bc.name, func(b *testing.B) {
			cfg := serverConfig(func(c *conn.Config) { c.MaxIdleTimeout = time.Hour })
			cfg.NewHandler = newHandler
			var g *loop.Group
			if bc.steered {
				var err error
				if g, err = loop.Listen("udp4", "127.0.0.1:0", 8, cfg); err != nil {
					b.Fatal(err)
				}
				defer g.Close()
			} else {
				g = unsteered(b, cfg, 8)
			}
			measureLoops(b, g, dialFrom(b, bc.sockets, bc.conns, g.LocalAddr().String()))
		})
	}
}

// A tally is what the connections of one loop have done.
type tally struct {
	conns int
	times []time.Duration
}

func measureLoops(b *testing.B, g *loop.Group, conns []*loop.Conn) {
	tallies := make([]tally, len(g.Loops()))
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(b.N))
	before := g.Stats()
	b.ResetTimer()
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			var times []time.Duration
			where := -1
			for left.Add(-1) >= 0 {
				start := time.Now()
				i, err := ask(context.Background(), c, 0)
				if err != nil {
					b.Error(err)
					return
				}
				where = i
				times = append(times, time.Since(start))
			}
			if where < 0 {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tallies[where].conns++
			tallies[where].times = append(tallies[where].times, times...)
		})
	}
	all.Wait()
	b.StopTimer()
	after := g.Stats()
	b.ReportMetric(float64(after.HandedOver-before.HandedOver)/float64(b.N), "handed/op")
	report := func(unit string, of func(*tally) float64) {
		var v []float64
		for i := range tallies {
			v = append(v, of(&tallies[i]))
		}
		b.ReportMetric(slices.Min(v), "least-"+unit)
		b.ReportMetric(slices.Max(v), "most-"+unit)
	}
	report("conns", func(y *tally) float64 { return float64(y.conns) })
	report("requests", func(y *tally) float64 { return float64(len(y.times)) })
	report("p99-ms", func(y *tally) float64 {
		if len(y.times) == 0 {
			return 0
		}
		slices.Sort(y.times)
		return y.times[len(y.times)*99/100].Seconds() * 1e3
	})
}
