package dgram

import (
	"bytes"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

func TestCapsule(t *testing.T) {
	for _, typ := range []uint64{CapsuleDatagram, 63, 64, 0x2843, 1<<62 - 1} {
		for _, n := range []int{0, 1, 63, 64, 1 << 14} {
			value := bytes.Repeat([]byte{7}, n)
			b := AppendCapsule([]byte("before"), typ, value)
			b = b[len("before"):]
			gotType, length, header := ParseCapsule(b)
			require.Equal(t, typ, gotType)
			require.EqualValues(t, n, length)
			require.Equal(t, value, b[header:])
			require.LessOrEqual(t, header, MaxCapsuleHeader)
			for i := range header {
				_, _, n := ParseCapsule(b[:i])
				require.Zero(t, n)
			}
		}
	}
}

func FuzzCapsule(f *testing.F) {
	f.Add([]byte{0, 3, 'a', 'b', 'c'})
	f.Add(bytes.Repeat([]byte{0xff}, MaxCapsuleHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		typ, length, n := ParseCapsule(b)
		switch {
		case n == 0:
			if len(b) >= MaxCapsuleHeader || typ != 0 || length != 0 {
				t.Fatalf("%x: no header", b)
			}
		case n > len(b) || n > MaxCapsuleHeader:
			t.Fatalf("%x: header of %d bytes", b, n)
		case length <= 1<<16:
			again := AppendCapsule(nil, typ, make([]byte, length))
			typ2, length2, _ := ParseCapsule(again)
			if typ2 != typ || length2 != length {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}
