package congestion

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestHyStartBeforeLoss finds slow start over before a deep queue overflows,
// which plain slow start fills.
func TestHyStartBeforeLoss(t *testing.T) {
	for _, tc := range []struct {
		rate     float64
		rtt      time.Duration
		ackEvery int
	}{
		{10, 40 * time.Millisecond, 2},
		{100, 20 * time.Millisecond, 2},
		{100, 100 * time.Millisecond, 2},
		{100, 40 * time.Millisecond, 100},
	} {
		drops := map[string]int{}
		for _, c := range lossControllers {
			s := newSimulation(newTestLink(tc.rate, tc.rtt, 14), 1)
			f := s.add(0, c.make)
			f.ackEvery = tc.ackEvery
			for s.now < 100*tc.rtt && f.c.(interface{ SlowStartThreshold() uint64 }).SlowStartThreshold() == noThreshold {
				s.run(s.now + tc.rtt/4)
			}
			drops[c.name] = s.link.drops
			if w := f.c.Window(); c.name == "Cubic" && w < bdp(s.link.rate, tc.rtt, 1) {
				t.Errorf("%v: slow start ended with a window of %d", tc, w)
			}
		}
		if drops["Cubic"] > 0 || drops["NewReno"] == 0 {
			t.Errorf("%v: overflows in slow start: %v", tc, drops)
		}
	}
}

// TestHyStartJitter keeps slow start going while the round trip time varies by
// less than the threshold.
func TestHyStartJitter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	s := newScript(NewCubic)
	for range 12 {
		w := s.Window()
		s.round(10*time.Millisecond+time.Duration(rng.IntN(4000))*time.Microsecond, 16)
		wantWindow(t, s, 2*w)
	}
}

// TestHyStartPhases walks through conservative slow start: in, out again, in, and
// to its end (RFC 9406, Section 4.2).
func TestHyStartPhases(t *testing.T) {
	s := newScript(NewCubic)
	c := s.Controller.(*cubic)
	growth := func(rtt time.Duration) float64 {
		w := s.Window()
		s.round(rtt, 8)
		return float64(s.Window())/float64(w) - 1
	}
	for range 3 {
		growth(40 * time.Millisecond)
	}
	growth(45 * time.Millisecond) // rises by an eighth: the eighth sample shows it
	if !c.hystart.conservative {
		t.Fatal("a higher round trip time did not begin conservative slow start")
	}
	if g := growth(45 * time.Millisecond); g < 0.24 || g > 0.26 {
		t.Errorf("conservative slow start grew by %.2f", g)
	}
	growth(44 * time.Millisecond)
	if c.hystart.conservative {
		t.Fatal("a lower round trip time did not resume slow start")
	}
	if g := growth(44 * time.Millisecond); g < 0.99 {
		t.Errorf("slow start grew by %.2f", g)
	}
	growth(60 * time.Millisecond)
	rounds := 1 // the partial round counts
	for c.slowStart() {
		growth(60 * time.Millisecond)
		if rounds++; rounds > 10 {
			t.Fatal("conservative slow start does not end")
		}
	}
	if rounds != hystartRounds+1 { // the sixth begins with the exit
		t.Errorf("conservative slow start ended after %d rounds", rounds)
	}
}

// TestHyStartFewSamples acts upon a round with few samples only if these stand for
// many packets.
func TestHyStartFewSamples(t *testing.T) {
	for _, tc := range []struct {
		acked uint64 // by each of four ACKs a round
		want  bool
	}{{simMTU, false}, {5 * simMTU, true}} {
		var h hystart
		var delivered uint64
		for round := range 3 {
			prior := delivered
			for range 4 {
				delivered += tc.acked
				h.onAck(&Ack{
					Bytes: tc.acked, PriorDelivered: prior, Delivered: delivered,
					LatestRTT: time.Duration(round+1) * 50 * time.Millisecond,
				}, simMTU)
			}
		}
		if h.conservative != tc.want {
			t.Errorf("ACKs of %d bytes: conservative slow start: %v", tc.acked, h.conservative)
		}
	}
}
