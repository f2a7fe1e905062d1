package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A lab runs flows over one link.
type lab struct {
	rate  float64 // bits per second
	rtt   time.Duration
	queue float64 // bandwidth-delay products
	loss  float64
	seed  uint64
	flows []controller
	trace *conntest.RateTrace // takes the place of rate, if not nil
	bytes int                 // that the queue takes, with trace
	size  int                 // bytes that the first flow sends; 0 for no end
	logs  logs
}

// A result is what a lab has measured.
type result struct {
	read    []float64 // bytes, of each flow
	ran     time.Duration
	took    time.Duration // until lab.size was read
	samples []sample      // of the first flow
	rtt     time.Duration
}

// A sample is the state of the sender at one time.
type sample struct {
	at           time.Duration
	window, rate float64 // bytes; bits per second read since the sample before
	rtt          time.Duration
}

const sampleEvery = 20 * time.Millisecond

// tb stands in for the test that a simulated network belongs to.
type tb struct {
	testing.TB
	cleanups []func()
}

func (t *tb) Helper()                   {}
func (t *tb) Name() string              { return "linklab" }
func (t *tb) Failed() bool              { return false }
func (t *tb) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *tb) Log(args ...any)           {}
func (t *tb) Logf(string, ...any)       {}
func (t *tb) Fatal(args ...any)         { log.Fatal(args...) }
func (t *tb) Fatalf(f string, a ...any) { log.Fatalf(f, a...) }
func (t *tb) Error(args ...any)         { log.Fatal(args...) }
func (t *tb) Errorf(f string, a ...any) { log.Fatalf(f, a...) }

// runAll runs each lab for at most d, as many at a time as there are CPUs. Labs share nothing, so
// their order does not matter.
func runAll(labs []lab, d time.Duration) []*result {
	results := make([]*result, len(labs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(labs)); i = next.Add(1) - 1 {
				results[i] = labs[i].run(d)
			}
		})
	}
	wg.Wait()
	return results
}

// run runs the flows for at most d.
func (l *lab) run(d time.Duration) *result {
	t := &tb{}
	defer func() {
		for _, f := range t.cleanups {
			f()
		}
	}()
	n := conntest.New(t, l.seed)
	rnd := rand.NewChaCha8([32]byte{byte(l.seed)})
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: l.logs.of(conntest.ServerConfig()), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	bdp := l.rate / 8 * l.rtt.Seconds()
	up := conntest.Link{Delay: l.rtt / 2, Rate: int64(l.rate), Queue: max(int(l.queue*bdp), 3000), Loss: l.loss}
	if l.trace != nil {
		up.Trace, up.Queue = l.trace, l.bytes
	}
	n.Connect(client, server, up, conntest.Link{Delay: l.rtt / 2})

	r := &result{read: make([]float64, len(l.flows)), rtt: l.rtt}
	conns := make([]*conn.Conn, len(l.flows))
	server.OnEvent = func(_ time.Time, ev conn.Event) { read(ev, r, conns) }
	client.OnEvent = l.write()
	start := n.Now()
	last := 0.0
	for n.Now().Sub(start) < d && (l.size == 0 || r.read[0] < float64(l.size)) {
		for i, cc := range l.flows {
			if conns[i] == nil && n.Now().Sub(start) >= time.Duration(i)*2*time.Second {
				conns[i] = l.dial(n, client, server, cc)
			}
		}
		n.RunFor(sampleEvery)
		st := conns[0].Stats()
		r.samples = append(r.samples, sample{
			at: n.Now().Sub(start), window: float64(st.CongestionWindow), rtt: st.LatestRTT,
			rate: (r.read[0] - last) * 8 / sampleEvery.Seconds(),
		})
		last = r.read[0]
	}
	r.ran, r.took = n.Now().Sub(start), n.Now().Sub(start)
	return r
}

func (l *lab) dial(n *conntest.Network, client, server *conntest.Node, cc controller) *conn.Conn {
	cfg := l.logs.of(conntest.ClientConfig())
	cfg.Congestion = cc.make
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// read counts what a server reads, by flow.
func read(ev conn.Event, r *result, conns []*conn.Conn) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	i := slices.IndexFunc(conns, func(c *conn.Conn) bool { return c != nil && c.ID() == ev.Conn.ID() })
	for {
		b, err := ev.Stream.Peek(1)
		r.read[max(i, 0)] += float64(len(b))
		ev.Stream.Discard(len(b))
		if err != nil {
			return
		}
	}
}

// write returns a handler that writes as much as a flow takes.
func (l *lab) write() func(time.Time, conn.Event) {
	left := map[*conn.Stream]int64{}
	buf := make([]byte, 64<<10)
	return func(_ time.Time, ev conn.Event) {
		s := ev.Stream
		switch ev.Kind {
		case conn.EventConnected:
			s, _ = ev.Conn.OpenStream(conn.Uni)
			if left[s] = int64(l.size); l.size == 0 {
				left[s] = 1 << 40
			}
		case conn.EventStreamWritable:
		case conn.EventClosed:
			log.Fatal(fmt.Errorf("a flow ended: %w", ev.Err))
		default:
			return
		}
		for left[s] > 0 {
			k, err := s.Write(buf[:min(left[s], int64(len(buf)))])
			left[s] -= int64(k)
			if err != nil {
				return
			}
		}
	}
}

// goodput returns the bits per second that flow i read.
func (r *result) goodput(i int) float64 { return r.read[i] * 8 / r.ran.Seconds() }

// delay returns what the queue added to the round trip on average.
func (r *result) delay() time.Duration {
	var sum time.Duration
	n := 0
	for _, s := range r.samples {
		if s.rtt > 0 {
			sum += max(s.rtt-r.rtt, 0)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return (sum / time.Duration(n)).Round(100 * time.Microsecond)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
