package conn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestPacingQuantum(t *testing.T) {
	const mtu = 1200
	for _, tc := range []struct {
		rate           uint64
		quantum, burst uint64
	}{
		{0, mtu, 10 * mtu}, // no window has rate 0; it must not divide by it
		{43_600, mtu, 10 * mtu},
		{mbit(1), mtu, 10 * mtu},
		{mbit(10), 1250, 10 * mtu},
		{mbit(100), 12_500, 25_000},
		{mbit(1000), 64 << 10, 64<<10 + 125_000},
		{mbit(10_000), 64 << 10, 64<<10 + 1_250_000},
		{math.MaxUint64, 64 << 10, pacingMaxBurst},
	} {
		g := newPacing(tc.rate, mtu)
		if g.quantum != tc.quantum || g.burst != tc.burst {
			t.Errorf("rate %d: quantum %d, burst %d; want %d, %d", tc.rate, g.quantum, g.burst, tc.quantum, tc.burst)
		}
	}
}

// fixedController has a window and maybe a rate.
type fixedController struct {
	lossWindow
	rate uint64
}

func (f *fixedController) Window() uint64     { return f.cwnd }
func (f *fixedController) OnSent(*Sent)       {}
func (f *fixedController) OnAck(*Ack)         {}
func (f *fixedController) OnLoss(*Loss)       {}
func (f *fixedController) OnSpurious(*Loss)   {}
func (f *fixedController) OnMTU(int)          {}
func (f *fixedController) PacingRate() uint64 { return f.rate }

func TestPacingOf(t *testing.T) {
	c := &fixedController{lossWindow: lossWindow{mtu: 1200, cwnd: 100_000, ssthresh: noThreshold}}
	if g := pacingOf(c, 100*time.Millisecond, 1200); g.rate != 2_000_000 {
		t.Errorf("slow start: rate %d", g.rate)
	}
	c.ssthresh = c.cwnd
	if g := pacingOf(c, 100*time.Millisecond, 1200); g.rate != 1_250_000 {
		t.Errorf("congestion avoidance: rate %d", g.rate)
	}
	c.rate = 77_777
	if g := pacingOf(c, 100*time.Millisecond, 1200); g.rate != 77_777 {
		t.Errorf("own rate: rate %d", g.rate)
	}
	c.rate, c.cwnd = 0, maxWindow
	if g := pacingOf(c, 0, 1200); g.rate != pacingMaxRate {
		t.Errorf("no round trip time: rate %d", g.rate)
	}
}

// TestPacerRate sends whenever the pacer wakes, and finds the rate kept to the
// byte, with wake-ups no closer than a quantum.
func TestPacerRate(t *testing.T) {
	for _, rate := range []uint64{1, 999, 12_345, mbit(10) + 7, mbit(333) + 1, mbit(5000) + 3} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			const mtu = 1200
			g := newPacing(rate, mtu)
			var p pacer
			var now int64
			var bytes, wakes uint64
			end := int64(float64(2000*g.quantum) / float64(rate) * 1e9)
			for now < end {
				b := p.budget(now, g)
				if b < g.quantum {
					t.Fatalf("at %d: budget %d of quantum %d", now, b, g.quantum)
				}
				p.sent(now, int(b), g)
				bytes += b
				wakes++
				next := p.next(now, g)
				if next <= now {
					t.Fatalf("at %d: next is %d", now, next)
				}
				if b := p.budget(next-1, g); b >= g.quantum {
					t.Fatalf("quantum available before next")
				}
				now = next
			}
			want := float64(g.burst) + float64(rate)*float64(now)/1e9
			if math.Abs(float64(bytes)-want) > float64(g.quantum)+1 {
				t.Errorf("%d bytes in %d ns, want %.0f", bytes, now, want)
			}
			if most := bytes/g.quantum + 1; wakes > most {
				t.Errorf("%d wake-ups for %d quanta", wakes, most)
			}
		})
	}
}

func TestPacerIdle(t *testing.T) {
	g := newPacing(mbit(100), 1200)
	var p pacer
	if b := p.budget(0, g); b != g.burst {
		t.Fatalf("at first: budget %d, want %d", b, g.burst)
	}
	p.sent(0, int(g.burst), g)
	if b := p.budget(0, g); b != 0 {
		t.Fatalf("after a burst: budget %d", b)
	}
	for _, now := range []int64{int64(time.Hour), math.MaxInt64 / 2, math.MaxInt64} {
		if b := p.budget(now, g); b != g.burst {
			t.Errorf("after idling until %d: budget %d, want %d", now, b, g.burst)
		}
		p.sent(now, int(g.burst), g)
	}
	if next := p.next(math.MaxInt64, g); next != math.MaxInt64 {
		t.Errorf("at the end of time: next %d", next)
	}
}

func TestPacerDebt(t *testing.T) {
	g := newPacing(mbit(1), 1200)
	var p pacer
	for range 1000 {
		p.sent(5, math.MaxInt, g)
	}
	p.sent(5, -1, g)
	most := int64(float64(2*g.burst) / float64(g.rate) * 1e9)
	if next := p.next(5, g); next > 5+most {
		t.Errorf("debt keeps the pacer shut until %d, want at most %d", next, most)
	}
	if b := p.budget(0, g); b != 0 {
		t.Errorf("time went back and gave %d bytes", b)
	}
}

// TestPacerRateChange raises the rate after a slow packet, which must not wait
// for what the slow rate owed.
func TestPacerRateChange(t *testing.T) {
	slow, fast := newPacing(1, 1200), newPacing(mbit(80), 1200)
	var p pacer
	p.sent(0, 12_000, slow)
	if next := p.next(0, fast); next > int64(2*time.Millisecond) {
		t.Errorf("next after %v", time.Duration(next))
	}
}

func TestPacerUnpaced(t *testing.T) {
	var p pacer
	p.sent(1, 1<<30, pacing{})
	if b, next := p.budget(1, pacing{}), p.next(1, pacing{}); b != math.MaxUint64 || next != 1 {
		t.Errorf("without a rate: budget %d, next %d", b, next)
	}
}

// TestPacerBounds gives the pacer anything at all.
func TestPacerBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p pacer
		for range 200 {
			now := rng.Int64() >> rng.IntN(64)
			g := newPacing(rng.Uint64()>>rng.IntN(64), int(rng.Int64()>>rng.IntN(64)))
			p.sent(now, int(rng.Uint64()>>rng.IntN(64)), g)
			if p.level < 0 {
				t.Fatalf("level %d", p.level)
			}
			if b := p.budget(now, g); b > g.burst || b > 0 && b < g.quantum {
				t.Fatalf("budget %d of %+v", b, g)
			}
			if next := p.next(now, g); next < now {
				t.Fatalf("next %d before %d", next, now)
			}
		}
	}
}

func TestPacerAllocs(t *testing.T) {
	c := NewCubic(ControllerParams{MTU: 1200})
	var p pacer
	var now int64
	if n := testing.AllocsPerRun(100, func() {
		g := pacingOf(c, time.Millisecond, 1200)
		p.sent(now, int(p.budget(now, g)), g)
		now = p.next(now, g)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
