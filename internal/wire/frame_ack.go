package wire

// An AckRange is the packet numbers from Smallest to Largest, both included.
type AckRange struct{ Smallest, Largest uint64 }

// An Ack is an ACK frame (RFC 9000, Section 19.3). It aliases the packet.
type Ack struct {
	Largest uint64
	// as on the wire: the receiver shifts it left by the sender's ack_delay_exponent
	Delay          uint64
	ECN            bool // the frame has the three ECN counts
	ECT0, ECT1, CE uint64

	first uint64 // First ACK Range
	count uint64 // how many ranges follow the first
	rest  []byte // those ranges, which have been checked
}

// ParseAck parses the frame, from its type on. n < 0: malformed, also where ranges underflow.
// RFC 9000, Section 19.3.1 [1].
func ParseAck(b []byte) (f Ack, n int) {
	c := frameAt(b)
	return c.ack(len(b) > 0 && b[0] == FrameAckECN)
}

// ack reads the fields of an ACK frame from Largest Acknowledged on. Those of a PATH_ACK frame are
// the same.
func (c *cursor) ack(ecn bool) (f Ack, n int) {
	f.Largest = c.varint()
	f.Delay = c.varint()
	f.count = c.varint()
	f.first = c.varint()
	// A range takes at least two bytes, so a larger count cannot be true.
	if c.bad || f.first > f.Largest || f.count > uint64(len(c.b)-c.off)/2 {
		return Ack{}, -1
	}
	start := c.off
	for smallest, i := f.Largest-f.first, uint64(0); i < f.count; i++ {
		gap, length := c.varint(), c.varint()
		rg, ok := rangeBelow(smallest, gap, length)
		if c.bad || !ok {
			return Ack{}, -1
		}
		smallest = rg.Smallest
	}
	f.rest = c.b[start:c.off]
	if ecn {
		f.ECN = true
		f.ECT0, f.ECT1, f.CE = c.varint(), c.varint(), c.varint()
	}
	return f, c.n()
}

// rangeBelow returns the range of the given length that lies gap below one which ends with
// smallest; ok is false if a packet number would be negative (RFC 9000, Section 19.3.1).
func rangeBelow(smallest, gap, length uint64) (rg AckRange, ok bool) {
	if smallest < gap+2 {
		return AckRange{}, false
	}
	largest := smallest - gap - 2
	if largest < length {
		return AckRange{}, false
	}
	return AckRange{Smallest: largest - length, Largest: largest}, true
}

// AckRanges iterates over the ranges of an Ack, from the largest down.
type AckRanges struct {
	next AckRange
	left uint64 // how many ranges are left to return, with next
	rest []byte
}

// Ranges returns an iterator. It is a value: copy it to look ahead.
func (f *Ack) Ranges() AckRanges {
	return AckRanges{
		next: AckRange{Smallest: f.Largest - f.first, Largest: f.Largest},
		left: f.count + 1,
		rest: f.rest,
	}
}

// Next returns the next range; ok is false behind the last.
func (r *AckRanges) Next() (rg AckRange, ok bool) {
	if r.left == 0 {
		return AckRange{}, false
	}
	rg = r.next
	r.left--
	if r.left > 0 {
		c := cursor{b: r.rest}
		gap, length := c.varint(), c.varint()
		r.next, _ = rangeBelow(rg.Smallest, gap, length) // ParseAck has checked the ranges
		r.rest = r.rest[c.off:]
	}
	return rg, true
}

// maxAckRanges bounds the ranges behind the first in a frame that AppendAck writes. Their count
// then fits into two bytes.
const maxAckRanges = maxVarint2

// AppendAck appends an ACK frame with as many ranges as fit into limit bytes. There are n ranges,
// at least 1, and at returns the ith: ascending and half-open, [start, end). The last one is the
// largest, and always fits if limit is at least 32, or 64 with ECN. delay is as on the wire. ecn is
// nil, or counts ECT0, ECT1 and CE. AppendAck returns how many ranges it left out, which are the
// smallest.
func AppendAck(b []byte, limit int, n int, at func(i int) (start, end uint64), delay uint64, ecn *[3]uint64) (out []byte, omitted int) {
	limit += len(b)
	typ := byte(FrameAck)
	if ecn != nil {
		typ = FrameAckECN
	}
	return appendAck(append(b, typ), limit, n, at, delay, ecn)
}

// appendAck appends the fields from Largest Acknowledged on, up to limit bytes of b.
func appendAck(b []byte, limit int, n int, at func(i int) (start, end uint64), delay uint64, ecn *[3]uint64) (out []byte, omitted int) {
	if ecn != nil {
		limit -= VarintLen(ecn[0]) + VarintLen(ecn[1]) + VarintLen(ecn[2])
	}
	start, end := at(n - 1)
	b = AppendVarint(b, end-1)
	b = AppendVarint(b, delay)
	countOff := len(b)
	wide := n-1 >= 1<<6 // the count may need two bytes
	if wide {
		b = AppendVarint2(b, 0)
	} else {
		b = append(b, 0)
	}
	b = AppendVarint(b, end-1-start)

	count := 0
	for count < min(n-1, maxAckRanges) {
		s, e := at(n - 2 - count)
		gap, length := start-e-1, e-1-s
		if len(b)+VarintLen(gap)+VarintLen(length) > limit {
			break
		}
		b = AppendVarint(b, gap)
		b = AppendVarint(b, length)
		start = s
		count++
	}
	if wide {
		PutVarint2(b[countOff:], uint64(count))
	} else {
		b[countOff] = byte(count)
	}
	if ecn != nil {
		b = AppendVarint(b, ecn[0])
		b = AppendVarint(b, ecn[1])
		b = AppendVarint(b, ecn[2])
	}
	return b, n - 1 - count
}

// ParseAckFrequency parses an ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency, Section 4), from
// its type of two bytes on. maxAckDelay is in microseconds.
func ParseAckFrequency(b []byte) (seq, threshold, maxAckDelay, reordering uint64, n int) {
	c := cursor{b: b}
	c.varint() // the type
	seq = c.varint()
	threshold = c.varint()
	maxAckDelay = c.varint()
	reordering = c.varint()
	return seq, threshold, maxAckDelay, reordering, c.n()
}

// AppendAckFrequency appends an ACK_FREQUENCY frame; maxAckDelay is in microseconds.
func AppendAckFrequency(b []byte, seq, threshold, maxAckDelay, reordering uint64) []byte {
	b = AppendVarint(b, FrameAckFrequency)
	b = AppendVarint(b, seq)
	b = AppendVarint(b, threshold)
	b = AppendVarint(b, maxAckDelay)
	return AppendVarint(b, reordering)
}
