package wire

import "encoding/binary"

// MaxVarint is the largest variable-length integer (RFC 9000, Section 16).
const MaxVarint = 1<<62 - 1

// maxVarint2 is the largest integer that a two-byte encoding holds.
const maxVarint2 = 1<<14 - 1

// AppendVarint appends v, which must be at most MaxVarint.
// RFC 9000, Section 12.4 [5].
func AppendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|0x4000)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|0x8000_0000)
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(b, v|0xc000_0000_0000_0000)
	}
	panic("wire: integer above MaxVarint")
}

// AppendVarint2 appends v, below 1<<14, in two bytes whatever its value: a placeholder for
// PutVarint2.
func AppendVarint2(b []byte, v uint64) []byte {
	if v > maxVarint2 {
		panic("wire: integer needs more than two bytes")
	}
	return binary.BigEndian.AppendUint16(b, uint16(v)|0x4000)
}

// PutVarint2 overwrites the first two bytes of b with v, below 1<<14.
func PutVarint2(b []byte, v uint64) {
	if v > maxVarint2 {
		panic("wire: integer needs more than two bytes")
	}
	binary.BigEndian.PutUint16(b, uint16(v)|0x4000)
}

// ParseVarint parses the integer at the start of b; n is 0 if b is too short.
func ParseVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	switch n {
	case 1:
		return uint64(b[0]), 1
	case 2:
		return uint64(binary.BigEndian.Uint16(b)) & maxVarint2, 2
	case 4:
		return uint64(binary.BigEndian.Uint32(b)) & (1<<30 - 1), 4
	default:
		return binary.BigEndian.Uint64(b) & MaxVarint, 8
	}
}

// AppendPair appends two integers, for example the type and the length of what follows.
func AppendPair(b []byte, v, w uint64) []byte { return AppendVarint(AppendVarint(b, v), w) }

// ParsePair parses the two integers at the start of b; n is 0 if b is too short.
func ParsePair(b []byte) (v, w uint64, n int) {
	v, n1 := ParseVarint(b)
	if n1 == 0 {
		return 0, 0, 0
	}
	w, n2 := ParseVarint(b[n1:])
	if n2 == 0 {
		return 0, 0, 0
	}
	return v, w, n1 + n2
}

// VarintLen returns how many bytes AppendVarint uses for v.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	default:
		return 8
	}
}
