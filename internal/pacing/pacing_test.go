package pacing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// mbit is a rate in bytes per second.
func mbit(n float64) uint64 { return uint64(n * 1e6 / 8) }

func TestQuantum(t *testing.T) {
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
		{math.MaxUint64, 64 << 10, maxBurst},
	} {
		g := New(tc.rate, mtu)
		if g.Quantum != tc.quantum || g.Burst != tc.burst {
			t.Errorf("rate %d: quantum %d, burst %d; want %d, %d", tc.rate, g.Quantum, g.Burst, tc.quantum, tc.burst)
		}
	}
}

// A source has a window, a slow start, and maybe a rate.
type source struct{ window, threshold, rate uint64 }

func (s *source) Window() uint64             { return s.window }
func (s *source) PacingRate() uint64         { return s.rate }
func (s *source) SlowStartThreshold() uint64 { return s.threshold }

func TestOf(t *testing.T) {
	s := &source{window: 100_000, threshold: math.MaxUint64}
	if g := Of(s, 100*time.Millisecond, 1200); g.Rate != 2_000_000 {
		t.Errorf("slow start: rate %d", g.Rate)
	}
	s.threshold = s.window
	if g := Of(s, 100*time.Millisecond, 1200); g.Rate != 1_250_000 {
		t.Errorf("congestion avoidance: rate %d", g.Rate)
	}
	if g := Of(struct{ Source }{s}, 100*time.Millisecond, 1200); g.Rate != 1_250_000 {
		t.Errorf("no slow start: rate %d", g.Rate)
	}
	s.rate = 77_777
	if g := Of(s, 100*time.Millisecond, 1200); g.Rate != 77_777 {
		t.Errorf("own rate: rate %d", g.Rate)
	}
	s.rate, s.window = 0, 1<<40
	if g := Of(s, 0, 1200); g.Rate != MaxRate {
		t.Errorf("no round trip time: rate %d", g.Rate)
	}
}

// TestPacerRate sends whenever the pacer wakes. The rate must be kept to the byte, and wake-ups
// must be a quantum apart at least.
// RFC 9002, Section 7.7 [1, 2].
func TestPacerRate(t *testing.T) {
	for _, rate := range []uint64{1, 999, 12_345, mbit(10) + 7, mbit(333) + 1, mbit(5000) + 3} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			const mtu = 1200
			g := New(rate, mtu)
			var p Pacer
			var now int64
			var bytes, wakes uint64
			end := int64(float64(2000*g.Quantum) / float64(rate) * 1e9)
			for now < end {
				b := p.Budget(now, g)
				if b < g.Quantum {
					t.Fatalf("at %d: budget %d of quantum %d", now, b, g.Quantum)
				}
				p.Sent(now, int(b), g)
				bytes += b
				wakes++
				next := p.Next(now, g)
				if next <= now {
					t.Fatalf("at %d: next is %d", now, next)
				}
				if b := p.Budget(next-1, g); b >= g.Quantum {
					t.Fatalf("quantum available before next")
				}
				now = next
			}
			want := float64(g.Burst) + float64(rate)*float64(now)/1e9
			if math.Abs(float64(bytes)-want) > float64(g.Quantum)+1 {
				t.Errorf("%d bytes in %d ns, want %.0f", bytes, now, want)
			}
			if most := bytes/g.Quantum + 1; wakes > most {
				t.Errorf("%d wake-ups for %d quanta", wakes, most)
			}
		})
	}
}

func TestPacerIdle(t *testing.T) {
	g := New(mbit(100), 1200)
	var p Pacer
	if b := p.Budget(0, g); b != g.Burst {
		t.Fatalf("at first: budget %d, want %d", b, g.Burst)
	}
	p.Sent(0, int(g.Burst), g)
	if b := p.Budget(0, g); b != 0 {
		t.Fatalf("after a burst: budget %d", b)
	}
	for _, now := range []int64{int64(time.Hour), math.MaxInt64 / 2, math.MaxInt64} {
		if b := p.Budget(now, g); b != g.Burst {
			t.Errorf("after idling until %d: budget %d, want %d", now, b, g.Burst)
		}
		p.Sent(now, int(g.Burst), g)
	}
	if next := p.Next(math.MaxInt64, g); next != math.MaxInt64 {
		t.Errorf("at the end of time: next %d", next)
	}
}

func TestPacerDebt(t *testing.T) {
	g := New(mbit(1), 1200)
	var p Pacer
	for range 1000 {
		p.Sent(5, math.MaxInt, g)
	}
	p.Sent(5, -1, g)
	most := int64(float64(2*g.Burst) / float64(g.Rate) * 1e9)
	if next := p.Next(5, g); next > 5+most {
		t.Errorf("debt keeps the pacer shut until %d, want at most %d", next, most)
	}
	if b := p.Budget(0, g); b != 0 {
		t.Errorf("time went back and gave %d bytes", b)
	}
}

// TestPacerRateChange raises the rate after a slow packet. The next packet must not wait for the
// debt of the slow rate.
func TestPacerRateChange(t *testing.T) {
	slow, fast := New(1, 1200), New(mbit(80), 1200)
	var p Pacer
	p.Sent(0, 12_000, slow)
	if next := p.Next(0, fast); next > int64(2*time.Millisecond) {
		t.Errorf("next after %v", time.Duration(next))
	}
}

func TestPacerUnpaced(t *testing.T) {
	var p Pacer
	p.Sent(1, 1<<30, Limits{})
	if b, next := p.Budget(1, Limits{}), p.Next(1, Limits{}); b != math.MaxUint64 || next != 1 {
		t.Errorf("without a rate: budget %d, next %d", b, next)
	}
}

// TestPacerBounds gives the pacer any values.
func TestPacerBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p Pacer
		for range 200 {
			now := rng.Int64() >> rng.IntN(64)
			g := New(rng.Uint64()>>rng.IntN(64), int(rng.Int64()>>rng.IntN(64)))
			p.Sent(now, int(rng.Uint64()>>rng.IntN(64)), g)
			if p.level < 0 {
				t.Fatalf("level %d", p.level)
			}
			if b := p.Budget(now, g); b > g.Burst || b > 0 && b < g.Quantum {
				t.Fatalf("budget %d of %+v", b, g)
			}
			if next := p.Next(now, g); next < now {
				t.Fatalf("next %d before %d", next, now)
			}
		}
	}
}

func TestPacerAllocs(t *testing.T) {
	c := &source{window: 12_000, threshold: 12_000}
	var p Pacer
	var now int64
	if n := testing.AllocsPerRun(100, func() {
		g := Of(c, time.Millisecond, 1200)
		p.Sent(now, int(p.Budget(now, g)), g)
		now = p.Next(now, g)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
