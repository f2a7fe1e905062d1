package conn

import (
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// handleAck handles an ACK frame (RFC 9000, Section 19.3; RFC 9002, Section A.7).
func (c *Conn) handleAck(p *received, b []byte) (int, error) {
	f, n := wire.ParseAck(b)
	if n <= 0 {
		return n, nil
	}
	sp := p.space
	if f.Largest >= sp.sent.next {
		return 0, violation(errProtocolViolation, wire.FrameAck, "packet %d was never sent", f.Largest)
	}
	a := ackRun{sp: sp, now: p.now, largest: f.Largest}
	if int64(f.Largest) > sp.largestAcked {
		a.newLargest = true
	}
	lowest := sp.lowestSkipped()
	ranges := f.Ranges()
	for {
		r, ok := ranges.Next()
		if !ok || r.Largest < lowest {
			break
		}
		for _, pn := range sp.skipped {
			if pn >= r.Smallest && pn <= r.Largest && pn != 0 {
				// An attacker who acknowledges what it has not received (RFC 9000, Section 21.4).
				return 0, violation(errProtocolViolation, wire.FrameAck, "packet %d was left out", pn)
			}
		}
		if r.Largest < sp.sent.front {
			continue
		}
		for pn := sp.unacked(max(r.Smallest, sp.sent.front)); pn <= r.Largest; pn++ {
			c.packetAcked(&a, pn, sp.sent.at(pn))
		}
		sp.acked.Add(max(r.Smallest, sp.sent.front), r.Largest+1)
	}
	if a.newLargest {
		sp.largestAcked = int64(f.Largest)
	}
	if a.packets > 0 {
		c.finishAck(&a, &f)
	}
	return n, nil
}

// An ackRun collects what one ACK frame newly acknowledges.
type ackRun struct {
	sp         *space
	now        instant
	largest    uint64
	newLargest bool
	packets    int
	bytes      uint64 // in flight on the path in use
	eliciting  bool
	newest     sentPacket // the largest newly acknowledged packet
	newestPN   uint64
	marked     uint64 // ECT0-marked packets
}

// packetAcked handles a packet in an ACK frame.
func (c *Conn) packetAcked(a *ackRun, pn uint64, p *sentPacket) {
	if p.flags&sentAcked != 0 {
		return
	}
	lost := p.flags&sentLost != 0
	outstanding := p.outstanding()
	p.flags |= sentAcked
	a.packets++
	if p.flags&sentEliciting != 0 {
		a.eliciting = true
	}
	if p.ecn == ECT0 {
		a.marked++
	}
	if pn >= a.newestPN {
		a.newest, a.newestPN = *p, pn
	}
	if lost {
		c.spuriousLoss(a.sp, pn, p)
		c.lateRecords(a.sp, p)
		return
	}
	if p.flags&sentEliciting != 0 {
		a.sp.eliciting--
	}
	if outstanding {
		c.leftFlight(p)
		if p.path == c.path.n {
			c.path.rate.delivered += uint64(p.size)
			a.bytes += uint64(p.size)
			if p.flags&sentProbeMTU != 0 || int(p.size) > c.path.mtu.current {
				c.mtuAcked(int(p.size))
			}
			if m := &c.path.mtu; p.size > minMTU && pn >= m.bigAcked {
				m.bigAcked, m.bigLost = pn, 0
			}
		}
	}
	for i := range uint32(p.recCount) {
		c.recordAcked(a.sp, a.sp.recs.at(p.recStart+i))
	}
}

// lateRecords notes what arrived with a packet that counts as lost, so that it is not sent again if it was not yet.
func (c *Conn) lateRecords(sp *space, p *sentPacket) {
	for i := range uint32(p.recCount) {
		if r := sp.recs.at(p.recStart + i); r.kind != recDatagram { // its loss was reported
			c.recordAcked(sp, r)
		}
	}
}

// leftFlight notes that a packet is not in flight any more. The path that was in use before may be used again.
func (c *Conn) leftFlight(p *sentPacket) {
	switch {
	case p.path == c.path.n:
		c.path.inFlight -= uint64(p.size)
	case c.oldPath != nil && p.path == c.oldPath.n:
		c.oldPath.inFlight -= uint64(p.size)
	}
}

// finishAck updates what depends on the ACK frame as a whole.
func (c *Conn) finishAck(a *ackRun, f *wire.Ack) {
	pa := c.path
	onPath := a.newest.path == pa.n
	// RFC 9002, Section 5.1: a sample needs the largest to be new, and something ack-eliciting.
	if a.newLargest && a.newestPN == a.largest && a.eliciting && onPath {
		delay := time.Duration(0)
		if a.sp.id == spaceApp {
			delay = c.decodeAckDelay(f.Delay)
		}
		pa.rtt.update(a.now.sub(a.newest.time), delay)
	}
	if onPath {
		pa.acked = true
	}
	ce := c.checkECN(a, f)
	// RFC 9002, Section 6.2.1: the backoff ends, but not for a client whose peer may not have validated its address.
	if c.server || c.peerValidated() {
		c.ptoCount = 0
	}
	rate := uint64(0)
	if onPath && a.bytes > 0 {
		rate = pa.rate.onAcked(&a.newest, a.now, pa.rtt.min)
	}
	c.detectLost(a.sp, a.now)
	if a.bytes > 0 || ce > 0 {
		c.controlAck(a, ce, rate)
	}
	a.sp.trim(a.now, c.lossMemory())
	if a.sp.id == spaceHandshake && !c.server {
		c.wake()
	}
}

// controlAck tells the congestion controller.
func (c *Conn) controlAck(a *ackRun, ce, rate uint64) {
	pa := c.path
	s := &c.e.scratch
	s.largest = c.sentOf(&a.newest)
	s.ack = congestion.Ack{
		Now: c.e.wall(a.now), Bytes: a.bytes, InFlight: pa.inFlight, CE: ce, Largest: &s.largest,
		LatestRTT: pa.rtt.latest, SmoothedRTT: pa.rtt.smoothed, MinRTT: pa.rtt.min,
		Delivered: pa.rate.delivered, PriorDelivered: a.newest.delivered, DeliveryRate: rate,
	}
	pa.cc.OnAck(&s.ack)
	pa.pacing = c.pacingOf(pa)
	c.adaptAckFrequency(a.now)
}

// sentOf returns what the controller knows of a packet.
func (c *Conn) sentOf(p *sentPacket) congestion.Sent {
	return congestion.Sent{
		Now: c.e.wall(p.time), Bytes: uint64(p.size), InFlight: p.inFlight,
		AppLimited: p.flags&sentAppLimited != 0, State: p.state,
	}
}

// controlScratch is what is lent to congestion controllers, kept here so that it does not escape to the heap.
type controlScratch struct {
	sent, largest congestion.Sent
	ack           congestion.Ack
	loss          congestion.Loss
}

// decodeAckDelay applies the exponent and limits of the peer (RFC 9002, Section 5.3).
func (c *Conn) decodeAckDelay(v uint64) time.Duration {
	d := time.Duration(min(v, 1<<32)<<c.peer.AckDelayExponent) * time.Microsecond
	if c.state == stateConfirmed {
		d = min(d, c.peerMaxAckDelay())
	}
	return d
}

// peerValidated reports whether the peer is known to have validated our address (RFC 9002, Section A.8).
func (c *Conn) peerValidated() bool {
	if c.server || c.state == stateConfirmed {
		return true
	}
	sp := c.spaces[spaceHandshake]
	return sp == nil || sp.largestAcked >= 0
}

// recordAcked handles a frame that arrived.
func (c *Conn) recordAcked(sp *space, r *record) {
	switch r.kind {
	case recStream:
		if s := r.stream; s.gen == r.gen {
			s.acked(r.value, int(r.n), r.fin)
		}
	case recCrypto:
		sp.cryptoOut.Ack(&c.e.chunks, r.value, int(r.n))
	case recAck:
		sp.recv.forget(r.value)
	case recResetStream:
		if s := r.stream; s.gen == r.gen {
			s.resetAcked()
		}
	case recRetireConnID:
		for i, x := range c.remote.retired {
			if x.seq == r.value {
				c.remote.retired = append(c.remote.retired[:i], c.remote.retired[i+1:]...)
				break
			}
		}
	case recDatagram:
		c.datagramFate(r, EventDatagramAcked)
	}
}

// recordLost handles a frame that was lost: what still matters is sent again, as it is now (RFC 9000, Section 13.3).
func (c *Conn) recordLost(sp *space, r *record) {
	k := &c.control
	switch r.kind {
	case recStream:
		if s := r.stream; s.gen == r.gen {
			s.lost(r.value, int(r.n), r.fin)
		}
	case recCrypto:
		sp.cryptoOut.Lose(r.value, int(r.n))
	case recMaxData:
		k.maxData, k.any = true, true
	case recMaxStreamData, recResetStream, recStopSending, recStreamDataBlocked:
		if s := r.stream; s.gen == r.gen {
			s.controlLost(r.kind)
		}
	case recMaxStreams:
		k.maxStreams[r.value&1], k.any = true, true
	case recDataBlocked:
		if c.streams.blocked.head != nil {
			k.dataBlocked, k.any = true, true
		}
	case recStreamsBlocked:
		if t, dir := &c.streams, r.value&1; t.next[dir] >= t.peerLimit[dir] {
			k.streamsBlocked[dir], k.any = true, true
		}
	case recNewConnID:
		for i := range c.local.ids {
			if l := &c.local.ids[i]; l.seq == r.value {
				l.due = true
				k.newIDs, k.any = true, true
			}
		}
	case recRetireConnID:
		for i := range c.remote.retired {
			if x := &c.remote.retired[i]; x.seq == r.value {
				x.due = true
				k.retireIDs, k.any = true, true
			}
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
