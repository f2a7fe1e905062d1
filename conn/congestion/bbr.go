package congestion

import (
	"io"
	"math"
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
	"github.com/lazoquic/lazo/internal/pacing"
)

// Constants of BBR (draft-ietf-ccwg-bbr, Section 2). Gains are in percent.
const (
	bbrLossThreshold     = 0.02 // of what is in flight
	bbrBeta              = 70
	bbrHeadroom          = 15
	bbrPacingMargin      = 1
	bbrMinPipePackets    = 4
	bbrFullBWCount       = 3 // rounds
	bbrFullLossCount     = 6 // rows of lost packets in a round
	bbrDrainRounds       = 3
	bbrExtraAckedRounds  = 10
	bbrMinRTTWindow      = 10 * time.Second
	bbrProbeRTTInterval  = 5 * time.Second
	bbrProbeRTTDuration  = 200 * time.Millisecond
	bbrProbeWait         = 2 * time.Second // and a random second
	bbrMaxProbeRounds    = 63
	bbrMaxProbeUpRounds  = 30
	bbrNewcomerProbes    = 12 // not of the draft: see pickProbeWait
	bbrInitialRoundTrip  = time.Millisecond
	bbrUnbounded         = math.MaxUint64
	bbrSentInProbeRTT    = 1 // in Sent.State[1]
	bbrSentSlowly        = 2 // the same: see bbrBackground
	bbrMinRoundTripValue = time.Microsecond
)

// A bbrState is a state of BBR's state machine (Section 5.3).
type bbrState uint8

const (
	bbrStartup bbrState = iota
	bbrDrain
	bbrDown // the four of ProbeBW
	bbrCruise
	bbrRefill
	bbrUp
	bbrProbeRTT
)

// String returns the name of the state.
func (s bbrState) String() string {
	return [...]string{
		bbrStartup: "startup", bbrDrain: "drain", bbrDown: "probe_bw_down", bbrCruise: "probe_bw_cruise",
		bbrRefill: "probe_bw_refill", bbrUp: "probe_bw_up", bbrProbeRTT: "probe_rtt",
	}[s]
}

// gains returns how the state scales bandwidth and window, in percent.
func (s bbrState) gains() (pacing, window uint64) {
	switch s {
	case bbrStartup:
		return 277, 200
	case bbrDrain:
		return 50, 200
	case bbrDown:
		return 90, 200
	case bbrUp:
		return 125, 225
	case bbrProbeRTT:
		return 100, 50
	}
	return 100, 200
}

// probesBW reports whether the state is one of ProbeBW.
func (s bbrState) probesBW() bool { return s >= bbrDown && s <= bbrUp }

// accelerates reports whether the state looks for more bandwidth, so that losses
// do not bound the short-term model.
func (s bbrState) accelerates() bool {
	return s == bbrStartup || s == bbrRefill || s == bbrUp
}

// bbr is the congestion controller of draft-ietf-ccwg-bbr, version 3 of BBR. It
// models the path by its bandwidth and round trip time, and paces by that. Sizes
// are in bytes, rates in bytes per second. ECN marks count as lost packets (Section 3.7).
//
// It differs from the draft where losses come by chance, ACKs in bunches, or two
// flows share a queue: see bbrBackground, acceptedLoss, updateLatest, inflightTooHigh and
// pickProbeWait.
type bbr struct {
	mtu        uint64
	cwnd       uint64
	pacingRate uint64
	rand       io.Reader // may be nil
	randBuf    [8]byte
	state      bbrState

	bbrModel
	bbrBounds
	bbrCycle
	bbrRTTProbe
	background bbrBackground
}

// NewBBR returns version 3 of BBR, as in draft-ietf-ccwg-bbr. It paces at the bandwidth that it
// measured, and probes for more every few seconds. The times are random, or regular without
// Params.Rand.
func NewBBR(p Params) Controller {
	b := &bbr{mtu: clampMTU(p.MTU), rand: p.Rand}
	b.cwnd = initialWindow(b.mtu)
	b.inflightLong = bbrUnbounded
	b.probeUpAckedPerInc = bbrUnbounded
	b.extraStart = p.Now
	b.resetShortTerm()
	b.initPacingRate(bbrInitialRoundTrip)
	return b
}

// State returns the name of the state, for logs.
func (b *bbr) State() string { return b.state.String() }

// Window returns how many bytes may be in flight.
func (b *bbr) Window() uint64 { return b.cwnd }

// PacingRate returns at how many bytes per second to send.
func (b *bbr) PacingRate() uint64 { return b.pacingRate }

// OnSent keeps with the packet what was lost before it, and notices the end of
// an idle period (Section 5.4).
func (b *bbr) OnSent(s *Sent) {
	s.State = [6]uint64{b.lost, 0, b.marked}
	if b.state == bbrProbeRTT {
		s.State[1] = bbrSentInProbeRTT
	} else if b.state.slow() {
		s.State[1] = bbrSentSlowly
	}
	if s.InFlight+b.mtu > b.cwnd {
		b.limitedRound, b.limited = b.roundCount, true
	}
	if s.InFlight > s.Bytes || !s.AppLimited {
		return
	}
	b.idleRestart = true
	b.extraStart = s.Now
	if b.state.probesBW() {
		b.setPacingRate(100)
	} else if b.state == bbrProbeRTT {
		b.checkProbeRTTDone(s.Now)
	}
}

// A bbrSample is what one ACK, or one lost packet, says of the path.
type bbrSample struct {
	now            time.Time
	rtt            time.Duration
	rate           uint64 // 0 if unknown
	acked          uint64 // newly
	delivered      uint64 // since the packet was sent
	priorDelivered uint64
	inFlight       uint64 // after the ACK
	priorInFlight  uint64 // before the ACK
	txInFlight     uint64 // when the packet was sent
	lost           uint64 // since the packet was sent
	dropped        uint64 // likewise, marks aside
	appLimited     bool

	latestBW, latestInflight uint64 // rate and delivered for the short-term bounds
}

// OnAck updates the model, then the state, then the pacing rate and the window (Section 5.2.3).
func (b *bbr) OnAck(a *Ack) {
	if a.Largest == nil {
		return
	}
	b.leaveRecovery(a)
	b.delivered = a.Delivered
	acked := min(a.Bytes, maxWindow)
	s := &bbrSample{
		now:            a.Now,
		rtt:            max(a.Now.Sub(a.Largest.Now), bbrMinRoundTripValue),
		rate:           min(a.DeliveryRate, pacing.MaxRate),
		acked:          acked,
		delivered:      min(a.Delivered-min(a.PriorDelivered, a.Delivered), maxWindow),
		priorDelivered: a.PriorDelivered,
		inFlight:       a.InFlight,
		priorInFlight:  min(a.InFlight, maxWindow) + acked,
		txInFlight:     min(a.Largest.InFlight, maxWindow),
		appLimited:     a.Largest.AppLimited || a.Largest.State[1] == bbrSentInProbeRTT,
	}
	if a.CE > 0 {
		b.onMarks(a)
	}
	s.lost, s.dropped = b.lostSince(a.Largest), b.droppedSince(a.Largest)
	b.clear = b.seesClear(s)
	b.measureBackground(a.Largest, acked, 0)

	b.updateLatest(s)
	b.updateRound(s)
	b.updateMaxBW(s)
	b.adaptShortTerm()
	b.updateExtraAcked(s)
	b.checkFullBW(s)
	b.checkStartupDone(s)
	b.checkDrainDone(s)
	b.advanceCycle(s)
	b.updateMinRTT(s)
	b.checkProbeRTT(s)
	b.advanceLatest(s)
	b.bw = min(b.maxBW(), b.bwShort)

	gain, _ := b.state.gains()
	b.setPacingRate(gain)
	b.setWindow(s)
}

// OnMTU takes a new maximum datagram size.
func (b *bbr) OnMTU(mtu int) {
	untouched := b.delivered == 0 && b.cwnd == initialWindow(b.mtu)
	b.mtu = clampMTU(mtu)
	if untouched {
		b.cwnd = initialWindow(b.mtu)
	}
	b.cwnd = max(b.cwnd, 2*b.mtu)
}

// initPacingRate paces the initial window over a round trip (Section 5.6.2).
func (b *bbr) initPacingRate(rtt time.Duration) {
	gain, _ := bbrStartup.gains()
	rate := muldiv.Down(initialWindow(b.mtu), uint64(time.Second), uint64(rtt))
	b.pacingRate = max(muldiv.Down(rate, gain, 100), 1)
}

// setPacingRate paces at gain percent of the bandwidth, a little less to keep
// queues short. Until the pipe was full once, the rate does not fall.
func (b *bbr) setPacingRate(gain uint64) {
	rate := min(muldiv.Down(b.bw, gain*(100-bbrPacingMargin), 100*100), pacing.MaxRate)
	if rate > 0 && (b.fullBWReached || rate > b.pacingRate) {
		b.pacingRate = rate
	}
}

// setWindow moves the window towards what the model says is needed, and keeps it below what the
// model says is safe (Section 5.6.4).
func (b *bbr) setWindow(s *bbrSample) {
	_, gain := b.state.gains()
	need := b.quantize(b.bdpMultiple(gain) + b.extraAcked())
	if b.fullBWReached {
		b.cwnd = min(b.cwnd+s.acked, need)
	} else if b.cwnd < need || b.delivered < initialWindow(b.mtu) {
		b.cwnd += s.acked
	}
	b.cwnd = max(b.cwnd, b.minPipe())
	if b.state == bbrProbeRTT {
		b.cwnd = min(b.cwnd, b.probeRTTWindow())
	}
	b.cwnd = min(b.cwnd, b.windowCap(), maxWindow)
}

// windowCap bounds the window by recent congestion (Section 5.6.4.7).
func (b *bbr) windowCap() uint64 {
	limit := uint64(bbrUnbounded)
	switch {
	case b.state == bbrProbeRTT || b.state == bbrCruise:
		limit = b.inflightWithHeadroom()
	case b.state.probesBW():
		limit = b.inflightLong
	}
	return max(min(limit, b.inflightShort), b.minPipe())
}

// minPipe is the least window that keeps data flowing with delayed ACKs.
func (b *bbr) minPipe() uint64 { return bbrMinPipePackets * b.mtu }

// random returns a number from Params.Rand, 0 without it.
func (b *bbr) random() uint64 {
	if b.rand == nil {
		return 0
	}
	if _, err := io.ReadFull(b.rand, b.randBuf[:]); err != nil {
		return 0
	}
	var n uint64
	for _, c := range b.randBuf {
		n = n<<8 | uint64(c)
	}
	return n
}
