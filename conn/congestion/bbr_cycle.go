package congestion

import "time"

// A bbrACKPhase says what ACKs tell about a probe for bandwidth.
type bbrACKPhase uint8

const (
	bbrACKsInit bbrACKPhase = iota
	bbrACKsRefilling
	bbrACKsProbeStarting
	bbrACKsProbeFeedback
	bbrACKsProbeStopping
)

// bbrCycle is the state of Startup, Drain and the cycle of ProbeBW
// (draft-ietf-ccwg-bbr, Sections 5.3.1 to 5.3.3).
type bbrCycle struct {
	drainRound uint64 // when Drain began

	ackPhase         bbrACKPhase
	probeSample      bool // ACKs are for packets sent while probing
	prevProbeTooHigh bool
	precautionary    bool // the last probe stopped at the long-term bound

	// When to probe next.
	cycleStart    time.Time
	probeWait     time.Duration
	roundsSinceUp uint64
	newcomer      int // how many probes still come sooner

	// How fast the long-term bound rises while probing.
	probeUpAcked       uint64
	probeUpAckedPerInc uint64
	probeUpRounds      uint
}

// checkStartupDone leaves Startup once the pipe is full.
func (b *bbr) checkStartupDone(s *bbrSample) {
	if b.state != bbrStartup {
		return
	}
	// Section 5.3.1.3: a whole round of recovery that lost too much.
	if b.lossRoundStart && b.lossInRound && b.lossRanges >= bbrFullLossCount && b.tooHigh(s) && !b.fullBWReached {
		b.undo.state, b.undo.left = bbrStartup, true
		b.fullBWNow = true
		b.fullBWReached = true
		b.newcomer = bbrNewcomerProbes
		b.inflightLong = max(b.bdpMultiple(100), b.inflightLatest)
	}
	if b.fullBWReached {
		b.state = bbrDrain
		b.drainRound = b.roundCount
	}
}

// checkDrainDone leaves Drain once the queue must be empty.
func (b *bbr) checkDrainDone(s *bbrSample) {
	if b.state == bbrDrain && (s.inFlight <= b.inflight(100) || b.roundCount > b.drainRound+bbrDrainRounds) {
		b.startDown(s.now)
	}
}

// startDown drains what a probe may have queued.
func (b *bbr) startDown(now time.Time) {
	b.resetCongestionSignals()
	b.probeUpAckedPerInc = bbrUnbounded
	b.pickProbeWait()
	b.cycleStart = now
	b.ackPhase = bbrACKsProbeStopping
	b.startRound()
	b.state = bbrDown
}

// startRefill fills the pipe, without a queue, for a round.
func (b *bbr) startRefill() {
	b.resetShortTerm()
	b.probeUpRounds = 0
	b.probeUpAcked = 0
	b.precautionary = false
	b.ackPhase = bbrACKsRefilling
	b.startRound()
	b.state = bbrRefill
}

// startUp probes for more bandwidth.
func (b *bbr) startUp(s *bbrSample) {
	b.probeSample = true
	b.ackPhase = bbrACKsProbeStarting
	b.startRound()
	b.resetFullBW(s.rate)
	b.state = bbrUp
	b.raiseSlope()
}

// advanceCycle is the state machine of ProbeBW (Section 5.3.3.9).
func (b *bbr) advanceCycle(s *bbrSample) {
	if !b.fullBWReached || b.adaptLongTerm(s) {
		return
	}
	switch b.state {
	case bbrDown:
		if b.timeToProbe(s.now) {
			b.startRefill()
		} else if s.inFlight <= b.inflightWithHeadroom() && s.inFlight <= b.inflight(100) {
			b.state = bbrCruise
		}
	case bbrCruise:
		if b.timeToProbe(s.now) {
			b.startRefill()
		}
	case bbrRefill:
		if b.roundStart {
			b.startUp(s)
		}
	case bbrUp:
		if b.timeToGoDown(s) {
			b.prevProbeTooHigh = false
			b.startDown(s.now)
		}
	}
}

// adaptLongTerm raises the long-term bound by what arrived safely. It reports
// whether it changed the state.
func (b *bbr) adaptLongTerm(s *bbrSample) bool {
	if b.ackPhase == bbrACKsProbeStarting && b.roundStart {
		b.ackPhase = bbrACKsProbeFeedback
	}
	if b.ackPhase == bbrACKsProbeStopping && b.roundStart {
		b.probeSample = false
		b.ackPhase = bbrACKsInit
		if b.state.probesBW() {
			if !s.appLimited {
				b.advanceMaxBW()
			}
			if b.precautionary && !b.prevProbeTooHigh { // Section 5.3.3.6
				b.startRefill()
				return true
			}
		}
	}
	if b.inflightLong == bbrUnbounded || b.tooHigh(s) {
		return false
	}
	if s.priorDelivered >= b.loweredAt { // what was sent before is known to be too much
		b.inflightLong = max(b.inflightLong, s.txInFlight)
	}
	if b.state == bbrUp {
		b.probeUpward(s)
	}
	return false
}

// probeUpward raises the long-term bound while the flow is held by it.
func (b *bbr) probeUpward(s *bbrSample) {
	if !b.windowLimited() || b.cwnd < b.inflightLong {
		return
	}
	b.probeUpAcked += s.acked
	if delta := b.probeUpAcked / b.probeUpAckedPerInc; delta > 0 {
		b.probeUpAcked -= delta * b.probeUpAckedPerInc
		b.inflightLong = min(b.inflightLong+min(delta, maxWindow/b.mtu)*b.mtu, maxWindow)
	}
	if b.roundStart {
		b.raiseSlope()
	}
}

// raiseSlope doubles the growth of the long-term bound in a round.
func (b *bbr) raiseSlope() {
	b.probeUpAckedPerInc = max(b.cwnd>>b.probeUpRounds, b.mtu)
	b.probeUpRounds = min(b.probeUpRounds+1, bbrMaxProbeUpRounds)
}

// timeToGoDown reports whether a probe found the bandwidth, or must not go on.
func (b *bbr) timeToGoDown(s *bbrSample) bool {
	if b.prevProbeTooHigh && s.priorInFlight >= b.inflightLong { // Section 5.3.3.6
		b.precautionary = true
		return true
	}
	if b.windowLimited() && b.cwnd >= b.inflightLong {
		b.resetFullBW(s.rate) // the bound, not the path, limits
		return false
	}
	return b.fullBWNow
}

// timeToProbe reports whether enough time passed since the last probe, by the
// clock or by the rounds that NewReno would take (Section 5.3.3.8).
func (b *bbr) timeToProbe(now time.Time) bool {
	rounds := min(b.targetInflight()/b.mtu, bbrMaxProbeRounds)
	return now.Sub(b.cycleStart) > b.probeWait || b.roundsSinceUp >= rounds
}

// pickProbeWait draws when to probe next: after two to three seconds, or a
// number of rounds.
//
// A flow whose Startup ended by losses may be new to a path whose queue others fill. It stopped
// long before it had its share, and a probe adds a quarter of what it has to it at most. So its
// first probes come four times as often.
func (b *bbr) pickProbeWait() {
	n := b.random()
	b.roundsSinceUp = n & 1
	b.probeWait = bbrProbeWait + time.Duration(n>>1%uint64(time.Second))
	if b.newcomer > 0 {
		b.newcomer--
		b.probeWait /= 4
	}
}
