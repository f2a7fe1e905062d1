package congestion

import "time"

// bbrRTTProbe is the state of ProbeRTT, which empties the queue every five
// seconds to see the round trip time without it (draft-ietf-ccwg-bbr, Section
// 5.3.4).
type bbrRTTProbe struct {
	minRTTStamp     time.Time
	probeRTTMin     time.Duration // least in the last five seconds, 0 if unknown
	probeRTTStamp   time.Time
	probeRTTExpired bool
	probeRTTDone    time.Time // when the state may end; zero until the queue is empty
	probeRTTRound   bool      // a round passed since then
	idleRestart     bool
}

// updateMinRTT takes a round trip time. While only a probe may raise the
// estimate, any lower sample takes effect at once.
func (b *bbr) updateMinRTT(s *bbrSample) {
	b.probeRTTExpired = b.probeRTTMin > 0 && s.now.Sub(b.probeRTTStamp) > bbrProbeRTTInterval
	if b.probeRTTMin == 0 {
		b.initPacingRate(s.rtt) // Section 5.6.2
	}
	if b.probeRTTMin == 0 || s.rtt < b.probeRTTMin || b.probeRTTExpired {
		b.probeRTTMin = s.rtt
		b.probeRTTStamp = s.now
	}
	if b.minRTT == 0 || b.probeRTTMin < b.minRTT || s.now.Sub(b.minRTTStamp) > bbrMinRTTWindow {
		b.minRTT = b.probeRTTMin
		b.minRTTStamp = b.probeRTTStamp
	}
}

// checkProbeRTT enters the state when the estimate is old, and leaves it. An idle
// period has emptied the queue already.
func (b *bbr) checkProbeRTT(s *bbrSample) {
	if b.state != bbrProbeRTT && b.probeRTTExpired && !b.idleRestart {
		b.saveCwnd()
		b.state = bbrProbeRTT
		b.probeRTTDone = time.Time{}
		b.ackPhase = bbrACKsProbeStopping
		b.startRound()
	}
	if b.state == bbrProbeRTT {
		b.handleProbeRTT(s)
	}
	if s.delivered > 0 {
		b.idleRestart = false
	}
}

// handleProbeRTT stays until the queue was empty for 200 ms and a round.
func (b *bbr) handleProbeRTT(s *bbrSample) {
	if b.probeRTTDone.IsZero() {
		if s.inFlight <= b.probeRTTWindow() {
			b.probeRTTDone = s.now.Add(bbrProbeRTTDuration)
			b.probeRTTRound = false
			b.startRound()
		}
		return
	}
	b.probeRTTRound = b.probeRTTRound || b.roundStart
	if b.probeRTTRound {
		b.checkProbeRTTDone(s.now)
	}
}

// checkProbeRTTDone leaves ProbeRTT once it lasted long enough.
func (b *bbr) checkProbeRTTDone(now time.Time) {
	if b.probeRTTDone.IsZero() || !now.After(b.probeRTTDone) {
		return
	}
	b.probeRTTStamp = now
	b.restoreCwnd()
	b.resetShortTerm()
	if b.fullBWReached {
		b.startDown(now)
		b.state = bbrCruise // what is in flight is below the target already
	} else {
		b.state = bbrStartup
	}
}

// probeRTTWindow is half a bandwidth-delay product.
func (b *bbr) probeRTTWindow() uint64 {
	_, gain := bbrProbeRTT.gains()
	return max(b.bdpMultiple(gain), b.minPipe())
}
