package conn

import (
	"math"
	"math/bits"
	"time"
)

// Bounds of what is remembered of sent packets.
const (
	// maxInFlight is how many packets of a connection may be in flight. Congestion control counts
	// bytes, so it allows a great many small packets.
	maxInFlight = 1 << 17

	// maxLost is how many packets are remembered that were declared lost.
	maxLost = 1 << 12

	// maxQuiet is how many packets are remembered that are not in flight.
	maxQuiet = 1 << 8

	// maxProbes is how many packets that validate paths may be in flight. Congestion control does
	// not limit them, and a peer that changes its address with each packet makes the Conn send one
	// for each. Packets that are older than the newest ones of so many count as lost.
	maxProbes = 1 << 7

	// maxNumbers is how far the numbers of packets in flight may be apart. Packet numbers on the
	// wire cannot tell apart more (RFC 9000, Section 17.1).
	maxNumbers = 1 << 31
)

// A ledger is the account of what a connection has in flight (RFC 9002, Section 2): by packet
// number space, in the sentPackets of each, and by path, in flights. Nothing else writes what these
// hold. A packet comes in through sent. It leaves once, through acknowledged, lost or discarded. A
// lost packet may still arrive, through spurious. A path that moves takes its flight along.
type ledger struct {
	known   [3]*estimates // with the flights of the paths that there are; nil where there is none
	left    uint64        // bytes in flight on paths that do not exist any more
	packets int           // in flight
	probes  int           // of which so many validate paths
	opened  uint32        // flights so far
	steps   uint64        // entries that were looked at: it measures work
}

// A flight is what is in flight on a path, and what arrived of it.
type flight struct {
	n        uint32 // its number, which packets carry; from 1
	inFlight uint64 // bytes
	rate     deliveryRate
}

// open returns a new flight.
func (l *ledger) open() flight {
	l.opened++
	return flight{n: l.opened}
}

// keep takes the paths that there are. What is in flight on other paths no longer counts against
// what may be sent.
func (l *ledger) keep(paths ...*path) {
	old := l.known
	l.known = [3]*estimates{}
	n := 0
	for _, p := range paths {
		if p != nil && l.index(p.n) < 0 {
			l.known[n] = p.estimates
			n++
		}
	}
	for _, m := range old {
		if m != nil && l.index(m.n) < 0 {
			l.left += m.inFlight
			m.inFlight = 0
		}
	}
}

// index returns where in known the flight of a number is, -1 if it is not there.
func (l *ledger) index(n uint32) int {
	for i, m := range l.known {
		if m != nil && m.n == n {
			return i
		}
	}
	return -1
}

// full reports whether nothing may be sent except what congestion control does not limit. overfull
// reports whether there is too much of that, too.
func (l *ledger) full() bool { return l.packets >= maxInFlight }
func (l *ledger) overfull() bool {
	return l.packets > maxInFlight+maxInFlight/64 || l.probes > maxProbes
}

// sentPackets is the part of the ledger for one packet number space. It holds the packets in flight
// from the oldest on, those declared lost for a while, and the last ones that are not in flight,
// all by number.
type sentPackets struct {
	ledger *ledger
	next   uint64 // number of the next packet
	// in flight, from the oldest; of later ones also what was acknowledged
	rows ring[sentPacket]
	recs ring[record] // of the packets in rows, in order
	late lostPackets  // declared lost
	// sent since the largest acknowledged, while something was in flight
	quiet         ring[quietPacket]
	largestAcked  int64     // -1 if none
	lossTime      instant   // when the next packet counts as lost; 0 if none
	lastEliciting instant   // when the last ack-eliciting packet was sent
	eliciting     int       // ack-eliciting packets in flight
	gap           bool      // something arrived that was sent after the last lost packet
	skipped       [4]uint64 // numbers that were left out, see skip
	nskipped      int
}

// note notes a frame of the packet that is being built. forget drops the frames from recStart on,
// which are not sent.
func (s *sentPackets) note(r record) { *s.recs.push() = r }
func (s *sentPackets) forget(recStart uint32) {
	for s.recs.tail != recStart {
		s.recs.tail--
		s.recs.at(s.recs.tail).stream = nil
	}
}

// sent notes the next packet, with the records from recStart on, as sent on a flight. What it
// returns is valid until another one is sent.
func (s *sentPackets) sent(f *flight, now instant, size int, flags uint16, recStart uint32) *sentPacket {
	p := s.rows.push()
	*p = sentPacket{}
	p.time, p.pn, p.flight = now, uint32(s.next), f.n
	p.size, p.flags, p.count = uint16(size), flags, 1
	p.recStart, p.recCount = recStart, uint16(s.recs.tail-recStart)
	s.next++
	if flags&sentEliciting != 0 {
		s.eliciting++
		s.lastEliciting = now
	}
	if flags&sentProbePath != 0 {
		s.ledger.probes++
	}
	f.rate.onSent(p, f.inFlight, now)
	f.inFlight += uint64(size)
	p.inFlight = uint32(min(f.inFlight, math.MaxUint32))
	s.ledger.packets++
	return p
}

// sentAlike notes the next packet as sent right behind those of p, the newest row, to which it
// belongs then. p asks for acknowledgements, and has less than maxAlike packets.
func (s *sentPackets) sentAlike(f *flight, p *sentPacket) {
	p.count++
	s.next++
	s.eliciting++
	f.inFlight += uint64(p.size)
	s.ledger.packets++
}

// sentQuiet notes the next packet as sent without being in flight. f is nil if it took no path that
// is known. Nothing waits for such a packet, so its records, from recStart on, are not kept.
func (s *sentPackets) sentQuiet(f *flight, now instant, recStart uint32) {
	s.forget(recStart)
	switch {
	case s.eliciting == 0: // an ACK frame that makes a sample will have a later one
		s.quiet.head = s.quiet.tail
	case f != nil && s.quiet.len() < maxQuiet:
		*s.quiet.push() = quietPacket{time: now, pn: s.next, flight: f.n}
	}
	s.next++
}

// skip leaves a packet number out. A peer that acknowledges it lies about what it received (RFC
// 9000, Section 21.4).
func (s *sentPackets) skip() {
	s.skipped[s.nskipped%len(s.skipped)] = s.next
	s.nskipped++
	s.next++
}

// skippedIn returns a number from first to last that was left out, 0 if there is none.
func (s *sentPackets) skippedIn(first, last uint64) uint64 {
	for _, pn := range s.skipped {
		if pn >= first && pn <= last && pn != 0 {
			return pn
		}
	}
	return 0
}

// number returns the number of the first packet of a row.
func (s *sentPackets) number(p *sentPacket) uint64 {
	return s.next - uint64(uint32(s.next)-p.pn)
}

// record returns record i of packet k of a row.
func (s *sentPackets) record(p *sentPacket, k int, i uint32) record {
	r := *s.recs.at(p.recStart + i)
	if k > 0 {
		r.value += uint64(k) * uint64(r.n)
	}
	return r
}

// oldest returns the lowest number of the packets that are remembered. Numbers that were left out
// do not count.
func (s *sentPackets) oldest() uint64 {
	pn := s.next
	if s.rows.len() > 0 {
		pn = s.number(s.rows.at(s.rows.head))
	}
	if s.late.len() > 0 {
		pn = min(pn, s.late.at(s.late.head).pn)
	}
	return pn
}

// lowest returns the lowest number that acknowledgements are checked for.
func (s *sentPackets) lowest() uint64 {
	low := s.oldest()
	for _, pn := range s.skipped {
		if pn != 0 {
			low = min(low, pn)
		}
	}
	return low
}

// overdue reports whether the oldest packet in flight is so old that no more numbers may be used.
func (s *sentPackets) overdue() bool {
	return s.rows.len() > 0 && s.next-s.number(s.rows.at(s.rows.head)) >= maxNumbers
}

// search returns the index of the first row that has a packet whose number is pn or more. Where no
// numbers are missing, and each row is of one packet, it takes one step.
func (s *sentPackets) search(pn uint64) uint32 {
	r := &s.rows
	n := uint64(r.len())
	if n == 0 || pn >= s.next {
		return r.tail
	}
	first := s.number(r.at(r.head))
	if pn <= first {
		return r.head
	}
	lo, hi := n-min(n, s.next-pn), min(n, pn-first)
	for lo < hi {
		s.ledger.steps++
		mid := (lo + hi) / 2
		if p := r.at(r.head + uint32(mid)); s.number(p)+uint64(p.count) <= pn {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return r.head + uint32(lo)
}

// An ackedRange goes over the packets of one range of an ACK frame.
type ackedRange struct {
	first, last uint64
	row         uint32 // next in rows
	late        uint32 // next in late
}

// ackedPackets are packets of a row that were taken out of flight at once.
type ackedPackets struct {
	*sentPacket        // valid until another packet is sent
	pn          uint64 // number of the first of them
	n           int
	on          int // index of their flight in the ledger, -1 if that is not known any more
}

// acked begins to handle the acknowledgement of the packets from first to last.
func (s *sentPackets) acked(first, last uint64) ackedRange {
	s.ledger.steps++
	r := ackedRange{first: first, last: last, row: s.search(first), late: s.late.search(first)}
	if r.row != s.rows.head && (r.row == s.rows.tail || s.number(s.rows.at(r.row)) >= first) {
		s.rows.at(r.row - 1).flags |= sentGap
	}
	return r
}

// acknowledged takes the next packets of a range out of flight, as many as lie together in a row.
// It reports whether there are any.
func (s *sentPackets) acknowledged(r *ackedRange, x *ackedPackets) bool {
	for ; r.row != s.rows.tail; r.row++ {
		s.ledger.steps++
		p := s.rows.at(r.row)
		pn := s.number(p)
		if pn > r.last {
			break
		}
		from, to := max(r.first, pn)-pn, min(r.last-pn+1, uint64(p.count))
		left := (uint64(1)<<to - uint64(1)<<from) &^ uint64(p.acked)
		if left == 0 {
			continue
		}
		k := bits.TrailingZeros64(left)
		n := bits.TrailingZeros64(^(left >> k))
		p.acked |= uint32((uint64(1)<<n - 1) << k)
		x.sentPacket, x.pn, x.n, x.on = p, pn+uint64(k), n, s.leave(p, n)
		if x.on >= 0 {
			s.ledger.known[x.on].rate.delivered += uint64(n) * uint64(p.size)
		}
		return true
	}
	return false
}

// spurious returns the next packet of a range that was declared lost; nil if there is none.
func (s *sentPackets) spurious(r *ackedRange) *lostPacket {
	i := s.late.missing(r.late, &s.ledger.steps)
	if i == s.late.tail {
		return nil
	}
	p := s.late.at(i)
	if p.pn > r.last {
		return nil
	}
	p.arrived = 1
	r.late = i + 1
	return p
}

// reached takes in the largest number of an ACK frame. It reports whether that is larger than all
// before. If the packet was not in flight, q says when it was sent and on which flight.
func (s *sentPackets) reached(largest uint64) (larger bool, q quietPacket) {
	if int64(largest) <= s.largestAcked {
		return false, q
	}
	s.largestAcked = int64(largest)
	for ; s.quiet.len() > 0; s.quiet.head++ {
		s.ledger.steps++
		if x := s.quiet.at(s.quiet.head); x.pn > largest {
			break
		} else if x.pn == largest {
			q = *x
		}
	}
	return true, q
}

// leave takes n packets of a row out of flight. It returns the index of their flight, -1 if that is
// not known.
func (s *sentPackets) leave(p *sentPacket, n int) (on int) {
	l := s.ledger
	l.packets -= n
	if p.flags&sentEliciting != 0 {
		s.eliciting -= n
	}
	if p.flags&sentProbePath != 0 {
		l.probes -= n
	}
	bytes := uint64(n) * uint64(p.size)
	if on = l.index(p.flight); on >= 0 {
		l.known[on].inFlight -= bytes
	} else {
		l.left -= bytes
	}
	return on
}

// pop forgets the n oldest packets, which are of one row, and not in flight any more.
func (s *sentPackets) pop(n int) {
	if p := s.rows.at(s.rows.head); n < int(p.count) {
		r := s.recs.at(p.recStart)
		r.value += uint64(n) * uint64(r.n)
		p.pn += uint32(n)
		p.inFlight += uint32(n) * uint32(p.size)
		p.count -= uint16(n)
		p.acked, p.again = p.acked>>n, p.again>>n
		return
	}
	s.rows.head++
	head := s.recs.tail
	if s.rows.len() > 0 {
		head = s.rows.at(s.rows.head).recStart
	}
	dropRecords(&s.recs, head)
}

// dropRecords drops the records before the index head. What stays in their place must not lead to a
// stream: that may serve another connection by now, and would keep it in memory after its end.
func dropRecords(r *ring[record], head uint32) {
	for ; r.head != head; r.head++ {
		r.at(r.head).stream = nil
	}
}

// A declaredLost is a packet that was declared lost.
type declaredLost struct {
	sentPacket        // the first of its row
	pn         uint64 // its number
	on         int    // index of its flight in the ledger, -1 if that is not known any more
	gap        bool   // something arrived that was sent between it and the one before
	// its records are in late: valid until the next one is lost; nil if it validates a path
	late *lostPacket
}

// lost takes the oldest packet out of flight, if it was sent long enough before one that was
// acknowledged (RFC 9002, Section 6.1), or if there are too many of them. Otherwise it sets
// lossTime.
// RFC 9002, Section 6.1.2 [1]; RFC 9002, Section 7.4 [1].
func (s *sentPackets) lost(now instant, delay time.Duration) (d declaredLost, ok bool) {
	s.lossTime = 0
	for s.rows.len() > 0 {
		s.ledger.steps++
		p := s.rows.at(s.rows.head)
		if n := bits.TrailingZeros32(^p.acked); n > 0 {
			s.gap = true
			s.pop(n)
			continue
		}
		pn := s.number(p)
		if !s.ledger.overfull() {
			if int64(pn) > s.largestAcked {
				break
			}
			if int64(pn)+packetThreshold > s.largestAcked && now.sub(p.time) < delay {
				// RFC 9002, Section 6.1.2 [3].
				s.lossTime = p.time.add(delay) // what was sent later is not lost either
				break
			}
		}
		d = declaredLost{sentPacket: *p, pn: pn, on: s.leave(p, 1), gap: s.gap}
		if p.again&1 != 0 {
			d.flags |= sentAgain
		}
		if p.flags&sentProbePath == 0 { // whose frames are not sent again
			d.late = s.late.add(&d.sentPacket, pn, &s.recs)
		}
		s.gap = p.flags&sentGap != 0 && p.count == 1
		s.pop(1)
		return d, true
	}
	return d, false
}

// A repetition goes over the packets in flight.
type repetition struct {
	row    uint32
	packet int // of the row
}

// repeat begins with the oldest packet in flight.
func (s *sentPackets) repeat() repetition { return repetition{row: s.rows.head} }

// again returns the next packet, as packet k of a row, whose frames a probe may carry; p is nil if
// there is none. Those whose frames were sent again already count if twice is set.
func (s *sentPackets) again(i *repetition, twice bool) (p *sentPacket, k int) {
	for ; i.row != s.rows.tail; i.row, i.packet = i.row+1, 0 {
		s.ledger.steps++
		p = s.rows.at(i.row)
		if p.flags&(sentEliciting|sentProbeMTU|sentProbePath) != sentEliciting {
			continue
		}
		not := p.acked | uint32(uint64(1)<<i.packet-1)
		if !twice {
			not |= p.again
		}
		if k = bits.TrailingZeros32(^not); k < int(p.count) {
			p.again |= 1 << k
			i.packet = k + 1
			return p, k
		}
	}
	return nil, 0
}

// discarded takes all packets out of flight, as if they had not been sent: their keys are
// discarded, or the peer cannot have them (RFC 9002, Sections 6.3 and 6.4). each, if not nil, gets
// their records.
func (s *sentPackets) discarded(each func(*record)) {
	for ; s.rows.len() > 0; s.pop(1) {
		p := s.rows.at(s.rows.head)
		if p.acked&1 != 0 {
			continue
		}
		s.leave(p, 1)
		for i := range uint32(p.recCount) {
			if each != nil {
				each(s.recs.at(p.recStart + i))
			}
		}
	}
	s.late.forget(never, 0)
	s.quiet.head = s.quiet.tail
	s.lossTime = 0
}

// oversized reports whether memory is held that an idle connection should not have.
func (s *sentPackets) oversized() bool {
	return s.rows.oversized() || s.rows.len() == 0 && (s.late.len() > 0 || s.late.oversized())
}

// tidy gives back the memory of what is empty.
func (s *sentPackets) tidy(now instant, memory time.Duration) {
	s.late.forget(now, memory)
	if s.rows.oversized() {
		s.rows.release()
		s.recs.release()
		s.quiet.release()
	}
	if s.late.oversized() {
		s.late.release()
		s.late.recs.release()
	}
}

// bytes returns how much memory is held.
func (s *sentPackets) bytes() int {
	const row, rec, late, quiet = 112, 24, 40, 24
	return row*len(s.rows.buf) + rec*(len(s.recs.buf)+len(s.late.recs.buf)) + late*len(s.late.buf) + quiet*len(s.quiet.buf)
}
