package conn

import (
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// handleAck handles an ACK frame (RFC 9000, Section 19.3; RFC 9002, Section A.7).
// RFC 9000, Section 19.3 [1].
// draft-ietf-quic-multipath-21, Section 2.3 [2].
func (c *Conn) handleAck(p *received, b []byte) (int, error) {
	f, n := wire.ParseAck(b)
	if n <= 0 {
		return n, nil
	}
	// draft-ietf-quic-multipath-21, Section 2.3: it is for the path 0.
	return n, c.acknowledged(p, p.space.crypto(), &f, wire.FrameAck)
}

// acknowledged handles what a frame acknowledges in a space.
func (c *Conn) acknowledged(p *received, sp *space, f *wire.Ack, typ uint64) error {
	s := &sp.sent
	if f.Largest >= s.next {
		// RFC 9000, Section 13.1 [2].
		return violation(errProtocolViolation, typ, "received ACK for an unsent packet: %d", f.Largest)
	}
	if k := &c.keys; sp.id == spaceApp && wire.KeyPhase(p.pkt[0]) != k.txPhase && f.Largest >= sp.phase.firstSent {
		// RFC 9001, Section 6.2: a peer must update its own keys before it acknowledges a packet
		// with new keys. If it does not, we may close.
		return violation(errKeyUpdate, typ, "packet %d has newer keys than its acknowledgement", f.Largest)
	}
	if sp == c.app && c.acksRejected(f) {
		return violation(errProtocolViolation, typ, "early data that was rejected is acknowledged")
	}
	a := ackRun{sp: sp, now: p.now, largest: f.Largest, waited: p.at.waited}
	lowest := s.lowest()
	ranges := f.Ranges()
	for {
		r, ok := ranges.Next()
		if !ok || r.Largest < lowest {
			break
		}
		if pn := s.skippedIn(r.Smallest, r.Largest); pn != 0 {
			// An attacker who acknowledges what it has not received (RFC 9000, Section 21.4).
			return violation(errProtocolViolation, typ, "packet %d was left out", pn)
		}
		c.rangeAcked(&a, r.Smallest, r.Largest)
	}
	larger, q := s.reached(f.Largest)
	if a.newLargest = larger; q.flight != 0 {
		a.sentAt, a.flight = q.time, q.flight
	}
	if a.packets > 0 || larger {
		c.finishAck(&a, f)
		c.releaseReserve()
	}
	return nil
}

// An ackRun collects what one ACK frame newly acknowledges.
type ackRun struct {
	sp         *space
	now        instant
	largest    uint64
	newLargest bool    // larger than in all frames before
	sentAt     instant // when the largest was sent, if it is newly acknowledged
	flight     uint32  // in which it counted, likewise; 0 if that is not known
	packets    int
	eliciting  bool
	waited     time.Duration // until the packet could be opened
	marked     uint64        // ECT0-marked packets on the path in use
	otherwise  uint64        // such packets on other paths
	on         [len(ledger{}.known)]ackedFlight
}

// An ackedFlight is the part of an ackRun that was in flight on one path.
type ackedFlight struct {
	bytes  uint64
	newest *sentPacket // the row of the largest newly acknowledged packet
	pn     uint64      // its number
}

// rangeAcked handles a range of an ACK frame.
func (c *Conn) rangeAcked(a *ackRun, first, last uint64) {
	s := &a.sp.sent
	r := s.acked(first, last)
	var x ackedPackets
	for s.acknowledged(&r, &x) {
		c.packetsAcked(a, &x)
	}
	for p := s.spurious(&r); p != nil; p = s.spurious(&r) {
		a.note(1, p.flags, p.flight == a.sp.lane.path.n)
		c.spuriousLoss(a.sp, p)
	}
}

// note counts n newly acknowledged packets.
func (a *ackRun) note(n int, flags uint16, inUse bool) {
	a.packets += n
	a.eliciting = a.eliciting || flags&sentEliciting != 0
	switch {
	case flags&sentECT0 == 0:
	case inUse:
		a.marked += uint64(n)
	default:
		a.otherwise += uint64(n)
	}
}

// packetsAcked handles newly acknowledged packets.
func (c *Conn) packetsAcked(a *ackRun, p *ackedPackets) {
	s, l := &a.sp.sent, a.sp.lane
	a.note(p.n, p.flags, p.flight == l.path.n)
	last := p.pn + uint64(p.n) - 1
	if c.qlog != nil {
		for pn := p.pn; pn <= last; pn++ {
			c.qlog.Acked(pn)
		}
	}
	if a.largest >= p.pn && a.largest <= last {
		a.sentAt, a.flight = p.time, p.flight
	}
	if p.on >= 0 {
		x, m := &a.on[p.on], l.ledger.known[p.on]
		x.bytes += uint64(p.n) * uint64(p.size)
		if x.newest == nil || last > x.pn {
			x.newest, x.pn = p.sentPacket, last
		}
		for pn := p.pn; pn <= last && (p.flags&sentProbeMTU != 0 || int(p.size) > m.mtu.current); pn++ {
			c.mtuAcked(m, pn, int(p.size))
		}
		if p.size > minMTU && last >= m.mtu.bigAcked {
			m.mtu.bigAcked, m.mtu.bigLost = last, 0
		}
	}
	if p.count == 1 {
		for i := range uint32(p.recCount) {
			c.recordAcked(a.sp, s.recs.at(p.recStart+i))
		}
		return
	}
	// Their bytes lie one behind another.
	r := s.record(p.sentPacket, int(p.pn-s.number(p.sentPacket)), 0)
	if r.stream.gen == r.gen {
		r.stream.acked(r.value, p.n*int(r.n), false)
	}
}

// finishAck updates what depends on the ACK frame as a whole.
func (c *Conn) finishAck(a *ackRun, f *wire.Ack) {
	l := a.sp.lane
	pa := l.path
	if c.qlog != nil {
		c.qlogOn(l)
		c.qlog.PacketsAcked(c.e.wall(a.now), qlogSpaces[a.sp.id])
		c.qlog.OnPath(0)
	}
	// RFC 9002, Section 5.1: a sample needs the largest to be new, and something ack-eliciting.
	// RFC 9002, Section 5.1 [1, 2]; RFC 9000, Section 9.4 [1].
	// What was sent before a sleep would tell how long that was.
	if a.newLargest && a.eliciting && a.flight == pa.n && a.sentAt >= c.e.woke {
		delay := time.Duration(0)
		if a.sp.id == spaceApp {
			delay = c.decodeAckDelay(f.Delay)
		}
		pa.rtt.update(a.now.sub(a.sentAt)-a.waited, delay) // RFC 9002, Section 5.3 [5]
		if f := c.e.cfg.RTTSample; f != nil {
			f(c, pa.rtt.latest)
		}
	}
	pa.ecn.ce += c.checkECN(a, f)
	// RFC 9002, Section 6.2.1: the backoff ends, but not for a client whose peer may not have
	// validated its address.
	if c.server || c.peerValidated() {
		l.answered()
	}
	var rates [len(a.on)]uint64
	for i := range a.on {
		if x := &a.on[i]; x.newest != nil {
			m := l.ledger.known[i]
			rates[i] = m.rate.onAcked(x.newest, a.now, m.rtt.min)
		}
	}
	c.detectLost(a.sp, a.now)
	for i := range a.on {
		if x := &a.on[i]; x.newest != nil {
			c.controlAck(l.ledger.known[i], a, x, rates[i])
		}
	}
	a.sp.sent.late.forget(a.now, l.lossMemory())
	if a.sp.id == spaceHandshake && !c.server {
		c.wake()
	}
}

// controlAck tells the congestion controller of a path.
func (c *Conn) controlAck(m *estimates, a *ackRun, x *ackedFlight, rate uint64) {
	s := &c.e.scratch
	s.largest = c.sentOf(x.newest, x.pn)
	s.ack = congestion.Ack{
		Now: c.e.wall(a.now), Bytes: x.bytes, InFlight: m.inFlight, CE: m.ecn.ce, Largest: &s.largest,
		LatestRTT: m.rtt.latest, SmoothedRTT: m.rtt.smoothed, MinRTT: m.rtt.min,
		Delivered: m.rate.delivered, PriorDelivered: x.newest.delivered, DeliveryRate: rate,
	}
	m.ecn.ce = 0
	m.cc.OnAck(&s.ack)
	c.repace(m)
	if m == a.sp.lane.path.estimates {
		c.adaptAckFrequency(a.now)
	}
}

// sentOf returns what the controller knows of the packet pn of a row.
func (c *Conn) sentOf(p *sentPacket, pn uint64) congestion.Sent {
	before := int32(uint32(pn) - p.pn) // negative if the row has lost its first packets meanwhile
	return congestion.Sent{
		Now: c.e.wall(p.time), Bytes: uint64(p.size), InFlight: uint64(int64(p.inFlight) + int64(before)*int64(p.size)),
		AppLimited: p.flags&sentAppLimited != 0, State: p.state,
	}
}

// controlScratch holds the values that are lent to congestion controllers. The Endpoint keeps it,
// so that they are not allocated each time.
type controlScratch struct {
	sent, largest congestion.Sent
	ack           congestion.Ack
	loss          congestion.Loss
}

// decodeAckDelay applies the exponent and limits of the peer (RFC 9002, Section 5.3).
// RFC 9002, Section 5.3 [1, 2, 3].
func (c *Conn) decodeAckDelay(v uint64) time.Duration {
	d := time.Duration(min(v, 1<<32)<<c.peer.AckDelayExponent) * time.Microsecond
	if c.state == stateConfirmed {
		d = min(d, c.peerMaxAckDelay())
	}
	return d
}

// peerValidated reports whether the peer is known to have validated our address (RFC 9002,
// Section A.8).
func (c *Conn) peerValidated() bool {
	if c.server || c.state == stateConfirmed {
		return true
	}
	sp := c.spaces[spaceHandshake]
	return sp == nil || sp.sent.largestAcked >= 0
}

// recordAcked handles a frame that arrived.
func (c *Conn) recordAcked(sp *space, r *record) {
	switch r.kind {
	case recStream, recStreamCopy:
		if s := r.stream; s.gen == r.gen {
			s.acked(r.value, int(r.n), r.fin)
		}
	case recCrypto:
		sp.crypto().cryptoOut.Ack(&c.chunks, r.value, int(r.n))
	case recAck:
		if sp.lane.id != r.gen {
			if l := c.laneOf(r.gen); l != nil {
				l.app.recv.forget(r.value)
			}
			break
		}
		sp.recv.forget(r.value) // RFC 9000, Section 13.2.3 [2]
	case recNewConnID:
		if l := c.laneOf(r.gen); l != nil && !l.local.known {
			l.local.known = true
			c.noteAvailable()
		}
	case recPathAbandon:
		if l := c.laneOf(r.gen); l != nil {
			l.status.abandonAcked = true
		}
	case recResetStream:
		if s := r.stream; s.gen == r.gen {
			s.resetAcked()
		}
	case recRetireConnID:
		if l := c.laneOf(r.gen); l != nil {
			q := &l.remote
			q.retired = slices.DeleteFunc(q.retired, func(x retiredID) bool { return x.seq == r.value })
		}
	case recDatagram:
		c.datagramFate(r, EventDatagramAcked)
	}
}

// recordLost handles a frame that was lost. What still matters is sent again, with the value of the
// moment (RFC 9000, Section 13.3).
func (c *Conn) recordLost(sp *space, r *record) {
	k := &c.control
	switch r.kind {
	case recStream:
		if s := r.stream; s.gen == r.gen {
			s.lost(r.value, int(r.n), r.fin)
		}
	case recCrypto:
		sp.crypto().cryptoOut.Lose(&c.chunks, r.value, int(r.n))
		if c.qlog != nil {
			c.qlog.CryptoLost(c.e.wall(c.e.now), r.value, int(r.n))
		}
	case recMaxData:
		k.maxData, k.any = true, true
	case recMaxStreamData, recResetStream, recStopSending, recStreamDataBlocked:
		if s := r.stream; s.gen == r.gen {
			s.controlLost(r.kind)
		}
	case recMaxStreams:
		k.maxStreams[r.value&1], k.any = true, true
	case recDataBlocked:
		if !c.streams.send.blocked.Empty() {
			k.dataBlocked, k.any = true, true
		}
	case recStreamsBlocked:
		if t, dir := &c.streams, r.value&1; t.next[dir] >= t.peerLimit[dir] {
			k.streamsBlocked[dir], k.any = true, true
		}
	case recNewConnID:
		if l := c.laneOf(r.gen); l != nil && l.state != laneAbandoned && l.local.lost(r.value) {
			k.newIDs, k.any = true, true
		}
	case recRetireConnID:
		if l := c.laneOf(r.gen); l != nil && l.remote.lost(r.value) {
			k.retireIDs, k.any = true, true
		}
	case recMaxPathID, recPathsBlocked, recPathAbandon, recPathStatus:
		if c.multi != nil {
			c.multi.pathFrameLost(r)
		}
	case recHandshakeDone:
		k.handshakeDone, k.any = true, true
	case recNewToken:
		k.newToken, k.any = true, true
	case recAckFrequency:
		if r.value+1 == c.ackFreq.nextSeq {
			c.ackFreq.due, k.any = true, true
		}
	case recDatagram:
		c.datagramFate(r, EventDatagramLost)
	}
}
