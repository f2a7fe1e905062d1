package wire

// ParseDatagram parses a DATAGRAM frame of both kinds (RFC 9221, Section 4). data aliases the
// packet.
func ParseDatagram(b []byte) (data []byte, n int) {
	c := frameAt(b)
	if c.bad {
		return nil, -1
	}
	if b[0] == FrameDatagramLen {
		data = c.bytes(c.varint())
	} else {
		data = c.rest()
	}
	return data, c.n()
}

// AppendDatagramHeader appends the header of a DATAGRAM frame with a Length field; length bytes of
// data follow.
func AppendDatagramHeader(b []byte, length int) []byte {
	b = append(b, FrameDatagramLen)
	return AppendVarint(b, uint64(length))
}

// DatagramHeaderLen returns the length of that header.
func DatagramHeaderLen(length int) int { return 1 + VarintLen(uint64(length)) }
