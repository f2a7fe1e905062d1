package conn

import (
	"cmp"
	"fmt"
	"math/bits"
	"strconv"
	"testing"
	"unsafe"
)

// A LedgerCheck holds the ledger of a connection against what it is made of. Simulations call it
// after every step.
type LedgerCheck struct {
	delivered map[*estimates]uint64 // Delivered at the last call
	bytes     flightBytes
}

// flightBytes are bytes in flight, by the number of the flight.
type flightBytes []struct {
	n     uint32
	bytes uint64
}

// of returns the bytes of one flight.
func (b *flightBytes) of(n uint32) *uint64 {
	for i := range *b {
		if x := &(*b)[i]; x.n == n {
			return &x.bytes
		}
	}
	*b = append(*b, struct {
		n     uint32
		bytes uint64
	}{n: n})
	return &(*b)[len(*b)-1].bytes
}

// Check returns what is wrong with the ledger of c, nil if nothing is.
func (k *LedgerCheck) Check(c *Conn) error {
	if c == nil || c.closed {
		return nil
	}
	if err := k.checkLane(&c.lane, c.spaces[:]); err != nil || c.multi == nil {
		return err
	}
	for _, l := range c.multi.lanes {
		if l.id == 0 || l.path == nil {
			continue
		}
		if err := k.checkLane(l, []*space{l.app}); err != nil {
			return fmt.Errorf("path ID %d: %w", l.id, err)
		}
	}
	return nil
}

// checkLane checks the ledger of a lane, which has these spaces.
func (k *LedgerCheck) checkLane(c *lane, spaces []*space) error {
	l := &c.ledger
	k.bytes = k.bytes[:0]
	packets, probes := 0, 0
	for _, sp := range spaces {
		if sp == nil {
			continue
		}
		n, err := checkSent(&sp.sent, &k.bytes)
		if err != nil {
			return fmt.Errorf("space %d: %w", sp.id, err)
		}
		packets += n
		probes += probesIn(&sp.sent)
	}
	if probes != l.probes || probes > maxProbes {
		return fmt.Errorf("%d packets that validate paths count as in flight, and %d are", l.probes, probes)
	}
	if packets != l.packets {
		return fmt.Errorf("%d packets count as in flight, and %d are", l.packets, packets)
	}
	if l.index(c.path.n) < 0 {
		return fmt.Errorf("the ledger does not know the path in use")
	}
	if k.delivered == nil {
		k.delivered = make(map[*estimates]uint64)
	}
	for i, m := range l.known {
		if m == nil {
			continue
		}
		if l.index(m.n) != i {
			return fmt.Errorf("flight %d is there twice", m.n)
		}
		n := k.bytes.of(m.n)
		if m.inFlight != *n {
			return fmt.Errorf("%d bytes count as in flight on path %d, but packets of %d bytes are", int64(m.inFlight), i, *n)
		}
		*n = 0
		if m.rate.delivered < k.delivered[m] {
			return fmt.Errorf("delivered went back from %d to %d", k.delivered[m], m.rate.delivered)
		}
		k.delivered[m] = m.rate.delivered
	}
	var left uint64
	for _, x := range k.bytes {
		left += x.bytes
	}
	if l.left != left {
		return fmt.Errorf("%d bytes count as in flight on paths that were left, but packets of %d bytes are", int64(l.left), left)
	}
	return nil
}

// checkSent adds the bytes in flight in one space to bytes, by flight. It returns how many packets
// are in flight.
func checkSent(s *sentPackets, bytes *flightBytes) (packets int, err error) {
	eliciting, last, recs := 0, uint64(0), s.recs.head
	for i := s.rows.head; i != s.rows.tail; i++ {
		p := s.rows.at(i)
		pn := s.number(p)
		if pn >= s.next || i != s.rows.head && pn <= last {
			return 0, fmt.Errorf("packet %d follows %d, and %d is next", pn, last, s.next)
		}
		last = pn + uint64(p.count) - 1
		if err := checkRow(s, p); err != nil {
			return 0, fmt.Errorf("packet %d: %w", pn, err)
		}
		if p.recStart != recs {
			return 0, fmt.Errorf("the records of packet %d begin at %d, want %d", pn, p.recStart, recs)
		}
		recs += uint32(p.recCount)
		n := int(p.count) - bits.OnesCount32(p.acked)
		packets += n
		*bytes.of(p.flight) += uint64(n) * uint64(p.size)
		if p.flags&sentEliciting != 0 {
			eliciting += n
		}
	}
	switch {
	case recs != s.recs.tail:
		return 0, fmt.Errorf("records end at %d, want %d", s.recs.tail, recs)
	case eliciting != s.eliciting:
		return 0, fmt.Errorf("%d ack-eliciting packets count as in flight, and %d are", s.eliciting, eliciting)
	case s.quiet.len() > maxQuiet:
		return 0, fmt.Errorf("%d packets are remembered that are not in flight", s.quiet.len())
	}
	return packets, cmp.Or(checkDropped(&s.recs), checkDropped(&s.late.recs), checkLate(s))
}

// probesIn returns how many packets that validate paths are in flight.
func probesIn(s *sentPackets) (n int) {
	for i := s.rows.head; i != s.rows.tail; i++ {
		if p := s.rows.at(i); p.flags&sentProbePath != 0 {
			n += int(p.count) - bits.OnesCount32(p.acked)
		}
	}
	return n
}

// checkRow checks a row by itself.
func checkRow(s *sentPackets, p *sentPacket) error {
	if p.count == 0 || p.count > maxAlike || uint64(p.acked|p.again)>>p.count != 0 {
		return fmt.Errorf("a row of %d packets: %b are acknowledged, %b sent again", p.count, p.acked, p.again)
	}
	if p.count > 1 && (p.recCount != 1 || s.record(p, 0, 0).kind != recStream || s.record(p, 0, 0).fin) {
		return fmt.Errorf("its row of %d packets is not of one stream alone", p.count)
	}
	// A packet that was acknowledged is dropped together with the next older one. So at most a few
	// such packets are stepped over again.
	if first := s.number(s.rows.at(s.rows.head)); p.acked != 0 {
		if pn := s.number(p) + uint64(bits.Len32(p.acked)) - 1; pn >= first+packetThreshold {
			return fmt.Errorf("%d is acknowledged, and %d is not lost", pn, first)
		}
	}
	return nil
}

// checkDropped checks that what was dropped leads to no stream: that may be one of a connection
// that has ended. It looks at what was dropped last, and at what comes next.
func checkDropped(r *ring[record]) error {
	for i := range min(uint32(len(r.buf)-r.len()), 64) {
		if r.at(r.head-1-i).stream != nil || r.at(r.tail+i).stream != nil {
			return fmt.Errorf("%d of %d records are in use, and one beside them leads to a stream", r.len(), len(r.buf))
		}
	}
	return nil
}

// checkLate checks what the ledger remembers of lost packets.
func checkLate(s *sentPackets) error {
	l := &s.late
	recs, last := l.recs.head, uint64(0)
	for i := l.head; i != l.tail; i++ {
		p := l.at(i)
		if i != l.head && p.pn <= last {
			return fmt.Errorf("lost packet %d follows %d", p.pn, last)
		}
		last = p.pn
		if p.recStart != recs {
			return fmt.Errorf("the records of lost packet %d begin at %d, want %d", p.pn, p.recStart, recs)
		}
		recs += uint32(p.recCount)
		if p.arrived > l.tail-i {
			return fmt.Errorf("lost packet %d leads behind the last one", p.pn)
		}
	}
	if recs != l.recs.tail {
		return fmt.Errorf("records of lost packets end at %d, want %d", l.recs.tail, recs)
	}
	if l.len() > 0 && s.rows.len() > 0 && last >= s.number(s.rows.at(s.rows.head)) {
		return fmt.Errorf("packet %d is lost, and an older one is not", last)
	}
	return nil
}

// TestLedgerBytes: the ledger reports its true memory, and a packet in flight takes no more than it
// did. Where pointers are shorter, the ledger may report too much.
func TestLedgerBytes(t *testing.T) {
	if n := unsafe.Sizeof(sentPacket{}); n > 112 {
		t.Errorf("a packet in flight takes %d bytes", n)
	}
	var s sentPackets
	s.rows.push()
	s.recs.push()
	s.late.push()
	s.late.recs.push()
	s.quiet.push()
	want := len(s.rows.buf) * int(unsafe.Sizeof(sentPacket{}))
	want += (len(s.recs.buf) + len(s.late.recs.buf)) * int(unsafe.Sizeof(record{}))
	want += len(s.late.buf)*int(unsafe.Sizeof(lostPacket{})) + len(s.quiet.buf)*int(unsafe.Sizeof(quietPacket{}))
	if got := s.bytes(); got < want || got > want && strconv.IntSize == 64 {
		t.Errorf("%d bytes, want %d", got, want)
	}
}
