package varint

import (
	"bytes"
	"testing"
)

// The examples of RFC 9000, Section A.1, and the bounds of each length.
func TestVarint(t *testing.T) {
	for _, tc := range []struct {
		v uint64
		b []byte
	}{
		{0, []byte{0}},
		{37, []byte{0x25}},
		{1<<6 - 1, []byte{0x3f}},
		{1 << 6, []byte{0x40, 0x40}},
		{15_293, []byte{0x7b, 0xbd}},
		{1 << 14, []byte{0x80, 0, 0x40, 0}},
		{494_878_333, []byte{0x9d, 0x7f, 0x3e, 0x7d}},
		{151_288_809_941_952_652, []byte{0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}},
		{Max, bytes.Repeat([]byte{0xff}, 8)},
	} {
		b := Append([]byte("before"), tc.v)
		if !bytes.Equal(b, append([]byte("before"), tc.b...)) {
			t.Errorf("Append of %d: %x", tc.v, b)
		}
		if v, n := Parse(append(tc.b[:len(tc.b):len(tc.b)], 1)); v != tc.v || n != len(tc.b) {
			t.Errorf("Parse of %x: %d, %d bytes", tc.b, v, n)
		}
		if _, n := Parse(tc.b[:len(tc.b)-1]); n != 0 {
			t.Errorf("Parse of the first %d bytes of %x: %d bytes", len(tc.b)-1, tc.b, n)
		}
	}
	if v, n := Parse([]byte{0x40, 0x25}); v != 37 || n != 2 {
		t.Errorf("not the shortest encoding: %d, %d bytes", v, n)
	}
	defer func() {
		if recover() == nil {
			t.Error("Append of what is too large does not panic")
		}
	}()
	Append(nil, Max+1)
}
