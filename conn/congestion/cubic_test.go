package congestion

import (
	"math"
	"testing"
	"time"
)

// cubicAfterLoss returns a controller with the given window in packets, in
// congestion avoidance after a loss.
func cubicAfterLoss(packets uint64) *script {
	s := newScript(NewCubic)
	c := s.Controller.(*cubic)
	c.cwnd = packets * simMTU
	s.lose(s.sent(), simMTU)
	s.pass(1)
	return s
}

// TestCubicCurve compares the window with W(t) = C(t-K)^3 + Wmax, through the
// concave and the convex part (RFC 9438, Section 4.2).
func TestCubicCurve(t *testing.T) {
	const (
		wMax = 1000.0 // packets
		rtt  = 100 * time.Millisecond
	)
	s := cubicAfterLoss(wMax)
	wantWindow(t, s, wMax*0.7*simMTU)
	k := math.Cbrt(wMax * (1 - 0.7) / 0.4)
	begin := s.now
	for s.now < begin+time.Duration(1.5*k*1e9) {
		s.round(rtt, 10)
		at := (s.now - begin - rtt).Seconds() // the epoch begins with the first acknowledgment
		// The window runs after the curve a round trip ahead, and gets about half way.
		want := 0.4*math.Pow(at+rtt.Seconds()/2-k, 3) + wMax
		got := float64(s.Window()) / simMTU
		if at > 0.5 && math.Abs(got-want) > 0.003*want {
			t.Fatalf("after %.2f s (K %.2f s): window %.1f packets, want %.1f", at, k, got, want)
		}
	}
}

// TestCubicStep grows the window at most by half in a round trip, however long
// that is (RFC 9438, Section 4.2).
func TestCubicStep(t *testing.T) {
	s := cubicAfterLoss(1000)
	for range 5 {
		w := s.Window()
		s.round(30*time.Second, 1)
		if s.Window() > w+w/2 {
			t.Fatalf("window %d, was %d", s.Window(), w)
		}
	}
}

// TestCubicFractions grows by many small ACKs as by a few large ones.
func TestCubicFractions(t *testing.T) {
	many, few := cubicAfterLoss(100), cubicAfterLoss(100)
	for range 10 {
		many.round(100*time.Millisecond, 20_000)
		few.round(100*time.Millisecond, 20)
	}
	grown := func(s *script) float64 { return float64(s.Window()) - 70*simMTU }
	if m, f := grown(many), grown(few); math.Abs(m-f) > 0.05*f {
		t.Errorf("grew by %.0f with many ACKs, by %.0f with few", m, f)
	}
}

// RFC 9438, Section 4.3: on a short path the window grows as NewReno's would.
// RFC 9002, Section 7 [1].
func TestCubicRenoFriendly(t *testing.T) {
	s := cubicAfterLoss(100)
	for i := range 400 {
		s.round(time.Millisecond, 5)
		// Up to where the loss was by alpha, then by one packet a round trip.
		got := float64(s.Window()) / simMTU
		rounds := float64(i + 1)
		want := 70 + rounds*cubicAlpha
		if need := 30 / cubicAlpha; rounds > need {
			want = 100 + (rounds - need)
		}
		if math.Abs(got-want) > 0.03*want {
			t.Fatalf("after %d rounds: window %.1f packets, want %.1f", i+1, got, want)
		}
	}
}

// RFC 9438, Section 4.7.
func TestCubicFastConvergence(t *testing.T) {
	s := cubicAfterLoss(1000)
	c := s.Controller.(*cubic)
	w := float64(c.cwnd)
	s.lose(s.sent(), simMTU)
	if want := w * 1.7 / 2; math.Abs(c.wMax-want) > 1 {
		t.Errorf("wMax %.0f, want %.0f", c.wMax, want)
	}
	wantWindow(t, s, uint64(w*0.7))
}

// TestCubicIdle pauses, by silence and by a trickle, and finds the curve where it
// was (RFC 9438, Sections 4.2 and 5.8).
func TestCubicIdle(t *testing.T) {
	pauses := map[string]func(s *script){
		"silence": func(s *script) { s.pass(30 * time.Second) },
		"trickle": func(s *script) {
			for range 100 {
				p := &Sent{Now: simTime(s.now), Bytes: simMTU, InFlight: 2 * simMTU, AppLimited: true}
				s.OnSent(p)
				s.pass(300 * time.Millisecond)
				a := s.ackOf(p, simMTU, 100*time.Millisecond)
				a.InFlight = simMTU
				s.OnAck(a)
			}
		},
	}
	for name, pause := range pauses {
		t.Run(name, func(t *testing.T) {
			busy, paused := cubicAfterLoss(1000), cubicAfterLoss(1000)
			for i := range 60 {
				if i == 30 {
					pause(paused)
					first := &Sent{Now: simTime(paused.now), Bytes: simMTU, InFlight: simMTU}
					paused.OnSent(first)
				}
				busy.round(100*time.Millisecond, 4)
				paused.round(100*time.Millisecond, 4)
			}
			b, p := float64(busy.Window()), float64(paused.Window())
			if math.Abs(b-p) > 0.02*b {
				t.Errorf("window %.0f with a pause, %.0f without", p, b)
			}
		})
	}
}

// TestCubicUndo finds the curve as it was before a spurious loss.
func TestCubicUndo(t *testing.T) {
	s := cubicAfterLoss(1000)
	for range 30 {
		s.round(100*time.Millisecond, 4)
	}
	c := s.Controller.(*cubic)
	before := c.cubicState
	l := s.lose(s.sent(), simMTU)
	if c.cubicState == before {
		t.Fatal("a loss changed nothing")
	}
	s.pass(10 * time.Millisecond)
	l.Now = simTime(s.now)
	s.OnSpurious(l)
	before.fraction = c.fraction
	if c.cubicState != before {
		t.Errorf("after the undo: %+v\nbefore the loss: %+v", c.cubicState, before)
	}
}

// RFC 9438, Section 4.8: after persistent congestion the curve starts at its
// plateau.
func TestCubicAfterPersistentCongestion(t *testing.T) {
	s := cubicAfterLoss(1000)
	p := s.sent()
	s.pass(time.Second)
	s.OnLoss(&Loss{Now: simTime(s.now), Bytes: simMTU, Largest: p, Persistent: true})
	s.pass(1)
	c := s.Controller.(*cubic)
	for !c.inEpoch {
		s.round(100*time.Millisecond, 4)
	}
	if c.k != 0 || c.wMax != float64(c.ssthresh) {
		t.Errorf("K %v, wMax %.0f, threshold %d", c.k, c.wMax, c.ssthresh)
	}
}

// TestCubicLossRate compares the average window with RFC 9438, Section 5.1, which
// assumes that losses are evenly spaced.
func TestCubicLossRate(t *testing.T) {
	const period = 4000 // packets
	link := newTestLink(1000, 100*time.Millisecond, 1)
	link.lossEvery = period
	s := newSimulation(link, 1)
	f := s.add(0, NewCubic)
	s.run(20 * time.Second)
	g := s.measure(200 * time.Second)[0]
	got := g * float64(bdp(link.rate, link.rtt, 1)) / simMTU
	want := 1.054 * math.Pow(0.1*period, 0.75)
	if got < 0.9*want || got > 1.1*want {
		logRun(t, f)
		t.Errorf("window %.1f packets on average, want about %.1f", got, want)
	}
}

// TestCubicLink fills links of many kinds, with one reduction a round trip.
func TestCubicLink(t *testing.T) {
	for _, tc := range []struct {
		rate  float64
		rtt   time.Duration
		queue float64
		ce    float64
		want  float64
	}{
		{1, 200 * time.Millisecond, 1, 0, 0.95},
		{10, 40 * time.Millisecond, 1, 0, 0.98},
		{100, 20 * time.Millisecond, 4, 0, 0.98},
		{100, 20 * time.Millisecond, 4, 0.3, 0.95},
		{100, 40 * time.Millisecond, 0.1, 0, 0.8},
		{200, 5 * time.Millisecond, 1, 0, 0.98},
	} {
		link := newTestLink(tc.rate, tc.rtt, tc.queue)
		link.ce = tc.ce
		s := newSimulation(link, 1)
		f := s.add(0, NewCubic)
		last, at := target(f.c), time.Duration(-time.Hour)
		f.afterReceived = func(f *simFlow, a *Ack) {
			if w := target(f.c); w < last {
				if s.now-at < f.minRTT {
					t.Errorf("%v: window reduced at %v and %v", tc, at, s.now)
				}
				at = s.now
			}
			last = target(f.c)
		}
		s.run(2 * time.Second)
		if g := s.measure(8 * time.Second)[0]; g < tc.want {
			logRun(t, f)
			t.Errorf("%v: %.3f of the link used", tc, g)
		}
		if tc.ce > 0 && s.link.drops > 0 {
			t.Errorf("%v: %d packets lost in spite of marks", tc, s.link.drops)
		}
	}
}

// TestCubicFairness starts a second flow late and lets both share.
func TestCubicFairness(t *testing.T) {
	s := newSimulation(newTestLink(50, 20*time.Millisecond, 1), 1)
	s.add(0, NewCubic)
	s.add(3*time.Second, NewCubic)
	s.run(15 * time.Second)
	g := s.measure(45 * time.Second)
	if share := g[1] / (g[0] + g[1]); share < 0.3 || share > 0.7 {
		t.Errorf("the second flow has %.2f of the traffic", share)
	}
}
