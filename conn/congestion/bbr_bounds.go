package congestion

import (
	"math"
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
)

// bbrBounds is how congestion bounds the model. The long-term bound remembers
// what was too much in the last probes; the short-term ones follow each round
// with losses, until the next probe (draft-ietf-ccwg-bbr, Section 5.5.10).
type bbrBounds struct {
	inflightLong  uint64
	loweredAt     uint64 // bytes delivered when it was lowered last
	bwShort       uint64
	inflightShort uint64

	// Maxima of this round trip, which is counted from the first loss on.
	bwLatest           uint64
	inflightLatest     uint64
	lossRoundDelivered uint64
	lossRoundStart     bool
	lossInRound        bool
	lossRanges         int // rows of lost packets in this round

	clear      bool   // the last ACK has shown no queue: see seesClear
	lost       uint64 // bytes, in total; marks included
	marked     uint64 // bytes of those that were marked, not lost
	recovery   recoveryPeriod
	recovering bool
	priorCwnd  uint64 // before recovery or ProbeRTT
	undo       bbrUndo
}

// bbrUndo is what a loss changed. It is restored if the loss turns out to be spurious.
type bbrUndo struct {
	state         bbrState // that the loss ended, if left
	left          bool
	bwShort       uint64
	inflightShort uint64
	inflightLong  uint64
}

// lostSince returns how much was lost since p was sent.
func (b *bbr) lostSince(p *Sent) uint64 { return b.lost - min(p.State[0], b.lost) }

// droppedSince is lostSince without marks.
func (b *bbr) droppedSince(p *Sent) uint64 {
	return b.lostSince(p) - min(b.marked-min(p.State[2], b.marked), b.lostSince(p))
}

// OnLoss notes a loss, and ends a probe for bandwidth that lost too much
// (Section 5.5.10.2).
func (b *bbr) OnLoss(l *Loss) {
	if l.Largest == nil {
		return
	}
	b.noteLoss(l.Now, l.Largest, l.Bytes, l.Ranges)
	b.measureBackground(l.Largest, 0, l.Bytes)
	b.recovery.lost(l)
	b.checkInflight(l.Largest)
	if l.Persistent { // RFC 9002, Section 7.6.2
		b.cwnd = 2 * b.mtu
	}
}

// onMarks treats the packets that a router marked as lost ones.
func (b *bbr) onMarks(a *Ack) {
	bytes := min(a.CE, maxWindow/b.mtu) * b.mtu
	b.marked += bytes
	b.noteLoss(a.Now, a.Largest, bytes, 1)
	b.recovery.final = true
	b.checkInflight(a.Largest)
}

// noteLoss counts bytes that were lost in the given number of rows of packets. p is the last of the
// packets.
func (b *bbr) noteLoss(now time.Time, p *Sent, bytes uint64, ranges int) {
	b.lost += min(bytes, maxWindow)
	if !b.recovery.covers(p) {
		b.saveCwnd()
		b.recovery.begin(now)
		b.recovering = true
		b.undo = bbrUndo{bwShort: b.bwShort, inflightShort: b.inflightShort, inflightLong: b.inflightLong}
	}
	if !b.lossInRound {
		b.lossRoundDelivered = b.delivered
	}
	b.lossInRound = true
	b.lossRanges += min(ranges, bbrFullLossCount)
}

// checkInflight lowers the long-term bound if p, sent while probing, shows that
// too much was in flight.
func (b *bbr) checkInflight(p *Sent) {
	if !b.probeSample {
		return
	}
	s := &bbrSample{
		now:        p.Now,
		txInFlight: min(p.InFlight, maxWindow),
		lost:       b.lostSince(p),
		appLimited: p.AppLimited,
	}
	if !b.tooHigh(s) {
		return
	}
	s.txInFlight = s.inflightAtLoss(p.Bytes, b.lossThreshold())
	b.inflightTooHigh(s)
}

// tooHigh reports whether more was lost than the model accepts.
func (b *bbr) tooHigh(s *bbrSample) bool { return s.lost > b.acceptedLoss(s) }

// acceptedLoss is the loss threshold of what was in flight, plus two standard deviations of the
// number of packets that this stands for. Without the allowance a few packets lost by chance would
// end most probes of a path whose random loss is near the threshold. Each would lower the bound
// some more.
func (b *bbr) acceptedLoss(s *bbrSample) uint64 {
	expected := b.lossThreshold() * float64(s.txInFlight)
	return uint64(expected + 2*math.Sqrt(expected*float64(b.mtu)))
}

// inflightAtLoss estimates at which amount in flight the losses crossed the
// threshold, for the last lost packet, of the given size. Where one run of loss
// detection lost many, an earlier one crossed it, with about as much in flight.
func (s *bbrSample) inflightAtLoss(size uint64, threshold float64) uint64 {
	before := float64(s.txInFlight - min(size, s.txInFlight))
	lostBefore := float64(s.lost - min(size, s.lost))
	prefix := (threshold*before - lostBefore) / (1 - threshold)
	return uint64(before + max(prefix, 0))
}

// inflightTooHigh ends a probe, once, and lowers the long-term bound. The bound becomes what was in
// flight then, times beta, but not so little that the bandwidth-delay product and what ACKs
// aggregate do not fit with their headroom. Without beta the bounds of flows that fill a queue
// together would stay as they began: each would take back only what it added last.
func (b *bbr) inflightTooHigh(s *bbrSample) {
	b.prevProbeTooHigh = true
	b.probeSample = false
	if !s.appLimited {
		target := b.targetInflight()
		safe := max(s.txInFlight*bbrBeta/100, min(s.txInFlight, (target+b.extraAcked())*100/(100-bbrHeadroom)))
		b.inflightLong = max(safe, target*bbrBeta/100)
		b.loweredAt = b.delivered
	}
	if b.state == bbrUp {
		b.undo.state, b.undo.left = bbrUp, true
		b.startDown(s.now)
	}
}

// updateLatest takes the signals of this round. The short-term bounds are lowered to them in each
// round with losses, so what is missing in them adds up over the dozens of rounds until the next
// probe. Therefore losses within the threshold count as delivered. They do not where a queue
// stands, because the queue caused them; in bbrDown they do, because there the queue of a probe is
// being drained already. What one ACK acknowledges at once is added: a window as large as what is
// in flight between ACKs would hold the sender back.
func (b *bbr) updateLatest(s *bbrSample) {
	accepted := uint64(0)
	if b.state == bbrDown || !b.seesQueue(s) {
		accepted = min(s.dropped, b.acceptedLoss(s))
	}
	s.latestBW, s.latestInflight = s.rate, s.delivered+accepted
	if s.delivered > 0 {
		s.latestBW = muldiv.Down(s.rate, s.latestInflight, s.delivered)
	}
	s.latestInflight += s.acked
	b.lossRoundStart = false
	b.bwLatest = max(b.bwLatest, s.latestBW)
	b.inflightLatest = max(b.inflightLatest, s.latestInflight)
	if s.priorDelivered >= b.lossRoundDelivered {
		b.lossRoundDelivered = b.delivered
		b.lossRoundStart = true
	}
}

// advanceLatest begins the next round's maxima.
func (b *bbr) advanceLatest(s *bbrSample) {
	if b.lossRoundStart {
		b.bwLatest = s.latestBW
		b.inflightLatest = s.latestInflight
		b.lossInRound = false
		b.lossRanges = 0
	}
}

func (b *bbr) resetCongestionSignals() {
	b.lossInRound = false
	b.lossRanges = 0
	b.bwLatest = 0
	b.inflightLatest = 0
}

// adaptShortTerm follows the delivery process once a round with losses, unless
// the flow is probing (Section 5.5.10.3).
func (b *bbr) adaptShortTerm() {
	if !b.lossRoundStart || !b.lossInRound || b.state.accelerates() {
		return
	}
	if b.bwShort == bbrUnbounded {
		b.bwShort = b.maxBW()
	}
	if b.inflightShort == bbrUnbounded {
		b.inflightShort = b.cwnd
	}
	// What the pacing margin kept from being sent was not lost either.
	latest := muldiv.Down(b.bwLatest, 100, 100-bbrPacingMargin)
	b.bwShort = max(latest, muldiv.Down(b.bwShort, bbrBeta, 100))
	b.inflightShort = max(b.inflightLatest, muldiv.Down(b.inflightShort, bbrBeta, 100))
}

func (b *bbr) resetShortTerm() {
	b.bwShort = bbrUnbounded
	b.inflightShort = bbrUnbounded
}

// inflightWithHeadroom leaves room in the path for other flows.
func (b *bbr) inflightWithHeadroom() uint64 {
	if b.inflightLong == bbrUnbounded {
		return bbrUnbounded
	}
	headroom := max(b.mtu, b.inflightLong*bbrHeadroom/100)
	return max(b.inflightLong-min(headroom, b.inflightLong), b.minPipe())
}

// saveCwnd remembers the window before recovery or ProbeRTT lower it.
func (b *bbr) saveCwnd() {
	if !b.recovering && b.state != bbrProbeRTT {
		b.priorCwnd = b.cwnd
	} else {
		b.priorCwnd = max(b.priorCwnd, b.cwnd)
	}
}

func (b *bbr) restoreCwnd() { b.cwnd = max(b.cwnd, b.priorCwnd) }

// leaveRecovery restores the window when a packet sent after the loss arrived.
func (b *bbr) leaveRecovery(a *Ack) {
	if b.recovering && !b.recovery.covers(a.Largest) {
		b.recovering = false
		b.restoreCwnd()
	}
}

// OnSpurious undoes what the last losses changed, once all of them have arrived
// (Section 5.5.11).
func (b *bbr) OnSpurious(l *Loss) {
	if !b.recovery.spurious(l) {
		return
	}
	b.recovering = false
	b.restoreCwnd()
	b.lossInRound = false
	b.resetFullBW(0)
	b.bwShort = max(b.bwShort, b.undo.bwShort)
	b.inflightShort = max(b.inflightShort, b.undo.inflightShort)
	b.inflightLong = max(b.inflightLong, b.undo.inflightLong)
	if !b.undo.left {
		return
	}
	b.undo.left = false
	switch {
	case b.undo.state == bbrStartup && b.state != bbrStartup:
		b.fullBWReached = false
		b.newcomer = 0
		if b.state != bbrProbeRTT {
			b.state = bbrStartup
		}
	case b.undo.state == bbrUp && b.state.probesBW() && b.state != bbrUp:
		b.startRefill()
	}
}
