package congestion

import (
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
	"github.com/lazoquic/lazo/internal/pacing"
)

// bbrModel is what BBR knows of the path (draft-ietf-ccwg-bbr, Section 5.5).
type bbrModel struct {
	bw     uint64        // what to send at: the least of maximum and short-term bound
	minRTT time.Duration // 0 if unknown

	// A round trip ends when a packet is acknowledged that was sent after the
	// round began.
	delivered      uint64
	roundDelivered uint64
	roundCount     uint64
	roundStart     bool

	// The last round in which a packet filled the window.
	limitedRound uint64
	limited      bool

	// The highest delivery rates of this cycle of ProbeBW and the last.
	bwFilter [2]uint64

	// The full pipe estimator (Section 5.3.1.2).
	fullBW        uint64
	fullBWCount   int
	fullBWNow     bool // since it began to look
	fullBWReached bool // ever

	// How much more than expected ACKs acknowledge at once (Section 5.5.9): the
	// maximum of each of the last rounds.
	extraStart     time.Time
	extraDelivered uint64
	extraFilter    [bbrExtraAckedRounds]uint64
	extraRound     uint64 // that the filter is up to date with
}

// maxBW is the windowed maximum of the delivery rate.
func (b *bbr) maxBW() uint64 { return max(b.bwFilter[0], b.bwFilter[1]) }

// updateRound counts round trips (Section 5.5.1).
func (b *bbr) updateRound(s *bbrSample) {
	b.roundStart = s.priorDelivered >= b.roundDelivered
	if b.roundStart {
		b.startRound()
		b.roundCount++
		b.roundsSinceUp++
	}
}

func (b *bbr) startRound() { b.roundDelivered = b.delivered }

// updateMaxBW takes a delivery rate. A rate that the application limited counts only if it is no
// less than the maximum (Section 5.5.4).
func (b *bbr) updateMaxBW(s *bbrSample) {
	if s.rate >= b.maxBW() || !s.appLimited {
		b.bwFilter[1] = max(b.bwFilter[1], s.rate)
	}
}

// advanceMaxBW forgets the cycle before the last.
func (b *bbr) advanceMaxBW() {
	b.bwFilter = [2]uint64{b.bwFilter[1], 0}
}

// windowLimited reports whether the window limited sending in the last round.
func (b *bbr) windowLimited() bool {
	return b.limited && b.roundCount-b.limitedRound <= 1
}

// resetFullBW begins to look for a full pipe, from the rate base.
func (b *bbr) resetFullBW(base uint64) {
	b.fullBW = base
	b.fullBWCount = 0
	b.fullBWNow = false
}

// checkFullBW estimates that the pipe is full when the delivery rate hardly grew
// for three rounds (Section 5.3.1.2).
func (b *bbr) checkFullBW(s *bbrSample) {
	if b.fullBWNow || !b.roundStart || s.appLimited {
		return
	}
	if s.rate >= b.fullBW+b.fullBW/4 {
		b.resetFullBW(s.rate)
		return
	}
	b.fullBWCount++
	if b.fullBWCount >= bbrFullBWCount {
		b.fullBWNow = true
		b.fullBWReached = true
	}
}

// updateExtraAcked measures how much ACKs are aggregated. The window must make up for that.
func (b *bbr) updateExtraAcked(s *bbrSample) {
	interval := uint64(max(s.now.Sub(b.extraStart), 0))
	expected := muldiv.Down(b.bw, interval, uint64(time.Second))
	if b.extraDelivered <= expected {
		b.extraDelivered = 0
		b.extraStart = s.now
		expected = 0
	}
	b.extraDelivered = min(b.extraDelivered+s.acked, maxWindow)
	extra := min(b.extraDelivered-min(expected, b.extraDelivered), b.cwnd)

	for n := min(b.roundCount-b.extraRound, bbrExtraAckedRounds); n > 0; n-- {
		b.extraFilter[(b.roundCount-n+1)%bbrExtraAckedRounds] = 0
	}
	b.extraRound = b.roundCount
	slot := &b.extraFilter[b.roundCount%bbrExtraAckedRounds]
	*slot = max(*slot, extra)
}

// extraAcked is the windowed maximum of what updateExtraAcked measures. In Startup the window is
// one round.
func (b *bbr) extraAcked() uint64 {
	if !b.fullBWReached {
		return b.extraFilter[b.roundCount%bbrExtraAckedRounds]
	}
	var extra uint64
	for _, e := range b.extraFilter {
		extra = max(extra, e)
	}
	return extra
}

// bdpMultiple is gain percent of the bandwidth-delay product.
func (b *bbr) bdpMultiple(gain uint64) uint64 {
	if b.minRTT == 0 {
		return initialWindow(b.mtu)
	}
	bdp := muldiv.Down(b.bw, uint64(b.minRTT), uint64(time.Second))
	return min(muldiv.Down(bdp, gain, 100), maxWindow)
}

// quantize raises n to what keeps bursts full (Section 5.6.4.2).
func (b *bbr) quantize(n uint64) uint64 {
	n = max(n, pacing.New(b.pacingRate, int(b.mtu)).Quantum, b.minPipe())
	if b.state == bbrUp {
		n += 2 * b.mtu
	}
	return n
}

// inflight is gain percent of the bandwidth-delay product, raised to what sending in bursts needs.
func (b *bbr) inflight(gain uint64) uint64 { return b.quantize(b.bdpMultiple(gain)) }

// targetInflight is what the flow wants in flight, unless congestion cut the
// window.
func (b *bbr) targetInflight() uint64 { return min(b.bdpMultiple(100), b.cwnd) }
