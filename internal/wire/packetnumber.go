package wire

// PacketNumberLen returns how many bytes, 1 to 4, the packet number pn needs if
// the peer is known to have received largestAcked; -1 if none (RFC 9000, Section A.2).
// It is 4 also where even four bytes would not do, which takes 2^31 packets in flight.
// RFC 9000, Section 17.1 [1, 2, 3].
func PacketNumberLen(pn uint64, largestAcked int64) int {
	unacked := pn - uint64(largestAcked) // if largestAcked is -1, this is pn + 1
	switch {
	case unacked <= 1<<7:
		return 1
	case unacked <= 1<<15:
		return 2
	case unacked <= 1<<23:
		return 3
	default:
		return 4
	}
}

// AppendPacketNumber appends the n low bytes of pn; n is 1 to 4.
func AppendPacketNumber(b []byte, pn uint64, n int) []byte {
	switch n {
	case 1:
		return append(b, byte(pn))
	case 2:
		return append(b, byte(pn>>8), byte(pn))
	case 3:
		return append(b, byte(pn>>16), byte(pn>>8), byte(pn))
	case 4:
		return append(b, byte(pn>>24), byte(pn>>16), byte(pn>>8), byte(pn))
	}
	panic("wire: packet number length out of range")
}

// DecodePacketNumber expands a truncated packet number of n bytes, given the
// largest one that was processed; -1 if none (RFC 9000, Section A.3).
func DecodePacketNumber(largest int64, truncated uint64, n int) uint64 {
	expected := uint64(largest + 1)
	window := uint64(1) << (8 * n)
	half := window / 2
	pn := expected&^(window-1) | truncated
	if pn+half <= expected && pn < 1<<62-window {
		return pn + window
	}
	if pn > expected+half && pn >= window {
		return pn - window
	}
	return pn
}
