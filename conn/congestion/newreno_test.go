package congestion

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

type namedController struct {
	name string
	make func(Params) Controller
}

// controllers are the built-in ones.
var controllers = []namedController{{"NewReno", NewReno}, {"Cubic", NewCubic}, {"BBR", NewBBR}}

// lossControllers are the controllers whose window shrinks at losses.
var lossControllers = controllers[:2]

// A script drives a controller by hand: every packet has simMTU bytes, and the
// window is in use unless said otherwise.
type script struct {
	Controller
	now       time.Duration
	delivered uint64
}

func newScript(make func(Params) Controller) *script {
	return &script{Controller: make(Params{Now: simTime(0), MTU: simMTU})}
}

// Window returns the window to which recovery leads, once it is over.
func (s *script) Window() uint64 { return target(s.Controller) }

func target(c Controller) uint64 {
	switch c := c.(type) {
	case *newReno:
		return c.cwnd
	case *cubic:
		return c.cwnd
	}
	return c.Window()
}

func (s *script) pass(d time.Duration) { s.now += d }

// sent sends one packet that fills the window.
func (s *script) sent() *Sent {
	p := &Sent{Now: simTime(s.now), Bytes: simMTU, InFlight: s.Window()}
	s.OnSent(p)
	return p
}

// ackOf acknowledges p, n bytes in all, after the round trip time rtt.
func (s *script) ackOf(p *Sent, n uint64, rtt time.Duration) *Ack {
	a := &Ack{
		Now: simTime(s.now), Bytes: n, InFlight: s.Window() - min(n, s.Window()), Largest: p,
		LatestRTT: rtt, SmoothedRTT: rtt, MinRTT: rtt,
		PriorDelivered: s.delivered, Delivered: s.delivered + n,
	}
	s.delivered += n
	return a
}

// round sends a window in packets, lets rtt pass, and acknowledges it in so many
// ACKs, evenly over the last tenth of the round.
func (s *script) round(rtt time.Duration, acks int) {
	window, prior := s.Window(), s.delivered
	p := s.sent()
	s.pass(rtt * 9 / 10)
	for i := range acks {
		s.pass(rtt / 10 / time.Duration(acks))
		n := window*uint64(i+1)/uint64(acks) - window*uint64(i)/uint64(acks)
		a := s.ackOf(p, n, rtt)
		a.PriorDelivered = prior
		s.OnAck(a)
	}
}

// lose declares p and what makes up n bytes lost.
func (s *script) lose(p *Sent, n uint64) *Loss {
	l := &Loss{Now: simTime(s.now), Bytes: n, InFlight: s.Window(), Largest: p}
	s.OnLoss(l)
	return l
}

func wantWindow(t *testing.T, c Controller, want uint64) {
	t.Helper()
	if got := c.Window(); got != want {
		t.Fatalf("window %d, want %d", got, want)
	}
}

// RFC 9002, Section 7.2.
// RFC 9002, Section 7.2 [1].
func TestInitialWindow(t *testing.T) {
	for _, tc := range []struct {
		mtu  int
		want uint64
	}{{1200, 12_000}, {1452, 14_520}, {1472, 14_720}, {1500, 14_720}, {9000, 18_000}, {65_507, 131_014}} {
		for _, c := range controllers {
			wantWindow(t, c.make(Params{Now: simTime(0), MTU: tc.mtu}), tc.want)
		}
	}
}

// RFC 9002, Sections 7.3.1 and 7.3.3.
// RFC 9002, Section 7.3.3 [1].
func TestNewRenoGrowth(t *testing.T) {
	s := newScript(NewReno)
	for range 5 {
		w := s.Window()
		s.round(50*time.Millisecond, 7)
		wantWindow(t, s, 2*w)
	}
	s.lose(s.sent(), simMTU)
	for range 20 {
		w := s.Window()
		s.pass(1)
		s.round(50*time.Millisecond, 1)
		wantWindow(t, s, w+simMTU)
	}
}

// TestNewRenoCounts: bytes that were acknowledged beyond a window count for the next one.
func TestNewRenoCounts(t *testing.T) {
	s := newScript(NewReno)
	s.lose(s.sent(), simMTU)
	s.pass(1)
	w := s.Window()
	for _, want := range []uint64{0, simMTU, 2 * simMTU, 2 * simMTU} {
		s.OnAck(s.ackOf(s.sent(), w*3/4+simMTU/2, time.Millisecond))
		wantWindow(t, s, w+want)
	}
}

// TestHugeACK at most doubles a window.
func TestHugeACK(t *testing.T) {
	for _, c := range lossControllers {
		s := newScript(c.make)
		w := s.Window()
		s.OnAck(s.ackOf(s.sent(), 1<<50, time.Millisecond))
		wantWindow(t, s, 2*w)
	}
}

// TestPacedWindow: pacing leaves a part of a window unused. The window grows, unless more than half
// of it is unused.
// RFC 9002, Section 7.8 [2].
func TestPacedWindow(t *testing.T) {
	for _, c := range lossControllers {
		for _, part := range []uint64{40, 60} {
			s := newScript(c.make)
			for range 3 {
				s.round(50*time.Millisecond, 4)
			}
			s.lose(s.sent(), simMTU)
			s.pass(1)
			w := s.Window()
			for range 200 {
				p := &Sent{Now: simTime(s.now), Bytes: simMTU, InFlight: s.Window() * part / 100}
				s.pass(50 * time.Millisecond)
				a := s.ackOf(p, s.Window()*part/200, 50*time.Millisecond)
				a.InFlight = s.Window()*part/100 - a.Bytes
				s.OnAck(a)
			}
			if grew := s.Window() > w; grew != (part > 50) {
				t.Errorf("%s: window %d, was %d, with %d %% of it used", c.name, s.Window(), w, part)
			}
		}
	}
}

// RFC 9002, Section 7.3.2: one reduction a round trip, and no growth meanwhile.
// RFC 9002, Section 7.3.1 [1]; RFC 9002, Section 7.3.2 [1, 2].
func TestReductionOncePerRound(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			for range 4 {
				s.round(50*time.Millisecond, 4)
			}
			before := s.Window()
			var p [4]*Sent
			for i := range p {
				p[i] = s.sent()
				s.pass(time.Millisecond)
			}
			s.lose(p[0], simMTU)
			reduced := s.Window()
			if reduced >= before || reduced < before/2 {
				t.Fatalf("window %d of %d after a loss", reduced, before)
			}
			s.pass(time.Millisecond)
			s.lose(p[1], simMTU)
			a := s.ackOf(p[2], 3*simMTU, 50*time.Millisecond)
			a.CE = 1
			s.OnAck(a)
			s.OnAck(s.ackOf(p[3], reduced, 50*time.Millisecond))
			wantWindow(t, s, reduced)

			next := s.sent()
			s.pass(time.Millisecond)
			s.lose(next, simMTU)
			if s.Window() >= reduced {
				t.Fatalf("window %d after a second event, was %d", s.Window(), reduced)
			}
		})
	}
}

// RFC 9002, Section B.7.
// RFC 9002, Section 7.3.1 [1].
func TestCongestionExperienced(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			before := s.Window()
			p := s.sent()
			s.pass(time.Millisecond)
			a := s.ackOf(p, simMTU, time.Millisecond)
			a.CE = 3
			s.OnAck(a)
			reduced := s.Window()
			if reduced >= before {
				t.Fatal("a mark did not reduce the window")
			}
			l := s.lose(p, simMTU)
			s.OnSpurious(l)
			wantWindow(t, s, reduced) // the mark stands
		})
	}
}

// RFC 9002, Section 7.6.2.
// RFC 9002, Section 7.6.2 [4].
func TestPersistentCongestion(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			for range 3 {
				s.round(50*time.Millisecond, 4)
			}
			before := s.Window()
			p := s.sent()
			s.pass(time.Second)
			s.OnLoss(&Loss{Now: simTime(s.now), Bytes: before, Largest: p, Persistent: true})
			wantWindow(t, s, 2*simMTU)

			s.pass(1)
			for range 10 { // slow start as far as the threshold
				s.round(50*time.Millisecond, 2)
			}
			if w := s.Window(); w < before/2 || w > before {
				t.Errorf("window %d after recovery, was %d", w, before)
			}
		})
	}
}

// RFC 9002, Section 7.2 [4].
func TestMinimumWindow(t *testing.T) {
	for _, c := range lossControllers {
		s := newScript(c.make)
		for range 50 {
			p := s.sent()
			s.pass(time.Millisecond)
			s.lose(p, simMTU)
		}
		wantWindow(t, s, 2*simMTU)
	}
}

// TestSpurious undoes a reduction, but only when all of its loss was spurious.
func TestSpurious(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			for range 4 {
				s.round(50*time.Millisecond, 4)
			}
			before := s.Window()
			p := s.sent()
			s.pass(time.Millisecond)
			first := s.lose(p, 2*simMTU)
			second := s.lose(p, simMTU)
			reduced := s.Window()
			s.OnSpurious(first)
			wantWindow(t, s, reduced)
			s.OnSpurious(second)
			wantWindow(t, s, before)
			s.OnSpurious(second)
			wantWindow(t, s, before)

			s.pass(1)
			s.round(50*time.Millisecond, 4)
			wantWindow(t, s, 2*before) // still in slow start

			l := s.lose(s.sent(), simMTU)
			reduced = s.Window()
			s.pass(time.Millisecond)
			other := s.lose(s.sent(), simMTU) // a second event makes the first final
			twice := s.Window()
			s.OnSpurious(l)
			wantWindow(t, s, twice)
			s.OnSpurious(other)
			wantWindow(t, s, reduced)
		})
	}
}

// RFC 9002, Section 7.8.
// RFC 9002, Section 7.8 [1].
func TestApplicationLimited(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			s.round(50*time.Millisecond, 4)
			trickle := func() {
				w := s.Window()
				for range 100 {
					p := &Sent{Now: simTime(s.now), Bytes: simMTU, InFlight: simMTU, AppLimited: true}
					s.OnSent(p)
					s.pass(50 * time.Millisecond)
					a := s.ackOf(p, simMTU, 50*time.Millisecond)
					a.InFlight = 0
					s.OnAck(a)
				}
				wantWindow(t, s, w)
			}
			trickle()
			s.lose(s.sent(), simMTU)
			s.pass(1)
			trickle()
		})
	}
}

// RFC 9002, Section 7.2 [2, 3].
func TestMTUChange(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.make)
			s.OnMTU(1452)
			wantWindow(t, s, 14_520) // the initial window of the new size
			s.round(50*time.Millisecond, 1)
			w := s.Window()
			s.OnMTU(1200)
			wantWindow(t, s, w)
			for range 20 {
				p := s.sent()
				s.pass(1)
				s.lose(p, 1)
			}
			s.OnMTU(9000)
			wantWindow(t, s, 18_000)
			if thresh := s.Controller.(interface{ SlowStartThreshold() uint64 }).SlowStartThreshold(); thresh != 18_000 {
				t.Errorf("slow start threshold %d below the minimum window", thresh)
			}
		})
	}
}

// TestWindowBounds gives the controllers any values.
func TestWindowBounds(t *testing.T) {
	for _, c := range controllers {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			any := func() uint64 { return rng.Uint64() >> rng.IntN(64) }
			duration := func() time.Duration { return time.Duration(any()) }
			for range 100 {
				s := newScript(c.make)
				mtu := uint64(simMTU)
				for range 300 {
					s.pass(duration() >> 20)
					p := &Sent{Now: simTime(s.now - duration()), Bytes: any(), InFlight: any(), AppLimited: rng.IntN(2) == 0}
					switch rng.IntN(8) {
					case 0:
						s.OnLoss(&Loss{Now: simTime(s.now), Bytes: any(), InFlight: any(), Largest: p, Persistent: rng.IntN(4) == 0})
					case 1:
						s.OnSpurious(&Loss{Now: simTime(s.now), Bytes: any(), Largest: p})
					case 2:
						mtu = min(any(), 65_507) + 1
						s.OnMTU(int(mtu))
					case 3:
						s.OnSent(p)
					default:
						s.OnAck(&Ack{
							Now: simTime(s.now), Bytes: any(), InFlight: any(), CE: any() / 3 * 3 & 1, Largest: p,
							LatestRTT: duration(), SmoothedRTT: duration(), MinRTT: duration(),
							Delivered: any(), PriorDelivered: any(), DeliveryRate: any(),
						})
					}
					for _, w := range []uint64{s.Window(), s.Controller.Window()} {
						if w < 2*mtu || w > maxWindow {
							t.Fatalf("window %d with MTU %d", w, mtu)
						}
					}
				}
			}
		})
	}
}

// TestHugeWindow lets a window grow as long as it does.
func TestHugeWindow(t *testing.T) {
	for _, c := range lossControllers {
		s := newScript(c.make)
		for range 100 {
			s.round(time.Millisecond, 1)
		}
		wantWindow(t, s, maxWindow)
		s.lose(s.sent(), simMTU)
		s.pass(1)
		for range 100 {
			s.round(time.Hour, 1)
		}
		if w := s.Window(); w > maxWindow {
			t.Fatalf("%s: window %d", c.name, w)
		}
	}
}

func TestControllerAllocs(t *testing.T) {
	for _, c := range controllers {
		s := newScript(c.make)
		p := s.sent()
		a := s.ackOf(p, simMTU, 10*time.Millisecond)
		l := &Loss{Bytes: simMTU, Largest: p}
		if n := testing.AllocsPerRun(1000, func() {
			s.pass(time.Millisecond)
			a.Now, l.Now, p.Now = simTime(s.now), simTime(s.now), simTime(s.now-time.Millisecond)
			s.OnSent(p)
			s.OnAck(a)
			s.OnLoss(l)
			s.OnSpurious(l)
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// TestNewRenoLossRate compares the average window with that of the well-known
// model, sqrt(3/2p) packets.
func TestNewRenoLossRate(t *testing.T) {
	const period = 1000 // packets
	link := newTestLink(1000, 50*time.Millisecond, 1)
	link.lossEvery = period
	s := newSimulation(link, 1)
	f := s.add(0, NewReno)
	s.run(20 * time.Second)
	g := s.measure(100 * time.Second)[0]
	got := g * float64(bdp(link.rate, link.rtt, 1)) / simMTU
	want := math.Sqrt(1.5 * period)
	if got < 0.9*want || got > 1.1*want {
		logRun(t, f)
		t.Errorf("window %.1f packets on average, want about %.1f", got, want)
	}
}
