// Package wire reads and writes what QUIC puts on the wire (RFC 9000, Sections
// 16 to 19): variable-length integers, packet headers, frames and transport
// parameters. Append functions append to b; parse functions alias b, allocate
// nothing and report malformed input with n < 0 or ok == false.
package wire

// MaxVarint is the largest variable-length integer.
const MaxVarint = 1<<62 - 1

// AppendVarint appends v, which must be at most MaxVarint.
func AppendVarint(b []byte, v uint64) []byte { panic("sketch") }

// AppendVarint2 appends v, below 1<<14, in two bytes whatever its value: a placeholder for PutVarint2.
func AppendVarint2(b []byte, v uint64) []byte { panic("sketch") }

// PutVarint2 overwrites two bytes with v, below 1<<14.
func PutVarint2(b []byte, v uint64) { panic("sketch") }

// ParseVarint parses the integer at the start of b; n is 0 if b is too short.
func ParseVarint(b []byte) (v uint64, n int) { panic("sketch") }

// VarintLen returns how many bytes AppendVarint uses for v.
func VarintLen(v uint64) int { panic("sketch") }

// PacketNumberLen returns how many bytes, 1 to 4, the packet number pn needs if
// the peer is known to have received largestAcked; -1 if none (RFC 9000, Section A.2).
func PacketNumberLen(pn uint64, largestAcked int64) int { panic("sketch") }

// AppendPacketNumber appends the n low bytes of pn.
func AppendPacketNumber(b []byte, pn uint64, n int) []byte { panic("sketch") }

// DecodePacketNumber expands a truncated packet number of n bytes, given the
// largest one that was processed; -1 if none (RFC 9000, Section A.3).
func DecodePacketNumber(largest int64, truncated uint64, n int) uint64 { panic("sketch") }

// Types of long header packets, as version 1 numbers them (RFC 9000, Section 17.2).
const (
	TypeInitial   = 0
	Type0RTT      = 1
	TypeHandshake = 2
	TypeRetry     = 3
)

// Versions.
const (
	Version1 = 1
	Version2 = 0x6b3343cf
)

// A Long is the header of a packet with a long header of a known version, up to its packet number. Slices alias the packet.
type Long struct {
	Type       uint8 // TypeInitial and so on, the same whatever the version
	Version    uint32
	DCID, SCID []byte
	Token      []byte // Initial: the token; Retry: the retry token
	PNOff      int    // offset of the packet number; of the integrity tag in a Retry
	End        int    // offset behind the packet in the datagram
}

// IsLong reports whether the first byte is that of a long header.
func IsLong(first byte) bool { return first&0x80 != 0 }

// ParseInvariant parses what long headers of all versions share (RFC 8999, Section 5.1). IDs may be up to 255 bytes long.
func ParseInvariant(b []byte) (version uint32, dcid, scid []byte, ok bool) { panic("sketch") }

// ParseLong parses the long header of a packet of version 1 or 2 at the start of b, which may hold coalesced packets
// behind it. It checks lengths, connection IDs of at most 20 bytes; not the fixed bit (RFC 9287) nor reserved bits, which are still protected.
func ParseLong(b []byte) (h Long, ok bool) { panic("sketch") }

// AppendLong appends a long header with its packet number. lengthOff is where its Length field lies: two bytes for PutVarint2,
// which is to be set to pnLen + payload + tag; pnOff is where the packet number lies. token is for Initial packets only.
func AppendLong(b []byte, typ uint8, version uint32, dcid, scid, token []byte, pn uint64, pnLen int) (out []byte, lengthOff, pnOff int) {
	panic("sketch")
}

// AppendShort appends a short header with its packet number, whose offset is 1+len(dcid) behind len(b).
// The fixed bit is set; the spin bit is as given.
func AppendShort(b []byte, dcid []byte, spin, keyPhase bool, pn uint64, pnLen int) []byte {
	panic("sketch")
}

// KeyPhase reports the key phase bit of an unprotected short header's first byte.
func KeyPhase(first byte) bool { return first&0x04 != 0 }

// ReservedBits reports the reserved bits of an unprotected first byte, which must be 0.
func ReservedBits(first byte) byte { panic("sketch") }

// AppendVersionNegotiation appends a Version Negotiation packet (RFC 9000, Section 17.2.1). dcid and scid are those
// of the answer: the client's IDs swapped. unused is a random byte for the unused bits.
func AppendVersionNegotiation(b []byte, unused byte, dcid, scid []byte, versions []uint32) []byte {
	panic("sketch")
}

// ParseVersionNegotiation returns the supported versions behind the invariant header as raw bytes, 4 a version; ok is false if malformed.
func ParseVersionNegotiation(b []byte) (versions []byte, ok bool) { panic("sketch") }

// AppendRetry appends a Retry packet without its integrity tag.
func AppendRetry(b []byte, version uint32, dcid, scid, token []byte) []byte { panic("sketch") }
