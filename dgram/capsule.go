package dgram

import "github.com/lazoquic/lazo/internal/wire"

// CapsuleDatagram is the type of the capsule that carries an HTTP Datagram on the
// stream itself (RFC 9297, Section 3.5).
const CapsuleDatagram = 0x00

// MaxCapsuleHeader is the length in bytes of the longest capsule header. Peek that many.
const MaxCapsuleHeader = 16

// AppendCapsule appends a capsule (RFC 9297, Section 3.2) to b. The type must be
// below 1<<62.
func AppendCapsule(b []byte, typ uint64, value []byte) []byte {
	return append(wire.AppendPair(b, typ, uint64(len(value))), value...)
}

// ParseCapsule parses the header of the capsule at the start of b, which length
// bytes of value follow. It returns n == 0 if b is too short. The caller decides
// whether to buffer, stream or skip a value: its length is the peer's word.
// Capsules of unknown types are skipped without an error (RFC 9297, Section 3.2).
func ParseCapsule(b []byte) (typ, length uint64, n int) {
	return wire.ParsePair(b)
}
