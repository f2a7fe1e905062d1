package congestion

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// onlyBBR starts one flow over link.
func onlyBBR(link simLink, seed uint64) (*simulation, *simFlow, *bbr) {
	s := newSimulation(link, seed)
	f := s.add(0, NewBBR)
	return s, f, f.c.(*bbr)
}

// until runs s until ok, at most for d.
func (s *simulation) until(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := s.now + d; !ok(); {
		if len(s.events) == 0 || s.events[0].at > end {
			t.Fatalf("at %v: no %s for %v", s.now, what, d)
		}
		s.run(s.events[0].at)
	}
}

// inState waits for a state of b.
func (s *simulation) inState(t *testing.T, b *bbr, state bbrState) {
	t.Helper()
	s.until(t, 20*time.Second, fmt.Sprint("state ", state), func() bool { return b.state == state })
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*want }

// TestBBRStartup finds the bandwidth by its plateau, drains the queue, and then
// cycles.
func TestBBRStartup(t *testing.T) {
	for _, tc := range []struct {
		rate float64
		rtt  time.Duration
	}{{1, 100 * time.Millisecond}, {20, 40 * time.Millisecond}, {500, 5 * time.Millisecond}} {
		s, f, b := onlyBBR(newTestLink(tc.rate, tc.rtt, 4), 1)
		s.inState(t, b, bbrDrain)
		if !b.fullBWReached || !near(float64(b.maxBW()), float64(s.link.rate), 0.02) {
			t.Errorf("%v: bandwidth %d of %d after Startup", tc, b.maxBW(), s.link.rate)
		}
		round := b.roundCount
		s.inState(t, b, bbrDown)
		if f.inFlight > b.inflight(100)+2*simMTU && b.roundCount <= round+bbrDrainRounds {
			t.Errorf("%v: %d in flight after Drain, the path holds %d", tc, f.inFlight, b.inflight(100))
		}
		for _, state := range []bbrState{bbrCruise, bbrRefill, bbrUp, bbrDown, bbrCruise} {
			s.inState(t, b, state)
		}
		if s.link.drops > 0 {
			t.Errorf("%v: %d packets overflowed a deep queue", tc, s.link.drops)
		}
	}
}

// TestBBRLink measures how much of links without random loss is used, and how
// long the queue is.
func TestBBRLink(t *testing.T) {
	for _, tc := range []struct {
		rate  float64
		rtt   time.Duration
		queue float64
		want  float64
	}{
		{1, 200 * time.Millisecond, 1, 0.93},
		{10, 40 * time.Millisecond, 1, 0.95},
		{50, 20 * time.Millisecond, 8, 0.95},
		{50, 40 * time.Millisecond, 0.1, 0.9},
		{200, 5 * time.Millisecond, 1, 0.95},
	} {
		s, f, _ := onlyBBR(newTestLink(tc.rate, tc.rtt, tc.queue), 1)
		s.run(3 * time.Second)
		var rtts, n time.Duration
		sent, lost := f.sentByte, f.lostBytes
		f.afterReceived = func(f *simFlow, a *Ack) {
			rtts += a.LatestRTT
			n++
		}
		if g := s.measure(12 * time.Second)[0]; g < tc.want {
			logRun(t, f)
			t.Errorf("%v: %.3f of the link used", tc, g)
		}
		if mean := rtts / n; mean > f.minRTT*3/2 {
			t.Errorf("%v: round trip time %v on average, %v at least", tc, mean, f.minRTT)
		}
		if lost := float64(f.lostBytes-lost) / float64(f.sentByte-sent); lost > 0.02 {
			t.Errorf("%v: %.3f lost", tc, lost)
		}
	}
}

// TestBBRRandomLoss: BBR uses most of a link in spite of random losses. CUBIC uses a tenth of it or
// less.
func TestBBRRandomLoss(t *testing.T) {
	for _, tc := range []struct {
		loss, want float64
	}{{0.01, 0.92}, {0.02, 0.91}, {0.05, 0.88}} {
		for _, p := range []struct {
			rate float64
			rtt  time.Duration
		}{{10, 40 * time.Millisecond}, {50, 20 * time.Millisecond}, {20, 100 * time.Millisecond}} {
			link := newTestLink(p.rate, p.rtt, 1)
			link.loss = tc.loss
			var sum float64
			const seeds = 3
			for seed := range uint64(seeds) {
				s, _, _ := onlyBBR(link, seed)
				s.run(3 * time.Second)
				sum += s.measure(23 * time.Second)[0]
			}
			t.Logf("%v, loss %.2f: %.3f of the link used", p, tc.loss, sum/seeds)
			if g := sum / seeds; g < tc.want {
				t.Errorf("%v, loss %.2f: %.3f of the link used", p, tc.loss, g)
			}
		}
	}
}

// TestBBRShallowQueue: where a queue is so short that the flows fill it all the time, they do not
// take their own losses for chance, which would let them lose more and more.
func TestBBRShallowQueue(t *testing.T) {
	for _, flows := range []int{1, 2, 4} {
		const seeds = 3
		var lost, sent, used float64
		for seed := range uint64(seeds) {
			link := newTestLink(20, 50*time.Millisecond, 0)
			link.queue = bdp(link.rate, link.rtt, 0.1)
			s := newSimulation(link, seed)
			for i := range flows {
				s.add(time.Duration(i)*2*time.Second, NewBBR)
			}
			for _, g := range s.measure(time.Minute) {
				used += g / seeds
			}
			for _, f := range s.flows {
				lost, sent = lost+float64(f.lostBytes), sent+float64(f.sentByte)
			}
		}
		t.Logf("%d flows: %.3f of the link used, %.3f lost", flows, used, lost/sent)
		if lost/sent > 0.05 || used < 0.7 {
			t.Errorf("%d flows: %.3f of the link used, %.3f lost", flows, used, lost/sent)
		}
	}
}

// TestBBRPolicer: a flow gets what a policer lets pass. It takes a part of what the policer drops
// for chance, but not so much that it sends more and more.
func TestBBRPolicer(t *testing.T) {
	for _, ms := range []int{10, 50, 200, 1000} {
		bucket := time.Duration(ms) * time.Millisecond
		const seeds = 2
		var lost, sent, used float64
		for seed := range uint64(seeds) {
			link := newTestLink(5, 50*time.Millisecond, 0)
			link.bucket = bucket.Seconds() * float64(link.rate)
			link.tokens = link.bucket
			s, f, _ := onlyBBR(link, seed)
			used += s.measure(time.Minute)[0] / seeds
			lost, sent = lost+float64(f.lostBytes), sent+float64(f.sentByte)
		}
		t.Logf("a bucket of %v: %.3f of the rate used, %.3f lost", bucket, used, lost/sent)
		if lost/sent > 0.2 || used < 0.7 {
			t.Errorf("a bucket of %v: %.3f of the rate used, %.3f lost", bucket, used, lost/sent)
		}
	}
}

// TestBBRFairness starts a second flow late and lets both share.
func TestBBRFairness(t *testing.T) {
	for _, p := range []struct {
		rate  float64
		rtt   time.Duration
		queue float64
	}{{10, 40 * time.Millisecond, 1}, {20, 20 * time.Millisecond, 0.3}, {20, 20 * time.Millisecond, 4}} {
		for seed := range uint64(2) {
			s := newSimulation(newTestLink(p.rate, p.rtt, p.queue), seed)
			s.add(0, NewBBR)
			s.add(3*time.Second, NewBBR)
			s.run(15 * time.Second)
			g := s.measure(55 * time.Second)
			if share := g[1] / (g[0] + g[1]); share < 0.3 || share > 0.7 {
				t.Errorf("%v, seed %d: the second flow has %.2f of the traffic", p, seed, share)
			}
			if g[0]+g[1] < 0.93 {
				t.Errorf("%v, seed %d: %.3f of the link used", p, seed, g[0]+g[1])
			}
		}
	}
}

// TestBBRFairnessFromStart measures the first minute on longer paths, where a flow has few round
// trips to gain on one that was there before: neither has more than 65 %.
func TestBBRFairnessFromStart(t *testing.T) {
	for _, p := range []struct {
		rate  float64
		rtt   time.Duration
		queue float64
	}{
		{20, 50 * time.Millisecond, 1}, {20, 100 * time.Millisecond, 0.5}, {20, 100 * time.Millisecond, 1},
		{20, 100 * time.Millisecond, 4}, {20, 200 * time.Millisecond, 1},
	} {
		for seed := range uint64(4) {
			s := newSimulation(newTestLink(p.rate, p.rtt, p.queue), seed)
			s.add(0, NewBBR)
			s.add(2*time.Second, NewBBR)
			g := s.measure(time.Minute)
			share := g[1] / (g[0] + g[1])
			t.Logf("%v, seed %d: the second flow has %.2f of the traffic", p, seed, share)
			if share < 0.35 || share > 0.65 {
				t.Errorf("%v, seed %d: the second flow has %.2f of the traffic", p, seed, share)
			}
			if g[0]+g[1] < 0.93 {
				t.Errorf("%v, seed %d: %.3f of the link used", p, seed, g[0]+g[1])
			}
		}
	}
}

// TestBBRFairnessOfSparseACKs: on a short queue the first flow keeps more where receivers
// acknowledge four times in a round trip than where they acknowledge every other packet, or as
// often as package conn asks for. TestFairnessOfSparseACKs in conn has the same links.
func TestBBRFairnessOfSparseACKs(t *testing.T) {
	for _, c := range []struct {
		rtt         time.Duration
		ackShare    int
		least, most float64
	}{
		{100 * time.Millisecond, 0, 0.5, 0.66}, {100 * time.Millisecond, 4, 0.62, 0.8}, {100 * time.Millisecond, 64, 0.5, 0.61},
		{200 * time.Millisecond, 64, 0.5, 0.66},
	} {
		const seeds = 4
		first := 0.0
		for seed := range uint64(seeds) {
			s := newSimulation(newTestLink(20, c.rtt, 0.5), seed)
			for i := range 2 {
				s.add(time.Duration(i)*2*time.Second, NewBBR).ackShare = c.ackShare
			}
			g := s.measure(time.Minute)
			first += g[0] / (g[0] + g[1]) / seeds
		}
		t.Logf("%+v: the first flow has %.3f", c, first)
		if first < c.least || first > c.most {
			t.Errorf("%+v: the first flow has %.3f", c, first)
		}
	}
}

// TestBBRNextToCubic lets neither starve.
func TestBBRNextToCubic(t *testing.T) {
	for _, queue := range []float64{1, 4} {
		s := newSimulation(newTestLink(20, 20*time.Millisecond, queue), 1)
		s.add(0, NewBBR)
		s.add(time.Second, NewCubic)
		s.run(15 * time.Second)
		g := s.measure(55 * time.Second)
		if share := g[1] / (g[0] + g[1]); share < 0.2 || share > 0.8 {
			t.Errorf("queue of %v: CUBIC has %.2f of the traffic", queue, share)
		}
	}
}

// TestBBRBandwidthChange follows a link whose rate changes by ten.
func TestBBRBandwidthChange(t *testing.T) {
	t.Run("up", func(t *testing.T) {
		s, f, b := onlyBBR(newTestLink(5, 40*time.Millisecond, 1), 1)
		s.run(5 * time.Second)
		s.link.rate *= 10
		s.link.queue *= 10
		s.run(15 * time.Second)
		if g := s.measure(20 * time.Second)[0]; g < 0.9 {
			logRun(t, f)
			t.Errorf("%.3f of the faster link used, bandwidth %d", g, b.maxBW())
		}
	})
	t.Run("down", func(t *testing.T) {
		s, f, b := onlyBBR(newTestLink(50, 40*time.Millisecond, 1), 1)
		s.run(5 * time.Second)
		s.link.rate /= 10
		s.run(15 * time.Second)
		if !near(float64(b.maxBW()), float64(s.link.rate), 0.05) {
			t.Errorf("bandwidth %d, the link has %d", b.maxBW(), s.link.rate)
		}
		lost := f.lostBytes
		if g := s.measure(20 * time.Second)[0]; g < 0.9 {
			t.Errorf("%.3f of the slower link used", g)
		}
		if rate := float64(f.lostBytes-lost) / 5 / float64(s.link.rate); rate > 0.02 {
			t.Errorf("%.3f lost", rate)
		}
	})
}

// TestBBRProbeRTT enters and leaves ProbeRTT every five seconds or so, which
// finds out that the path became longer.
func TestBBRProbeRTT(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(20, 40*time.Millisecond, 2), 1)
	var entered, left []time.Duration
	state, least := b.state, uint64(math.MaxUint64)
	f.afterReceived = func(f *simFlow, a *Ack) {
		if b.state == bbrProbeRTT {
			least = min(least, a.InFlight)
		}
		if state != b.state && b.state == bbrProbeRTT {
			entered = append(entered, s.now)
		}
		if state != b.state && state == bbrProbeRTT {
			left = append(left, s.now)
			if b.state != bbrCruise {
				t.Errorf("state %d after ProbeRTT", b.state)
			}
		}
		state = b.state
	}
	s.run(3 * time.Second)
	s.link.rtt = 70 * time.Millisecond
	s.run(20 * time.Second)
	if len(entered) < 2 || len(left) != len(entered) {
		t.Fatalf("entered at %v, left at %v", entered, left)
	}
	for i := range left {
		if d := left[i] - entered[i]; d < bbrProbeRTTDuration || d > bbrProbeRTTDuration+300*time.Millisecond {
			t.Errorf("ProbeRTT lasted %v", d)
		}
		if i > 0 && entered[i]-left[i-1] < bbrProbeRTTInterval {
			t.Errorf("ProbeRTT at %v and %v", entered[i-1], entered[i])
		}
	}
	if half := bdp(s.link.rate, 40*time.Millisecond, 0.5); least > half+4*simMTU {
		t.Errorf("at least %d in flight in ProbeRTT, want %d", least, half)
	}
	if b.minRTT < 70*time.Millisecond || b.minRTT > 75*time.Millisecond {
		t.Errorf("minimum round trip time %v", b.minRTT)
	}
}

// TestBBRProbeRTTInStartup goes back to Startup, for the pipe was never full.
func TestBBRProbeRTTInStartup(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(50, 40*time.Millisecond, 1), 1)
	f.appRate = mbit(2)
	s.inState(t, b, bbrProbeRTT)
	s.until(t, time.Second, "end of ProbeRTT", func() bool { return b.state != bbrProbeRTT })
	if b.state != bbrStartup || b.fullBWReached {
		t.Errorf("state %d", b.state)
	}
}

// TestBBRIdle does not enter ProbeRTT after a pause, which emptied the queue.
func TestBBRIdle(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(20, 40*time.Millisecond, 1), 1)
	s.run(3 * time.Second)
	bandwidth := b.maxBW()
	f.appRate = f.sentByte / 10 // the application has written enough for ten seconds
	s.run(9800 * time.Millisecond)
	if f.inFlight > 0 {
		t.Fatalf("%d in flight in the pause", f.inFlight)
	}
	f.afterReceived = func(f *simFlow, a *Ack) {
		if b.state == bbrProbeRTT {
			t.Fatalf("ProbeRTT at %v", s.now)
		}
	}
	f.appRate = 0
	s.at(s.now, f.send)
	from := f.delivered
	s.run(s.now + 2*time.Second)
	if g := f.goodput(from, 2*time.Second); g < 0.9 || b.maxBW() < bandwidth*98/100 {
		t.Errorf("%.3f of the link used, bandwidth %d, was %d", g, b.maxBW(), bandwidth)
	}
}

// TestBBRApplicationLimited neither leaves Startup nor believes the
// application's rate, until losses say otherwise.
func TestBBRApplicationLimited(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(50, 20*time.Millisecond, 1), 1)
	f.appRate = mbit(5)
	f.afterReceived = func(f *simFlow, a *Ack) {
		if b.state != bbrStartup {
			t.Fatalf("at %v: state %d", s.now, b.state)
		}
	}
	s.run(4 * time.Second)
	f.afterReceived = nil
	f.appRate, f.start, f.sentByte = mbit(45), s.now, 0
	s.link.loss = 0.2
	s.inState(t, b, bbrDrain)

	s, f, b = onlyBBR(newTestLink(50, 20*time.Millisecond, 1), 1)
	s.run(2 * time.Second)
	f.appRate, f.start, f.sentByte = mbit(5), s.now, 0
	s.run(14 * time.Second)
	if !near(float64(b.maxBW()), float64(s.link.rate), 0.03) {
		t.Errorf("bandwidth %d of %d while the application sends little", b.maxBW(), s.link.rate)
	}
}

// TestBBRAggregation makes up for ACKs that arrive in bursts.
func TestBBRAggregation(t *testing.T) {
	link := newTestLink(50, 20*time.Millisecond, 4)
	link.slot = 20 * time.Millisecond
	s, f, b := onlyBBR(link, 1)
	s.run(2 * time.Second)
	if extra := b.extraAcked(); extra < bdp(link.rate, link.slot, 0.5) {
		t.Errorf("%d extra acknowledged", extra)
	}
	if want := b.bdpMultiple(200) + b.extraAcked(); b.Window() < want*9/10 {
		t.Errorf("window %d, want %d", b.Window(), want)
	}
	if g := s.measure(10 * time.Second)[0]; g < 0.9 {
		logRun(t, f)
		t.Errorf("%.3f of the link used", g)
	}
}

// TestBBRTinyPath has a bandwidth-delay product of less than a packet.
func TestBBRTinyPath(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(0.2, 10*time.Millisecond, 1), 1)
	s.run(10 * time.Second)
	if g := s.measure(30 * time.Second)[0]; g < 0.9 {
		logRun(t, f)
		t.Errorf("%.3f of the link used", g)
	}
	if b.Window() < bbrMinPipePackets*simMTU || b.Window() > 20*simMTU {
		t.Errorf("window %d", b.Window())
	}
}

// TestBBRMarks answers ECN marks before the queue overflows.
func TestBBRMarks(t *testing.T) {
	lost := map[float64]int{}
	for _, ce := range []float64{0, 0.2} {
		link := newTestLink(20, 40*time.Millisecond, 0.7)
		link.ce = ce
		s, f, _ := onlyBBR(link, 1)
		s.run(3 * time.Second)
		drops := s.link.drops
		if g := s.measure(23 * time.Second)[0]; g < 0.85 {
			logRun(t, f)
			t.Errorf("marks at %.1f: %.3f of the link used", ce, g)
		}
		lost[ce] = s.link.drops - drops
	}
	if lost[0] == 0 || lost[0.2] > lost[0]/4 {
		t.Errorf("overflows by where marks begin: %v", lost)
	}
}

// TestBBRSpurious: a loss turns out to be none. Everything that it changed is restored.
func TestBBRSpurious(t *testing.T) {
	s, _, b := onlyBBR(newTestLink(20, 40*time.Millisecond, 4), 1)
	s.inState(t, b, bbrUp)
	s.until(t, time.Second, "feedback", func() bool { return b.ackPhase == bbrACKsProbeFeedback })
	if b.inflightLong != bbrUnbounded {
		t.Fatalf("bound of %d before any loss", b.inflightLong)
	}
	flow := s.flows[0]
	p := flow.packets[flow.oldest]
	l := &Loss{Now: simTime(s.now), Bytes: b.cwnd / 4, InFlight: flow.inFlight, Largest: &p.Sent}
	b.OnLoss(l)
	if b.state != bbrDown || b.inflightLong == bbrUnbounded {
		t.Fatalf("state %d, bound %d after a loss", b.state, b.inflightLong)
	}
	b.OnSpurious(&Loss{Now: l.Now, Bytes: l.Bytes / 2, Largest: &p.Sent})
	if b.state != bbrDown {
		t.Fatal("half of a loss undone undid it")
	}
	b.OnSpurious(&Loss{Now: l.Now, Bytes: l.Bytes - l.Bytes/2, Largest: &p.Sent})
	if b.state != bbrRefill || b.inflightLong != bbrUnbounded {
		t.Errorf("state %d, bound %d after the undo", b.state, b.inflightLong)
	}
}

// TestBBRSpuriousStartup goes back to Startup.
func TestBBRSpuriousStartup(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(50, 40*time.Millisecond, 4), 1)
	s.run(100 * time.Millisecond)
	s.link.loss = 0.1
	s.inState(t, b, bbrDrain)
	if !b.undo.left || b.undo.state != bbrStartup {
		t.Fatalf("Startup did not end by loss: %+v", b.undo)
	}
	b.OnSpurious(&Loss{Now: simTime(s.now), Bytes: b.recovery.missing, Largest: &f.packets[0].Sent})
	if b.state != bbrStartup || b.fullBWReached || b.inflightLong != bbrUnbounded {
		t.Errorf("state %d, bound %d after the undo", b.state, b.inflightLong)
	}
}

// TestBBRPersistentCongestion collapses the window and comes back (RFC 9002,
// Section 7.6.2).
func TestBBRPersistentCongestion(t *testing.T) {
	s, f, b := onlyBBR(newTestLink(20, 40*time.Millisecond, 1), 1)
	s.run(3 * time.Second)
	p := f.packets[f.oldest]
	b.OnLoss(&Loss{Now: simTime(s.now), Bytes: simMTU, Largest: &p.Sent, Persistent: true})
	wantWindow(t, b, 2*simMTU)
	s.run(6 * time.Second)
	if g := s.measure(8 * time.Second)[0]; g < 0.9 {
		t.Errorf("%.3f of the link used", g)
	}
}

// TestBBRRand repeats a run with the same random numbers, and without any.
func TestBBRRand(t *testing.T) {
	link := newTestLink(10, 40*time.Millisecond, 1)
	link.loss = 0.003
	run := func(seed uint64, make func(Params) Controller) uint64 {
		s := newSimulation(link, seed)
		f := s.add(0, make)
		s.run(20 * time.Second)
		return f.sentByte
	}
	regular := func(p Params) Controller {
		p.Rand = nil
		return NewBBR(p)
	}
	first, other, fixed := run(1, NewBBR), run(2, NewBBR), run(1, regular)
	if again := run(1, NewBBR); again != first {
		t.Errorf("%d bytes sent, then %d", first, again)
	}
	if again := run(1, regular); again != fixed {
		t.Errorf("%d bytes sent without random numbers, then %d", fixed, again)
	}
	if first == other {
		t.Error("random numbers make no difference")
	}
}
