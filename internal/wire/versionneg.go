package wire

import "encoding/binary"

// AppendVersionNegotiation appends a Version Negotiation packet (RFC 9000, Section 17.2.1). dcid
// and scid are those of the answer: the client's IDs swapped. unused is a random byte for the
// unused bits.
// RFC 9000, Section 17.2.1 [2, 3].
func AppendVersionNegotiation(b []byte, unused byte, dcid, scid []byte, versions []uint32) []byte {
	// The fixed bit is not part of this packet. It is set so that demultiplexing with other
	// protocols works.
	b = append(b, formLong|FixedBit|unused)
	b = appendInvariant(b, 0, dcid, scid)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// ParseVersionNegotiation returns the supported versions behind the invariant header as raw bytes,
// 4 a version. It is not ok if b is no such packet, or the list is empty or no multiple of 4 bytes
// long (RFC 8999, Section 6 [2]). Of the first byte only the form counts (RFC 8999, Section 6 [1]).
// RFC 9000, Section 17.2.1 [1].
func ParseVersionNegotiation(b []byte) (versions []byte, ok bool) {
	version, _, _, n := parseInvariant(b)
	if n < 0 || version != 0 {
		return nil, false
	}
	versions = b[n:]
	return versions, len(versions) > 0 && len(versions)%4 == 0
}
