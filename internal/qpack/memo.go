package qpack

import "bytes"

// A memo remembers the last value of each of some names, as it was sent and as a string. A peer
// repeats most values: the name of a host, of a program or of a media type. With a memo such a
// value costs a comparison, in place of Huffman decoding and a new string.
type memo struct {
	names  [maxMemo]uint8 // indices in the static table, of as many names as there are values
	values []memorized
}

// A memorized is a value in a memo.
type memorized struct {
	raw     []byte // as it was sent
	huffman bool
	value   string // empty until raw has come for the second time
}

const (
	maxMemo    = 16 // how many names a memo has: those that come first
	maxMemoRaw = 96 // the most bytes of a value that is remembered, as it was sent
)

// find looks for the value l of a name of the static table. If l is the last value of that name,
// seen is true. Otherwise it is from now on. v is nil for what is not remembered.
func (m *memo) find(static uint64, l literal) (v *memorized, seen bool) {
	if len(l.raw) == 0 || len(l.raw) > maxMemoRaw {
		return nil, false
	}
	i := bytes.IndexByte(m.names[:len(m.values)], uint8(static))
	if i < 0 {
		if i = len(m.values); i == maxMemo || secret(static) {
			return nil, false
		}
		m.names[i] = uint8(static)
		m.values = append(m.values, memorized{})
	}
	v = &m.values[i]
	if v.huffman == l.huffman && bytes.Equal(v.raw, l.raw) {
		return v, true
	}
	v.raw, v.huffman, v.value = append(v.raw[:0], l.raw...), l.huffman, ""
	return v, false
}

// secret reports whether no values of a name of the static table are remembered. The time that a
// section takes would tell those who share the connection that they have guessed such a value
// (RFC 9204, Section 7.1).
func secret(static uint64) bool {
	switch staticTable[static].name {
	case "authorization", "cookie", "set-cookie":
		return true
	}
	return false
}
