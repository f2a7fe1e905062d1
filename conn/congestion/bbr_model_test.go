package congestion

import (
	"testing"
	"time"
)

// newTestBBR returns a controller in ProbeBW that knows its path: 1 MB/s and
// 100 ms, so a bandwidth-delay product of 100,000 bytes.
func newTestBBR(state bbrState) *bbr {
	b := NewBBR(Params{Now: simTime(0), MTU: simMTU}).(*bbr)
	b.bwFilter[1] = 1_000_000
	b.bw = 1_000_000
	b.minRTT = 100 * time.Millisecond
	b.probeRTTMin = b.minRTT
	b.probeRTTStamp, b.minRTTStamp = simTime(0), simTime(0)
	b.cwnd = 200_000
	b.fullBWReached = true
	b.state = state
	b.delivered = 10_000_000
	b.roundDelivered = b.delivered
	b.roundCount = 100
	b.setPacingRate(100)
	return b
}

// ack acknowledges one packet at the time t, with the given delivery rate.
func (b *bbr) ack(t time.Duration, rate uint64, newRound bool) {
	b.delivered += simMTU
	prior := b.roundDelivered
	if !newRound {
		prior = b.roundDelivered - 1
	}
	p := &Sent{Now: simTime(t - 100*time.Millisecond), Bytes: simMTU, InFlight: 100_000}
	p.State[0] = b.lost
	b.OnAck(&Ack{
		Now: simTime(t), Bytes: simMTU, InFlight: 100_000, Largest: p,
		Delivered: b.delivered, PriorDelivered: prior, DeliveryRate: rate,
	})
}

// The table of Section 5.6.1.
func TestBBRGains(t *testing.T) {
	for _, tc := range []struct {
		state          bbrState
		pacing, window uint64
	}{
		{bbrStartup, 277, 200}, {bbrDrain, 50, 200}, {bbrDown, 90, 200}, {bbrCruise, 100, 200},
		{bbrRefill, 100, 200}, {bbrUp, 125, 225}, {bbrProbeRTT, 100, 50},
	} {
		b := newTestBBR(tc.state)
		if pacing, window := tc.state.gains(); pacing != tc.pacing || window != tc.window {
			t.Errorf("state %d: gains %d, %d", tc.state, pacing, window)
		}
		b.setPacingRate(tc.pacing)
		if want := 10_000 * tc.pacing * 99 / 100; b.PacingRate() != want {
			t.Errorf("state %d: pacing rate %d, want %d", tc.state, b.PacingRate(), want)
		}
		b.cwnd = 50_000
		b.setWindow(&bbrSample{acked: 1 << 30})
		want := 1000 * tc.window
		if tc.state == bbrUp {
			want += 2 * simMTU
		}
		wantWindow(t, b, want)
	}
}

// Section 5.6.2: the rate before the pipe was full only rises, and starts from the
// initial window and the first round trip time.
func TestBBRFirstPacingRate(t *testing.T) {
	b := NewBBR(Params{Now: simTime(0), MTU: simMTU}).(*bbr)
	if want := uint64(12_000 * 1000 * 277 / 100); b.PacingRate() != want {
		t.Errorf("before a round trip: %d, want %d", b.PacingRate(), want)
	}
	b.ack(100*time.Millisecond, 0, true)
	if want := uint64(12_000 * 10 * 277 / 100); b.PacingRate() != want {
		t.Errorf("after a round trip: %d, want %d", b.PacingRate(), want)
	}
	rate := b.PacingRate()
	b.ack(200*time.Millisecond, 10_000, true)
	if b.PacingRate() != rate {
		t.Errorf("fell to %d in Startup", b.PacingRate())
	}
	b.ack(300*time.Millisecond, 1_000_000, true)
	if want := uint64(1_000_000 * 277 * 99 / 10_000); b.PacingRate() != want {
		t.Errorf("in Startup: %d, want %d", b.PacingRate(), want)
	}
}

// Section 5.6.4.7.
func TestBBRWindowCap(t *testing.T) {
	for _, tc := range []struct {
		state       bbrState
		long, short uint64
		want        uint64
	}{
		{bbrStartup, 50_000, bbrUnbounded, bbrUnbounded},
		{bbrDrain, 50_000, bbrUnbounded, bbrUnbounded},
		{bbrDown, 50_000, bbrUnbounded, 50_000},
		{bbrCruise, 50_000, bbrUnbounded, 42_500},
		{bbrCruise, 50_000, 30_000, 30_000},
		{bbrCruise, bbrUnbounded, bbrUnbounded, bbrUnbounded},
		{bbrCruise, 6_000, bbrUnbounded, 4_800},
		{bbrRefill, 50_000, bbrUnbounded, 50_000},
		{bbrUp, 50_000, 60_000, 50_000},
		{bbrProbeRTT, 50_000, bbrUnbounded, 42_500},
		{bbrDown, 1, 1, 4_800},
	} {
		b := newTestBBR(tc.state)
		b.inflightLong, b.inflightShort = tc.long, tc.short
		if got := b.windowCap(); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// Section 5.5.4: a rate that the application limited counts only if it is higher.
func TestBBRMaxBandwidth(t *testing.T) {
	b := newTestBBR(bbrCruise)
	b.bwFilter = [2]uint64{1000, 500}
	b.updateMaxBW(&bbrSample{rate: 900, appLimited: true})
	if b.bwFilter != [2]uint64{1000, 500} {
		t.Errorf("a limited rate counted: %v", b.bwFilter)
	}
	b.updateMaxBW(&bbrSample{rate: 900})
	b.updateMaxBW(&bbrSample{rate: 800})
	if b.bwFilter != [2]uint64{1000, 900} {
		t.Errorf("filter %v", b.bwFilter)
	}
	b.advanceMaxBW()
	if b.maxBW() != 900 {
		t.Errorf("two cycles remember %d", b.maxBW())
	}
	b.updateMaxBW(&bbrSample{rate: 901, appLimited: true})
	if b.maxBW() != 901 {
		t.Errorf("a higher limited rate did not count")
	}
}

// TestBBRExtraAckedFilter remembers ten rounds, one in Startup (Section 5.5.9).
func TestBBRExtraAckedFilter(t *testing.T) {
	b := newTestBBR(bbrCruise)
	now := simTime(time.Second)
	b.updateExtraAcked(&bbrSample{now: now, acked: 50_000})
	for round := range uint64(12) {
		b.roundCount = 100 + round
		now = now.Add(200 * time.Millisecond) // twice as long as needed
		b.updateExtraAcked(&bbrSample{now: now, acked: 10})
		want := uint64(50_000)
		if round >= bbrExtraAckedRounds {
			want = 10
		}
		if got := b.extraAcked(); got != want {
			t.Fatalf("after %d rounds: %d, want %d", round, got, want)
		}
	}
	b.updateExtraAcked(&bbrSample{now: now, acked: 70_000})
	b.fullBWReached = false
	if got := b.extraAcked(); got != 70_010 {
		t.Errorf("in the round itself: %d", got)
	}
	b.roundCount++
	b.updateExtraAcked(&bbrSample{now: now.Add(time.Second), acked: 20})
	if got := b.extraAcked(); got != 20 {
		t.Errorf("a round later in Startup: %d", got)
	}
	b.roundCount += 1 << 40
	b.updateExtraAcked(&bbrSample{now: now.Add(time.Hour), acked: 30})
	b.fullBWReached = true
	if got := b.extraAcked(); got != 30 {
		t.Errorf("much later: %d", got)
	}
}

// Section 5.5.10.2.
func TestBBRInflightAtLoss(t *testing.T) {
	// 1,200 were lost of the 98,800 before the packet: within the threshold of 2 %,
	// which the packet's losses cross.
	before, lostBefore := 98_800.0, 1_200.0
	want := before + (0.02*before-lostBefore)/0.98
	if got := (&bbrSample{txInFlight: 100_000, lost: 2_400}).inflightAtLoss(1200, bbrLossThreshold); got != uint64(want) {
		t.Errorf("%d, want %.0f", got, want)
	}
	// An earlier packet of the same run crossed it, sent with as much in flight.
	if got := (&bbrSample{txInFlight: 100_000, lost: 10_000}).inflightAtLoss(1200, bbrLossThreshold); got != 98_800 {
		t.Errorf("%d of a run of losses", got)
	}
	if got := (&bbrSample{txInFlight: 1000, lost: 100_000}).inflightAtLoss(1200, bbrLossThreshold); got != 0 {
		t.Errorf("%d with everything lost", got)
	}
}

// TestBBRTooHigh needs more losses than the threshold, and more still in a small
// flight.
func TestBBRTooHigh(t *testing.T) {
	b := newTestBBR(bbrUp)
	for _, tc := range []struct {
		inFlight, lost uint64 // packets
		want           bool
	}{{50, 1, false}, {50, 3, false}, {50, 4, true}, {1000, 20, false}, {1000, 28, false}, {1000, 30, true}, {0, 1, true}} {
		if got := b.tooHigh(&bbrSample{txInFlight: tc.inFlight * simMTU, lost: tc.lost * simMTU}); got != tc.want {
			t.Errorf("%d lost of %d: %v", tc.lost, tc.inFlight, got)
		}
	}
}

// TestBBRShortTerm follows the delivery process, at most by beta a round (Section
// 5.5.10.3).
func TestBBRShortTerm(t *testing.T) {
	b := newTestBBR(bbrCruise)
	b.lossRoundStart, b.lossInRound = true, true
	b.bwLatest, b.inflightLatest = 900_000, 150_000
	b.adaptShortTerm()
	if b.bwShort != 909_090 || b.inflightShort != 150_000 {
		t.Errorf("bounds %d and %d", b.bwShort, b.inflightShort)
	}
	b.bwLatest, b.inflightLatest = 1000, 1000
	b.adaptShortTerm()
	if b.bwShort != 909_090*7/10 || b.inflightShort != 105_000 {
		t.Errorf("bounds %d and %d after a collapse", b.bwShort, b.inflightShort)
	}
	for _, state := range []bbrState{bbrStartup, bbrRefill, bbrUp} {
		b := newTestBBR(state)
		b.lossRoundStart, b.lossInRound = true, true
		b.adaptShortTerm()
		if b.bwShort != bbrUnbounded || b.inflightShort != bbrUnbounded {
			t.Errorf("state %d: bounds %d and %d", state, b.bwShort, b.inflightShort)
		}
	}
}

// TestBBRLatest: losses count as delivered up to the threshold. Marks do not count, nor do losses
// where there is a queue. The bound leaves room for the packets of one ACK.
func TestBBRLatest(t *testing.T) {
	for _, tc := range []struct {
		state                  bbrState
		queue                  time.Duration
		dropped, lost          uint64
		wantRate, wantInFlight uint64
	}{
		{bbrCruise, 0, 0, 0, 980_000, 103_000},
		{bbrCruise, 0, 1_960, 1_960, 999_600, 104_960},
		{bbrCruise, time.Millisecond, 1_960, 1_960, 999_600, 104_960},
		{bbrCruise, 20 * time.Millisecond, 1_960, 1_960, 980_000, 103_000},
		{bbrDown, 20 * time.Millisecond, 1_960, 1_960, 999_600, 104_960},
		{bbrCruise, 0, 0, 1_960, 980_000, 103_000},
		// the threshold and its allowance: 2,000 and 3,098
		{bbrCruise, 0, 50_000, 50_000, 1_030_980, 108_098},
	} {
		b := newTestBBR(tc.state)
		b.updateLatest(&bbrSample{
			rtt: b.minRTT + tc.queue, rate: 980_000, delivered: 98_000, acked: 5_000, txInFlight: 100_000,
			dropped: tc.dropped, lost: tc.lost,
		})
		if b.bwLatest != tc.wantRate || b.inflightLatest != tc.wantInFlight {
			t.Errorf("%+v: %d and %d", tc, b.bwLatest, b.inflightLatest)
		}
	}
	b := newTestBBR(bbrCruise)
	s := &Sent{Now: simTime(0)}
	b.OnSent(s)
	b.onMarks(&Ack{Now: simTime(1), CE: 3, Largest: &Sent{Now: simTime(-1)}})
	b.noteLoss(simTime(1), s, 500, 1)
	if got, dropped := b.lostSince(s), b.droppedSince(s); got != 3*simMTU+500 || dropped != 500 {
		t.Errorf("lost %d, dropped %d", got, dropped)
	}
}

// TestBBRBackground: what chance takes is measured on packets that were sent slowly, while there is
// no queue. It widens the threshold, up to a bound, whether there is a queue or not.
func TestBBRBackground(t *testing.T) {
	for _, tc := range []struct {
		name        string
		sent        bbrState
		queue       time.Duration
		missing     int // of 1,000 packets
		least, most float64
	}{
		{name: "chance", sent: bbrDown, missing: 40, least: 0.03, most: 0.04},
		{name: "much of it", sent: bbrDown, missing: 300, least: bbrMaxBackground, most: bbrMaxBackground},
		{name: "one packet", sent: bbrDown, missing: 1},
		{name: "a queue", sent: bbrDown, queue: 5 * time.Millisecond, missing: 40},
		{name: "a probe", sent: bbrUp, missing: 40},
		{name: "at the rate of the path", sent: bbrCruise, missing: 40},
	} {
		b := newTestBBR(tc.sent)
		p := &Sent{Now: simTime(0), Bytes: simMTU, InFlight: 100_000}
		b.OnSent(p)
		b.clear = b.seesClear(&bbrSample{rtt: b.minRTT + tc.queue})
		for range tc.missing {
			b.OnLoss(&Loss{Now: simTime(1), Bytes: simMTU, Largest: p})
		}
		b.measureBackground(p, uint64(1000-tc.missing)*simMTU, 0)
		if got := b.background.share(b.mtu); got < tc.least || got > tc.most {
			t.Errorf("%s: %.3f", tc.name, got)
		}
		for _, b.clear = range []bool{true, false} {
			got := b.lossThreshold() - bbrLossThreshold
			if got < tc.least || got > tc.most {
				t.Errorf("%s: the threshold is %.3f more, without a queue: %v", tc.name, got, b.clear)
			}
		}
	}
}

// TestBBRInflightTooHigh: the long-term bound falls by beta. It does not fall so far that the
// bandwidth-delay product of 100,000 no longer fits, with headroom and with what ACKs aggregate. It
// does not fall at all where the application was the limit.
func TestBBRInflightTooHigh(t *testing.T) {
	for _, tc := range []struct {
		tx, extra, want uint64
		limited         bool
	}{
		{200_000, 0, 140_000, false},
		{130_000, 0, 117_647, false},
		{130_000, 8_500, 127_647, false},
		{110_000, 0, 110_000, false},
		{80_000, 0, 80_000, false},
		{20_000, 0, 70_000, false},
		{80_000, 0, bbrUnbounded, true},
	} {
		b := newTestBBR(bbrUp)
		b.probeSample = true
		b.extraFilter[b.roundCount%bbrExtraAckedRounds] = tc.extra
		b.inflightTooHigh(&bbrSample{now: simTime(0), txInFlight: tc.tx, appLimited: tc.limited})
		if b.inflightLong != tc.want || b.state != bbrDown || !b.prevProbeTooHigh || b.probeSample {
			t.Errorf("%+v: bound %d, state %d", tc, b.inflightLong, b.state)
		}
	}
}

// TestBBRProbeLoss bounds by what was in flight when the losses crossed the
// threshold, not when the last packet was lost.
func TestBBRProbeLoss(t *testing.T) {
	b := newTestBBR(bbrUp)
	b.probeSample = true
	b.OnLoss(&Loss{Now: simTime(0), Bytes: 10_000, Largest: &Sent{Now: simTime(-1), Bytes: simMTU, InFlight: 100_000}})
	if want := (&bbrSample{txInFlight: 100_000, lost: 10_000}).inflightAtLoss(simMTU, bbrLossThreshold); b.inflightLong != want || b.state != bbrDown {
		t.Errorf("bound %d, want %d; state %d", b.inflightLong, want, b.state)
	}
}

// TestBBRLossWithoutProbe leaves the long-term bound alone.
func TestBBRLossWithoutProbe(t *testing.T) {
	b := newTestBBR(bbrCruise)
	b.OnLoss(&Loss{Now: simTime(0), Bytes: 50_000, Largest: &Sent{Now: simTime(-1), Bytes: simMTU, InFlight: 100_000}})
	if b.inflightLong != bbrUnbounded || b.state != bbrCruise || !b.lossInRound {
		t.Errorf("bound %d, state %d", b.inflightLong, b.state)
	}
}

// TestBBRStartupLoss leaves Startup only for a round of many losses (Section
// 5.3.1.3).
func TestBBRStartupLoss(t *testing.T) {
	for _, tc := range []struct {
		ranges int
		lost   uint64
		want   bbrState
	}{{6, 20_000, bbrDrain}, {5, 20_000, bbrStartup}, {6, 2_000, bbrStartup}} {
		b := newTestBBR(bbrStartup)
		b.fullBWReached = false
		b.inflightLatest = 120_000
		b.lossRoundStart, b.lossInRound, b.lossRanges = true, true, tc.ranges
		b.checkStartupDone(&bbrSample{txInFlight: 100_000, lost: tc.lost})
		if b.state != tc.want {
			t.Errorf("%+v: state %d", tc, b.state)
		}
		if tc.want == bbrDrain && b.inflightLong != 120_000 {
			t.Errorf("bound %d", b.inflightLong)
		}
	}
}

// Section 5.3.2.
func TestBBRDrainEnds(t *testing.T) {
	b := newTestBBR(bbrDrain)
	b.drainRound = b.roundCount
	b.checkDrainDone(&bbrSample{now: simTime(0), inFlight: 100_001})
	b.roundCount += 3
	b.checkDrainDone(&bbrSample{now: simTime(0), inFlight: 100_001})
	if b.state != bbrDrain {
		t.Fatal("Drain ended early")
	}
	b.roundCount++
	b.checkDrainDone(&bbrSample{now: simTime(0), inFlight: 100_001})
	if b.state != bbrDown {
		t.Error("Drain did not end after three rounds")
	}
	b = newTestBBR(bbrDrain)
	b.drainRound = b.roundCount
	b.checkDrainDone(&bbrSample{now: simTime(0), inFlight: 100_000})
	if b.state != bbrDown {
		t.Error("Drain did not end with the queue empty")
	}
}

// TestBBRProbeUpward raises the bound by 1, 2, 4 packets a round, and so on, while
// the flow is held by it.
func TestBBRProbeUpward(t *testing.T) {
	b := newTestBBR(bbrRefill)
	b.inflightLong = 100 * simMTU
	b.cwnd = b.inflightLong
	b.startUp(&bbrSample{})
	for round, want := range []uint64{100, 101, 103, 107, 115} {
		if b.inflightLong != want*simMTU {
			t.Fatalf("round %d: bound of %d packets, want %d", round, b.inflightLong/simMTU, want)
		}
		b.limited, b.limitedRound = true, b.roundCount
		b.cwnd = b.inflightLong
		n := b.cwnd / simMTU
		for i := range n {
			b.roundStart = i == n-1
			b.cwnd = b.inflightLong
			b.probeUpward(&bbrSample{acked: simMTU})
		}
	}
	long := b.inflightLong
	b.limited = false
	b.probeUpward(&bbrSample{acked: 1 << 30})
	b.limited, b.cwnd = true, long-1
	b.probeUpward(&bbrSample{acked: 1 << 30})
	if b.inflightLong != long {
		t.Error("the bound rose without being used")
	}
	b.cwnd = long
	b.adaptLongTerm(&bbrSample{txInFlight: long + 5000})
	if b.inflightLong < long+5000 {
		t.Error("what arrived safely did not raise the bound")
	}
}

// TestBBRPrecaution ends a probe at the bound after one that was too high, and
// probes again at once if that was safe (Section 5.3.3.6).
func TestBBRPrecaution(t *testing.T) {
	b := newTestBBR(bbrUp)
	b.inflightLong = 90_000
	b.prevProbeTooHigh = true
	b.advanceCycle(&bbrSample{now: simTime(0), priorInFlight: 89_000})
	if b.state != bbrUp {
		t.Fatalf("state %d below the bound", b.state)
	}
	b.advanceCycle(&bbrSample{now: simTime(0), priorInFlight: 90_000})
	if b.state != bbrDown || !b.precautionary {
		t.Fatalf("state %d at the bound", b.state)
	}
	b.roundStart = true
	b.advanceCycle(&bbrSample{now: simTime(time.Millisecond)})
	if b.state != bbrRefill || b.precautionary {
		t.Errorf("state %d after a safe probe", b.state)
	}
}

// TestBBRProbeTime waits for two to three seconds, or sixty-three rounds, or as
// many as there are packets in flight.
func TestBBRProbeTime(t *testing.T) {
	b := newTestBBR(bbrDown)
	b.startDown(simTime(0))
	for _, tc := range []struct {
		rounds uint64
		at     time.Duration
		bw     uint64
		want   bool
	}{
		{0, 2 * time.Second, 1_000_000, false},
		{0, 3*time.Second + 1, 1_000_000, true},
		{62, time.Second, 1_000_000, false},
		{63, time.Second, 1_000_000, true},
		{9, time.Second, 120_000, false},
		{10, time.Second, 120_000, true},
	} {
		b.roundsSinceUp, b.bw = tc.rounds, tc.bw
		if got := b.timeToProbe(simTime(tc.at)); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// TestBBRRestartFromIdle paces at the bandwidth, and leaves ProbeRTT if it is over
// (Section 5.4).
func TestBBRRestartFromIdle(t *testing.T) {
	first := func() *Sent {
		return &Sent{Now: simTime(time.Second), Bytes: simMTU, InFlight: simMTU, AppLimited: true}
	}
	b := newTestBBR(bbrDown)
	b.setPacingRate(90)
	b.OnSent(&Sent{Now: simTime(time.Second), Bytes: simMTU, InFlight: 2 * simMTU, AppLimited: true})
	b.OnSent(&Sent{Now: simTime(time.Second), Bytes: simMTU, InFlight: simMTU})
	if b.idleRestart || b.PacingRate() != 891_000 {
		t.Errorf("without a pause: pacing rate %d", b.PacingRate())
	}
	b.OnSent(first())
	if !b.idleRestart || b.PacingRate() != 990_000 || !b.extraStart.Equal(simTime(time.Second)) {
		t.Errorf("after a pause: pacing rate %d, interval from %v", b.PacingRate(), b.extraStart)
	}

	for _, done := range []time.Duration{time.Second, time.Second - 1} {
		b := newTestBBR(bbrProbeRTT)
		b.probeRTTDone = simTime(done)
		b.priorCwnd, b.cwnd = 200_000, 50_000
		b.OnSent(first())
		if over := done < time.Second; over != (b.state == bbrCruise) || over != (b.cwnd == 200_000) {
			t.Errorf("ProbeRTT until %v: state %d, window %d", done, b.state, b.cwnd)
		}
	}
}

// TestBBRProbeRTTRound stays for a round, however long.
func TestBBRProbeRTTRound(t *testing.T) {
	b := newTestBBR(bbrProbeRTT)
	b.handleProbeRTT(&bbrSample{now: simTime(0), inFlight: 50_000})
	b.roundStart = false
	b.handleProbeRTT(&bbrSample{now: simTime(time.Second), inFlight: 50_000})
	if b.state != bbrProbeRTT {
		t.Fatal("left before a round")
	}
	b.roundStart = true
	b.handleProbeRTT(&bbrSample{now: simTime(time.Second), inFlight: 50_000})
	if b.state != bbrCruise {
		t.Errorf("state %d after a round", b.state)
	}
}

// TestBBRRecovery gives the window back when a packet sent after the loss
// arrives.
func TestBBRRecovery(t *testing.T) {
	b := newTestBBR(bbrCruise)
	b.OnLoss(&Loss{Now: simTime(time.Second), Bytes: simMTU, Largest: &Sent{Now: simTime(0), Bytes: simMTU, InFlight: simMTU}, Persistent: true})
	wantWindow(t, b, 2*simMTU)
	b.ack(1100*time.Millisecond, 1_000_000, false) // sent when the loss was found
	if w := b.Window(); w != bbrMinPipePackets*simMTU {
		t.Errorf("window %d in recovery", w)
	}
	b.ack(1101*time.Millisecond, 1_000_000, false)
	if w := b.Window(); w < 195_000 {
		t.Errorf("window %d after recovery", w)
	}
}

// TestBBRRaisesLongTerm raises the bound by what was sent since it was lowered, not by
// what was in flight before and arrives now.
func TestBBRRaisesLongTerm(t *testing.T) {
	b := newTestBBR(bbrUp)
	b.probeSample = true
	b.delivered = 1_000_000
	b.inflightTooHigh(&bbrSample{now: simTime(0), txInFlight: 200_000})
	s := &bbrSample{txInFlight: 190_000, priorDelivered: 999_999}
	b.adaptLongTerm(s)
	if b.inflightLong != 140_000 {
		t.Errorf("bound %d", b.inflightLong)
	}
	s.priorDelivered++
	b.adaptLongTerm(s)
	if b.inflightLong != 190_000 {
		t.Errorf("bound %d, want 190000", b.inflightLong)
	}
}
