package wire

import "encoding/binary"

// Versions of QUIC (RFC 9000, Section 15; RFC 9369, Section 3.1).
const (
	Version1 = 1
	Version2 = 0x6b3343cf
)

// Types of long header packets, as version 1 numbers them (RFC 9000, Section 17.2).
const (
	TypeInitial   = 0
	Type0RTT      = 1
	TypeHandshake = 2
	TypeRetry     = 3
)

const (
	formLong = 0x80 // Header Form: a long header

	// FixedBit is set in the first byte of packets, unless the peer lets it be cleared (RFC
	// 9287).
	FixedBit = 0x40

	maxConnIDLen = 20 // RFC 9000, Section 17.2

	// RetryTagLen is the length of the Retry Integrity Tag (RFC 9001, Section 5.8).
	RetryTagLen = 16
)

// IsLong reports whether the first byte is that of a long header.
func IsLong(first byte) bool { return first&formLong != 0 }

// KeyPhase reports the key phase bit of an unprotected short header's first byte.
func KeyPhase(first byte) bool { return first&0x04 != 0 }

// ReservedBits returns the reserved bits of an unprotected first byte, which must be 0
// (RFC 9000, Sections 17.2 and 17.3.1).
func ReservedBits(first byte) byte {
	if IsLong(first) {
		return first & 0x0c
	}
	return first & 0x18
}

// ParseInvariant parses what long headers of all versions share (RFC 8999, Section 5.1).
// IDs may be up to 255 bytes long. It is not ok for short headers.
// RFC 9000, Section 17.2 [4, 7].
func ParseInvariant(b []byte) (version uint32, dcid, scid []byte, ok bool) {
	version, dcid, scid, n := parseInvariant(b)
	return version, dcid, scid, n > 0
}

// parseInvariant is ParseInvariant. It also returns n, the offset of the version-specific part.
func parseInvariant(b []byte) (version uint32, dcid, scid []byte, n int) {
	if len(b) < 7 || !IsLong(b[0]) {
		return 0, nil, nil, -1
	}
	version = binary.BigEndian.Uint32(b[1:])
	c := cursor{b: b, off: 5}
	dcid = c.idWithLen()
	scid = c.idWithLen()
	return version, dcid, scid, c.n()
}

// idWithLen reads a connection ID behind its length of one byte.
func (c *cursor) idWithLen() []byte {
	n := c.bytes(1)
	if c.bad {
		return nil
	}
	return c.bytes(uint64(n[0]))
}

// A Long is the header of a packet with a long header of a known version, up to its
// packet number. Slices alias the packet.
type Long struct {
	Type       uint8 // TypeInitial and so on, the same in every version
	Version    uint32
	DCID, SCID []byte
	Token      []byte // Initial: the token; Retry: the retry token
	PNOff      int    // offset of the packet number, or of the integrity tag in a Retry
	End        int    // offset of the end of the packet in the datagram
}

// ParseLong parses the long header of a packet of version 1 or 2 at the start of b, which may hold
// coalesced packets behind it. It checks lengths, connection IDs of at most 20 bytes, and that a
// Retry has a token; not the fixed bit (RFC 9287) nor reserved bits, which are still protected.
// RFC 9287, Section 3 [2]; RFC 9000, Section 17.2 [3, 6].
func ParseLong(b []byte) (h Long, ok bool) {
	version, dcid, scid, n := parseInvariant(b)
	if n < 0 || version != Version1 && version != Version2 ||
		len(dcid) > maxConnIDLen || len(scid) > maxConnIDLen {
		return Long{}, false
	}
	h = Long{Type: longType(b[0]>>4, version), Version: version, DCID: dcid, SCID: scid}
	c := cursor{b: b, off: n}
	if h.Type == TypeRetry {
		return parseRetry(h, &c)
	}
	if h.Type == TypeInitial {
		h.Token = c.bytes(c.varint())
	}
	length := c.varint()
	h.PNOff = c.off
	c.bytes(length)
	h.End = c.off
	return h, !c.bad
}

// longType turns the type bits of a version into the type of version 1. LongBits does the reverse.
func longType(bits byte, version uint32) uint8 {
	if version == Version2 {
		bits-- // RFC 9369, Section 3.2: Initial 1, 0-RTT 2, Handshake 3, Retry 0
	}
	return bits & 3
}

// longBits is the inverse of longType. It returns the bits in their place in the first byte.
func longBits(typ uint8, version uint32) byte {
	if version == Version2 {
		typ++
	}
	return typ & 3 << 4
}

// AppendLong appends a long header with its packet number. lengthOff is where its Length field lies
// in out: two bytes for PutVarint2, which is to be set to pnLen + payload + tag; pnOff is where the
// packet number lies. token is for Initial packets only, and ignored in others.
// RFC 9000, Section 17.2 [8].
func AppendLong(b []byte, typ uint8, version uint32, dcid, scid, token []byte, pn uint64, pnLen int) (out []byte, lengthOff, pnOff int) {
	b = append(b, formLong|FixedBit|longBits(typ, version)|byte(pnLen-1))
	b = appendInvariant(b, version, dcid, scid)
	if typ == TypeInitial {
		b = AppendVarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	lengthOff = len(b)
	b = AppendVarint2(b, 0)
	pnOff = len(b)
	return AppendPacketNumber(b, pn, pnLen), lengthOff, pnOff
}

// appendInvariant appends the fields that follow the first byte of every long header.
func appendInvariant(b []byte, version uint32, dcid, scid []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, byte(len(dcid)))
	b = append(b, dcid...)
	b = append(b, byte(len(scid)))
	return append(b, scid...)
}

// AppendShort appends a short header with its packet number, whose offset is 1+len(dcid) behind
// len(b). The fixed bit is set; the spin bit is as given (RFC 9000, Section 17.3.1).
// RFC 9000, Section 17.3.1 [2].
func AppendShort(b []byte, dcid []byte, spin, keyPhase bool, pn uint64, pnLen int) []byte {
	first := byte(FixedBit) | byte(pnLen-1)
	if spin {
		first |= 0x20
	}
	if keyPhase {
		first |= 0x04
	}
	b = append(b, first)
	b = append(b, dcid...)
	return AppendPacketNumber(b, pn, pnLen)
}
