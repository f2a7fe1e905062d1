package conn

import (
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// lossMemory is how long a lost packet is remembered, in case it arrives after all.
func (c *Conn) lossMemory() time.Duration { return 3 * (c.path.rtt.pto() + maxAckDelay) }

// detectLost declares packets lost that were sent long enough before one that was acknowledged (RFC 9002, Section 6.1).
func (c *Conn) detectLost(sp *space, now instant) {
	sp.lossTime = 0
	if sp.largestAcked < 0 {
		return
	}
	delay := c.path.rtt.lossDelay()
	run := lossDetection{sp: sp, now: now}
	sp.scan = max(sp.scan, sp.sent.front)
	for pn := sp.scan; pn < uint64(sp.largestAcked); pn++ {
		p := sp.sent.at(pn)
		if !p.outstanding() {
			if pn == sp.scan {
				sp.scan++
			}
			run.gap = run.gap || p.flags&sentAcked != 0
			continue
		}
		if pn+packetThreshold > uint64(sp.largestAcked) && now.sub(p.time) < delay {
			// What was sent later is not lost either.
			sp.lossTime = p.time.add(delay)
			break
		}
		c.packetLost(&run, pn, p)
	}
	if run.packets > 0 {
		c.finishLoss(&run)
	}
}

// A lossDetection collects what one run of loss detection declares lost.
type lossDetection struct {
	sp          *space
	now         instant
	packets     int
	bytes       uint64 // that count for congestion control
	counted     int
	ranges      int  // rows of them
	gap         bool // a packet arrived since the last of them
	first, last uint64
	largest     sentPacket
	oldest      instant // when the first of a row of lost ack-eliciting packets was sent
}

// reason says by which threshold a packet is lost (RFC 9002, Section 6.1), in the words of qlog.
func (run *lossDetection) reason(pn uint64) string {
	if pn+packetThreshold <= uint64(run.sp.largestAcked) {
		return "reordering_threshold"
	}
	return "time_threshold"
}

// packetLost declares one packet lost.
func (c *Conn) packetLost(run *lossDetection, pn uint64, p *sentPacket) {
	p.flags |= sentLost
	if p.flags&sentEliciting != 0 {
		run.sp.eliciting--
	}
	c.leftFlight(p)
	run.packets++
	switch {
	case p.flags&sentProbePath != 0:
	case p.flags&sentProbeMTU != 0:
		if p.path == c.path.n && c.path.mtu.inFlight {
			c.path.mtu.lost(run.now)
		}
	default:
		c.stats.PacketsLost++
		c.stats.BytesLost += uint64(p.size)
		if p.path == c.path.n {
			if run.counted == 0 {
				run.first, run.oldest = pn, p.time
			}
			if run.counted == 0 || run.gap {
				run.ranges, run.gap = run.ranges+1, false
			}
			run.counted++
			run.bytes += uint64(p.size)
			run.last, run.largest = pn, *p
			if m := &c.path.mtu; p.size > minMTU && pn > m.bigAcked {
				m.bigLost++
			}
		}
	}
	if c.traced {
		c.trace(&TraceEvent{
			Kind: TracePacketLost, Packet: packetTypeOf(run.sp.id, false), Number: pn, Size: int(p.size), Reason: run.reason(pn),
		}, nil)
	}
	for i := range uint32(p.recCount) {
		if r := run.sp.recs.at(p.recStart + i); p.flags&sentAgain == 0 || r.kind == recDatagram {
			c.recordLost(run.sp, r)
		}
	}
	if p.ecn == ECT0 {
		c.path.ecn.lost++
	}
}

// finishLoss tells the congestion controller (RFC 9002, Section 7).
func (c *Conn) finishLoss(run *lossDetection) {
	c.wake()
	if run.counted == 0 {
		return
	}
	pa := c.path
	s := &c.e.scratch
	s.largest = c.sentOf(&run.largest)
	s.loss = congestion.Loss{
		Now: c.e.wall(run.now), Bytes: run.bytes, InFlight: pa.inFlight, Packets: run.counted, Ranges: run.ranges,
		Largest: &s.largest, Persistent: c.persistent(run),
	}
	pa.losses.add(run.sp, lossRun{
		space: run.sp.id, first: run.first, last: run.last, missing: run.counted, loss: s.loss,
	})
	pa.cc.OnLoss(&s.loss)
	if s.loss.Persistent {
		pa.rtt.min = pa.rtt.latest // RFC 9002, Section 5.2
	}
	if pa.mtu.bigLost >= blackHoleRun && pa.mtu.blackHole(run.now) {
		pa.cc.OnMTU(pa.mtu.current)
	}
	c.checkECNLoss()
	pa.pacing = c.pacingOf(pa)
}

// maxLossRuns is how many losses of a path are remembered.
const maxLossRuns = 16

// A lossRun is what one run of loss detection declared lost.
type lossRun struct {
	space       spaceID
	first, last uint64
	missing     int             // packets that did not arrive
	loss        congestion.Loss // without Largest
}

// lossRuns are the last runs, oldest first, to notice when all of one arrived after all.
type lossRuns []lossRun

// add remembers a run, instead of what cannot arrive any more, or of the oldest.
func (r *lossRuns) add(sp *space, l lossRun) {
	l.loss.Largest = nil
	*r = slices.DeleteFunc(*r, func(o lossRun) bool { return o.missing == 0 || o.space == sp.id && o.last < sp.sent.front })
	if len(*r) == maxLossRuns {
		*r = slices.Delete(*r, 0, 1)
	}
	*r = append(*r, l)
}

// arrived notes that a lost packet was acknowledged, and returns its run if that was the last of it.
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

// blackHoleRun is how many packets larger than what every path carries must be lost in a row to search the MTU anew (RFC
// 8899, Section 4.3).
const blackHoleRun = 6

// persistent reports persistent congestion: all that was sent over a long time is lost (RFC 9002, Section 7.6).
func (c *Conn) persistent(run *lossDetection) bool {
	pa := c.path
	if !pa.rtt.sampled || run.counted < 2 || run.sp.id != spaceApp {
		return false
	}
	limit := 3 * (pa.rtt.pto() + c.peerMaxAckDelay())
	if run.largest.time.sub(run.oldest) < limit {
		return false
	}
	// None of what was sent between may have been acknowledged.
	for pn := run.first; pn < run.last; pn++ {
		if p := run.sp.sent.at(pn); p.flags&sentAcked != 0 {
			return false
		}
	}
	return true
}

// spuriousLoss handles the acknowledgement of a packet that was declared lost.
func (c *Conn) spuriousLoss(sp *space, pn uint64, p *sentPacket) {
	if p.flags&(sentProbeMTU|sentProbePath) != 0 {
		return
	}
	c.stats.SpuriousLosses++
	if p.path != c.path.n {
		return
	}
	if l := c.path.losses.arrived(sp.id, pn); l != nil {
		s := &c.e.scratch
		s.largest, s.loss = c.sentOf(sp.sent.at(l.last)), l.loss
		s.loss.Largest = &s.largest
		c.path.cc.OnSpurious(&s.loss)
	}
}

// probeTimeout is the PTO of a space with backoff (RFC 9002, Section 6.2.1).
func (c *Conn) probeTimeout(id spaceID) time.Duration {
	d := c.path.rtt.pto()
	if id == spaceApp {
		d += c.peerMaxAckDelay()
	}
	return d << min(c.ptoCount, 20)
}

// ptoDeadline returns when probes are due, and in which space; 0 if never (RFC 9002, Section A.8).
func (c *Conn) ptoDeadline(now instant) (at instant, id spaceID) {
	if c.server && c.path.allowance() < minMTU {
		return 0, 0 // RFC 9002, Section 6.2.2.1: nothing could be sent
	}
	inFlight := false
	for i := range numSpaces {
		sp := c.spaces[i]
		if sp == nil || sp.eliciting == 0 {
			continue
		}
		inFlight = true
		if i == spaceApp && c.state != stateConfirmed {
			continue // RFC 9002, Section 6.2.1: the peer may not have the keys
		}
		if t := sp.lastEliciting.add(c.probeTimeout(i)); at == 0 || t < at {
			at, id = t, i
		}
	}
	if !inFlight && !c.peerValidated() {
		// RFC 9002, Section 6.2.2.1: a client must not let the server wait for bytes.
		id = spaceInitial
		if sp := c.spaces[spaceHandshake]; sp != nil && sp.tx != nil {
			id = spaceHandshake
		}
		last := c.lastActivity
		for i := range numSpaces {
			if sp := c.spaces[i]; sp != nil {
				last = max(last, sp.lastEliciting)
			}
		}
		at = last.add(c.probeTimeout(id))
	}
	return at, id
}

// probe sends probes (RFC 9002, Section 6.2.4).
func (c *Conn) probe(id spaceID, now instant) {
	c.ptoCount++
	c.stats.PTOs++
	sp := c.spaces[id]
	if sp == nil {
		return
	}
	sp.probes = 2
	c.sendAgain(sp)
	// RFC 9002, Section 6.2.4: the peer may have the keys of one space only. Besides, each space by itself would wait twice as often
	// as long as the backoff means.
	for i := range numSpaces {
		if other := c.spaces[i]; i != id && other != nil && other.tx != nil && other.eliciting > 0 {
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
	if c.ptoCount >= 3 && id == spaceApp {
		c.suspectECN()
		if c.path.mtu.current > minMTU && c.path.mtu.blackHole(now) {
			c.path.cc.OnMTU(c.path.mtu.current)
		}
	}
}

// sendAgain has probes of a space carry what was sent first, unless there is new data, without declaring it lost: it may be late
// only.
func (c *Conn) sendAgain(sp *space) {
	resend := 2
	for pn := sp.sent.front; pn < sp.sent.next && resend > 0; pn++ {
		p := sp.sent.at(pn)
		if !p.outstanding() || p.flags&sentEliciting == 0 || p.flags&(sentProbeMTU|sentProbePath) != 0 {
			continue
		}
		for i := range uint32(p.recCount) {
			if r := sp.recs.at(p.recStart + i); r.kind != recDatagram {
				c.recordLost(sp, r)
			}
		}
		p.flags |= sentAgain
		resend--
	}
}
