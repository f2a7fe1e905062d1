package conn

import (
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// lossMemory is how long a lost packet is remembered, in case it arrives after all.
func (l *lane) lossMemory() time.Duration { return 3 * (l.path.rtt.pto() + maxAckDelay) }

// detectLost declares packets lost that were sent long enough before one that was acknowledged
// (RFC 9002, Section 6.1).
func (c *Conn) detectLost(sp *space, now instant) {
	run := lossDetection{sp: sp, now: now}
	l := sp.lane
	delay := l.path.rtt.lossDelay()
	for d, ok := sp.sent.lost(now, delay); ok; d, ok = sp.sent.lost(now, delay) {
		c.packetLost(&run, &d)
	}
	if run.packets == 0 {
		return
	}
	c.wake()
	for i := range run.on {
		if x := &run.on[i]; x.packets > 0 {
			c.finishLoss(l.ledger.known[i], &run, x)
		}
	}
}

// A lossDetection collects what one run of loss detection declares lost.
type lossDetection struct {
	sp      *space
	now     instant
	packets int
	on      [len(ledger{}.known)]lostFlight
}

// A lostFlight is the part of a lossDetection that was in flight on one path, and counts for
// congestion control.
type lostFlight struct {
	bytes       uint64
	packets     int
	ranges      int  // rows of them
	gap         bool // a packet arrived since the last of them
	first, last uint64
	largest     sentPacket
	oldest      instant // when the first was sent
}

// reason says by which threshold a packet is lost (RFC 9002, Section 6.1), in the words of qlog.
func (run *lossDetection) reason(pn uint64) string {
	if int64(pn)+packetThreshold <= run.sp.sent.largestAcked {
		return "reordering_threshold"
	}
	return "time_threshold"
}

// packetLost handles a packet that was declared lost.
func (c *Conn) packetLost(run *lossDetection, d *declaredLost) {
	run.packets++
	for i := range run.on {
		run.on[i].gap = run.on[i].gap || d.gap
	}
	var m *estimates
	if d.on >= 0 {
		m = run.sp.lane.ledger.known[d.on]
	}
	switch {
	case d.flags&sentProbePath != 0:
	case d.flags&sentProbeMTU != 0: // RFC 9000, Section 14.4 [1]
		if m != nil {
			m.mtu.lost(run.now, d.pn)
		}
	default:
		c.stats.PacketsLost++
		run.sp.lane.traffic.PacketsLost++
		c.stats.BytesLost += uint64(d.size)
		if m != nil {
			run.on[d.on].add(d)
			if m.mtu.bigAcked < d.pn && d.size > minMTU {
				m.mtu.bigLost++
			}
		}
	}
	if m != nil && d.flags&sentECT0 != 0 {
		m.ecn.lost++
	}
	if c.traced {
		c.trace(&TraceEvent{
			Kind: TracePacketLost, Packet: packetTypeOf(run.sp.id, false), Path: PathID(run.sp.lane.id),
			Number: d.pn, Size: int(d.size), Reason: run.reason(d.pn),
		}, nil)
	}
	if d.late == nil {
		return
	}
	late := &run.sp.sent.late
	for i := range uint32(d.late.recCount) {
		if r := late.recs.at(d.late.recStart + i); d.flags&sentAgain == 0 || r.kind == recDatagram {
			c.recordLost(run.sp, r)
		}
	}
}

// add counts a packet.
func (x *lostFlight) add(d *declaredLost) {
	if x.packets == 0 {
		x.first, x.oldest = d.pn, d.time
	}
	if x.packets == 0 || x.gap {
		x.ranges, x.gap = x.ranges+1, false
	}
	x.packets++
	x.bytes += uint64(d.size)
	x.last, x.largest = d.pn, d.sentPacket
}

// finishLoss tells the congestion controller of a path (RFC 9002, Section 7).
// RFC 9000, Section 13.3 [7].
func (c *Conn) finishLoss(m *estimates, run *lossDetection, x *lostFlight) {
	s := &c.e.scratch
	s.largest = c.sentOf(&x.largest, x.last)
	s.loss = congestion.Loss{
		Now: c.e.wall(run.now), Bytes: x.bytes, InFlight: m.inFlight, Packets: x.packets, Ranges: x.ranges,
		Largest: &s.largest, Persistent: c.persistent(m, run, x),
	}
	m.losses.add(run.sp, lossRun{
		space: run.sp.id, first: x.first, last: x.last, missing: x.packets, loss: s.loss, largest: s.largest,
	})
	m.cc.OnLoss(&s.loss)
	if s.loss.Persistent {
		m.rtt.min = m.rtt.latest // RFC 9002, Section 5.2 [3, 4]
	}
	if m.mtu.bigLost >= blackHoleRun && m.mtu.blackHole(run.sp.sent.next) {
		m.cc.OnMTU(m.mtu.current)
	}
	m.ecn.checkLoss()
	c.repace(m)
}

// maxLossRuns is how many losses of a path are remembered.
const maxLossRuns = 16

// A lossRun is what one run of loss detection declared lost.
type lossRun struct {
	space       spaceID
	first, last uint64
	missing     int             // packets that did not arrive
	loss        congestion.Loss // its Largest is largest
	largest     congestion.Sent
}

// lossRuns are the last runs, oldest first. They show when all packets of a run arrived after all.
type lossRuns []lossRun

// add remembers a run. It forgets runs of which nothing more can arrive, and the oldest if there
// are too many.
func (r *lossRuns) add(sp *space, l lossRun) {
	l.loss.Largest = nil
	*r = slices.DeleteFunc(*r, func(o lossRun) bool { return o.missing == 0 || o.space == sp.id && o.last < sp.sent.oldest() })
	if len(*r) == maxLossRuns {
		*r = slices.Delete(*r, 0, 1)
	}
	*r = append(*r, l)
}

// arrived notes that a lost packet was acknowledged. It returns the run of the packet if nothing
// else of it is missing.
func (r lossRuns) arrived(id spaceID, pn uint64) *lossRun {
	for i := range r {
		if l := &r[i]; l.space == id && pn >= l.first && pn <= l.last && l.missing > 0 {
			if l.missing--; l.missing == 0 {
				return l
			}
			return nil
		}
	}
	return nil
}

// blackHoleRun is how many packets in a row, larger than what every path carries, must be lost
// before the MTU is searched anew (RFC 8899, Section 4.3).
const blackHoleRun = 6

// persistentThreshold is how many probe timeouts make congestion persistent (RFC 9002, Section
// 7.6.1).
const persistentThreshold = 3 // RFC 9002, Section 7.6.1 [1]

// persistent reports persistent congestion: all that was sent over a long time is lost (RFC 9002,
// Section 7.6).
func (c *Conn) persistent(m *estimates, run *lossDetection, x *lostFlight) bool {
	// None of what was sent between may have been acknowledged.
	// RFC 9002, Section 7.6.2 [1, 2].
	if !m.rtt.sampled || x.packets < 2 || x.ranges > 1 || run.sp.id != spaceApp {
		return false
	}
	return x.largest.time.sub(x.oldest) >= persistentThreshold*(m.rtt.pto()+c.peerMaxAckDelay())
}

// spuriousLoss handles the acknowledgement of a packet that was declared lost. Its frames are not
// sent again if they were not yet.
// RFC 9000, Section 13.3 [6].
func (c *Conn) spuriousLoss(sp *space, p *lostPacket) {
	for i := range uint32(p.recCount) {
		// its loss was reported
		if r := sp.sent.late.recs.at(p.recStart + i); r.kind != recDatagram {
			c.recordAcked(sp, r)
		}
	}
	if p.flags&sentProbeMTU != 0 {
		return
	}
	c.stats.SpuriousLosses++
	led := &sp.lane.ledger
	on := led.index(p.flight)
	if on < 0 {
		return
	}
	m := led.known[on]
	if l := m.losses.arrived(sp.id, p.pn); l != nil {
		s := &c.e.scratch
		s.largest, s.loss = l.largest, l.loss
		s.loss.Largest = &s.largest
		m.cc.OnSpurious(&s.loss)
	}
}

// probeTimeout is the PTO of a space with backoff (RFC 9002, Section 6.2.1).
// RFC 9002, Section 6.2.1 [5].
func (l *lane) probeTimeout(id spaceID) time.Duration {
	d := l.path.rtt.pto()
	if id == spaceApp {
		d += l.conn.peerMaxAckDelay()
	}
	return d << min(l.timeouts.count, 20)
}

// ptoDeadline returns when probes are due, and in which space; 0 if never (RFC 9002, Section A.8).
// RFC 9002, Section 6.2.1 [2, 4].
func (c *Conn) ptoDeadline(now instant) (at instant, id spaceID) {
	if c.server && c.path.allowance() < minMTU {
		// RFC 9002, Section 6.2.2.1 [1].
		return 0, 0 // RFC 9002, Section 6.2.2.1: nothing could be sent
	}
	last := c.lastActivity
	for i := range numSpaces {
		sp := c.spaces[i]
		if sp == nil || i == spaceApp && c.state != stateConfirmed {
			// RFC 9002, Section 6.2.1 [3].
			continue // RFC 9002, Section 6.2.1: the peer may not have the keys
		}
		last = max(last, sp.sent.lastEliciting)
		if sp.sent.eliciting == 0 {
			continue
		}
		if t := sp.sent.lastEliciting.add(c.probeTimeout(i)); at == 0 || t < at {
			at, id = t, i
		}
	}
	// RFC 9002, Section 6.2.2.1 [2, 3]; RFC 9000, Section 8.1 [4, 5].
	if at == 0 && !c.peerValidated() {
		// RFC 9002, Section 6.2.2.1: a client must not let the server wait for bytes, even if
		// packets are in flight for which no probe timeout is set.
		id = spaceInitial
		if sp := c.spaces[spaceHandshake]; sp != nil && sp.tx != nil {
			id = spaceHandshake
		}
		at = last.add(c.probeTimeout(id))
	}
	return at, id
}

// probe sends probes (RFC 9002, Section 6.2.4).
// RFC 9002, Section 6.2 [1]; RFC 9002, Section 6.2.4 [1, 2].
func (c *Conn) probe(id spaceID, now instant) {
	if id == spaceApp && c.multi != nil {
		c.lane.probe(now)
		return
	}
	silent := c.probed(now)
	sp := c.spaces[id]
	if sp == nil {
		return
	}
	sp.probes = 2
	c.sendAgain(sp)
	// RFC 9002, Section 6.2.4: the peer may have the keys of one space only. Besides, if the spaces
	// took turns, each would be probed only half as often as the backoff means.
	for i := range numSpaces {
		// RFC 9002, Section 6.2.4 [3].
		if other := c.spaces[i]; i != id && other != nil && other.tx != nil && other.unanswered() {
			other.probes = max(other.probes, 1)
			c.sendAgain(other)
		}
	}
	if id == spaceInitial && !c.server {
		// Both spaces: the server may need either.
		if h := c.spaces[spaceHandshake]; h != nil && h.tx != nil {
			h.probes = 1
		}
	}
	if id != spaceApp {
		c.doubtMTU()
	}
	if silent && id == spaceApp {
		c.suspectECN()
		if c.path.mtu.current > minMTU && c.path.mtu.blackHole(sp.sent.next) {
			c.path.cc.OnMTU(c.path.mtu.current)
		}
	}
}

// unanswered reports whether the peer may lack something of the space: a packet is under way that
// asks for an acknowledgement, or CRYPTO data waits to be sent, for the first time or again. It may
// wait for a congestion window that packets fill which the peer cannot open without it.
func (sp *space) unanswered() bool {
	if sp.sent.eliciting > 0 {
		return true
	}
	if sp.id == spaceApp {
		return false
	}
	_, lost := sp.cryptoOut.NextLost()
	return lost > 0 || sp.cryptoOut.Unsent() > 0
}

// sendAgain makes the probes of a space carry the frames that were sent first. Their packets are
// not declared lost, because they may only be late.
func (c *Conn) sendAgain(sp *space) {
	i := sp.sent.repeat()
	for range 2 {
		p, k := sp.sent.again(&i, true)
		if p == nil {
			return
		}
		c.sendFramesAgain(sp, p, k)
	}
}

// sendFramesAgain makes probes carry the frames of packet k of a row.
func (c *Conn) sendFramesAgain(sp *space, p *sentPacket, k int) {
	for i := range uint32(p.recCount) {
		if r := sp.sent.record(p, k, i); r.kind != recDatagram {
			c.recordLost(sp, &r)
		}
	}
}
