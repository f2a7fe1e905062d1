package conn_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A bulk is a number of flows from a client to a server over one link. Each flow is a connection
// with one stream that never ends.
type bulk struct {
	rate  float64 // bits per second
	rtt   time.Duration
	queue float64 // bandwidth-delay products
	loss  float64
	seed  uint64
	flows []func(congestion.Params) congestion.Controller
	every time.Duration // between the starts of flows
	dense bool          // whether every other packet is acknowledged

	net    *simulation
	client *conntest.Node
	server *conntest.Node
	conns  []*conn.Conn
	read   []float64 // bytes, of each flow
}

// begin sets the network up.
func (b *bulk) begin(t *testing.T) {
	t.Helper()
	rnd := conntest.Seed(t, b.seed)
	b.net = simulate(t, b.seed)
	b.server = b.net.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	b.client = b.net.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	queue := max(int(b.queue*b.rate/8*b.rtt.Seconds()), 3000)
	b.net.Connect(b.client, b.server,
		conntest.Link{Delay: b.rtt / 2, Rate: int64(b.rate), Queue: queue, Loss: b.loss}, conntest.Link{Delay: b.rtt / 2})
	b.read = make([]float64, len(b.flows))
	b.server.OnEvent = b.consume
	b.client.OnEvent = produce
}

// run runs the flows until d has passed since the first began.
func (b *bulk) run(t *testing.T, d time.Duration) {
	t.Helper()
	b.begin(t)
	for i, cc := range b.flows {
		cfg := conntest.ClientConfig()
		cfg.Congestion, cfg.DisableAckFrequency = cc, b.dense
		c, err := b.client.Dial(b.net.Now(), conn.Target{Remote: b.server.Addr}, cfg)
		require.NoError(t, err)
		b.conns = append(b.conns, c)
		if i < len(b.flows)-1 {
			b.net.RunFor(b.every)
		}
	}
	b.net.RunFor(d - time.Duration(len(b.flows)-1)*b.every)
}

// consume reads what the server gets, and counts it.
func (b *bulk) consume(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	i := slices.IndexFunc(b.conns, func(c *conn.Conn) bool { return c.ID() == ev.Conn.ID() })
	for {
		p, err := ev.Stream.Peek(1)
		b.read[max(i, 0)] += float64(len(p))
		ev.Stream.Discard(len(p))
		if err != nil {
			return
		}
	}
}

// discard reads what comes.
func discard(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	for {
		b, err := ev.Stream.Peek(1)
		ev.Stream.Discard(len(b))
		if err != nil {
			return
		}
	}
}

// produce writes as much as streams take.
func produce(_ time.Time, ev conn.Event) {
	s := ev.Stream
	switch ev.Kind {
	case conn.EventConnected:
		s, _ = ev.Conn.OpenStream(conn.Uni)
	case conn.EventStreamWritable:
	default:
		return
	}
	for {
		if _, err := s.Write(nothing[:]); err != nil {
			return
		}
	}
}

var nothing [64 << 10]byte

// goodput returns the share of the link's rate at which flow i was read in the time d.
func (b *bulk) goodput(i int, d time.Duration) float64 { return b.read[i] * 8 / d.Seconds() / b.rate }

// BBR leaves little of a short queue unused, though its peer acknowledges dozens of
// packets at once.
func TestGoodputOfShortQueues(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		rtt   time.Duration
		queue float64
		want  float64
	}{
		{10e6, 10 * time.Millisecond, 1, 0.9},
		{10e6, 50 * time.Millisecond, 0.5, 0.9},
		{1e6, 50 * time.Millisecond, 1, 0.9},
	} {
		t.Run(fmt.Sprintf("%g Mbit/s, %v", c.rate/1e6, c.rtt), func(t *testing.T) {
			b := &bulk{rate: c.rate, rtt: c.rtt, queue: c.queue, seed: 1}
			b.flows = append(b.flows, congestion.NewBBR)
			b.run(t, 20*time.Second)
			require.Greater(t, b.goodput(0, 20*time.Second), c.want)
		})
	}
}

// A controller uses a link of 100 Mbit/s and 50 ms, with losses that say nothing of
// congestion or without (RFC 9438; draft-ietf-ccwg-bbr).
func TestGoodput(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes where AES is done in software")
	}
	for _, c := range []struct {
		name string
		cc   func(congestion.Params) congestion.Controller
		loss float64
		want float64
	}{
		{"CUBIC", congestion.NewCubic, 0, 0.9},
		{"BBR", congestion.NewBBR, 0, 0.9},
		{"BBR", congestion.NewBBR, 0.01, 0.85},
		{"BBR", congestion.NewBBR, 0.02, 0.75},
	} {
		t.Run(fmt.Sprintf("%s, %g %% loss", c.name, 100*c.loss), func(t *testing.T) {
			b := &bulk{rate: 100e6, rtt: 50 * time.Millisecond, queue: 1, loss: c.loss, seed: 1}
			b.flows = append(b.flows, c.cc)
			b.run(t, 20*time.Second)
			t.Logf("%.3f", b.goodput(0, 20*time.Second))
			require.Greater(t, b.goodput(0, 20*time.Second), c.want)
		})
	}
}

// With losses CUBIC takes the time that RFC 9438, Section 5.2, predicts for 2 MB, and
// BBR a third of it at most.
func TestShortTransferWithLoss(t *testing.T) {
	const size, seeds = 2_000_000, 7
	took := func(t *testing.T, cc func(congestion.Params) congestion.Controller, loss float64) float64 {
		var all []time.Duration
		for seed := range uint64(seeds) {
			link := conntest.Link{Delay: 25 * time.Millisecond, Rate: 100e6, Queue: 625_000, Loss: loss}
			sc := scenario{seed: seed, streams: 1, up: link, down: conntest.Link{Delay: 25 * time.Millisecond}, upload: size}
			sc.configure = func(cfg *conn.Config) { cfg.Congestion = cc }
			out := sc.run(t)
			require.NoError(t, out.timeout)
			all = append(all, out.elapsed)
		}
		slices.Sort(all)
		return all[seeds/2].Seconds()
	}
	for _, c := range []struct{ loss, want float64 }{{0.01, 4.2}, {0.02, 7}, {0.03, 9.1}} {
		t.Run(fmt.Sprintf("%g %%", 100*c.loss), func(t *testing.T) {
			cubic, bbr := took(t, congestion.NewCubic, c.loss), took(t, congestion.NewBBR, c.loss)
			require.InEpsilon(t, c.want, cubic, 0.4)
			require.Less(t, bbr, cubic/3)
			t.Logf("CUBIC %.1f s, BBR %.1f s", cubic, bbr)
		})
	}
}

// TestFairnessOfSparseACKs: two BBR flows share a short queue, whether the receiver acknowledges as
// the sender asks or every other packet. TestBBRFairnessOfSparseACKs in package congestion has the
// same links. With four acknowledgements in a round trip the first flow has 0.7 of the
// link with 100 ms and 0.8 with 200 ms.
func TestFairnessOfSparseACKs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes where AES is done in software")
	}
	for _, c := range []struct {
		rtt   time.Duration
		dense bool
		most  float64
	}{{100 * time.Millisecond, true, 0.65}, {100 * time.Millisecond, false, 0.6}, {200 * time.Millisecond, false, 0.7}} {
		const seeds = 3
		first := 0.0
		for seed := range uint64(seeds) {
			b := &bulk{rate: 20e6, rtt: c.rtt, queue: 0.5, seed: seed + 1, every: 2 * time.Second, dense: c.dense}
			b.flows = append(b.flows, congestion.NewBBR, congestion.NewBBR)
			b.run(t, time.Minute)
			first += b.read[0] / (b.read[0] + b.read[1]) / seeds
		}
		t.Logf("%+v: the first flow has %.3f", c, first)
		require.Greater(t, first, 0.5)
		require.Less(t, first, c.most)
	}
}

// Two flows of one controller, the second late, share a link within 70:30 in the
// first minute.
func TestShares(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes where AES is done in software")
	}
	for _, c := range []struct {
		name  string
		cc    func(congestion.Params) congestion.Controller
		rtt   time.Duration
		seeds uint64 // whose mean counts
	}{
		{"CUBIC", congestion.NewCubic, 50 * time.Millisecond, 2},
		{"BBR", congestion.NewBBR, 50 * time.Millisecond, 2},
		{"BBR", congestion.NewBBR, 100 * time.Millisecond, 3},
	} {
		t.Run(fmt.Sprintf("%s, %v", c.name, c.rtt), func(t *testing.T) {
			var first, second float64
			for seed := range c.seeds {
				b := &bulk{rate: 20e6, rtt: c.rtt, queue: 1, seed: seed + 1, every: 2 * time.Second}
				b.flows = append(b.flows, c.cc, c.cc)
				b.run(t, time.Minute)
				first += b.goodput(0, time.Minute) / float64(c.seeds)
				second += b.goodput(1, time.Minute) / float64(c.seeds)
			}
			t.Logf("%.2f and %.2f", first, second)
			require.Greater(t, second/(first+second), 0.3)
			require.Less(t, second/(first+second), 0.7)
			require.Greater(t, first+second, 0.9)
		})
	}
}
