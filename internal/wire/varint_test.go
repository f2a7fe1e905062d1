package wire

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// RFC 9000, Appendix A.1, with the two-byte encoding of 37.
func TestVarintExamples(t *testing.T) {
	for _, tc := range []struct {
		enc string
		v   uint64
	}{
		{"c2197c5eff14e88c", 151288809941952652},
		{"9d7f3e7d", 494878333},
		{"7bbd", 15293},
		{"25", 37},
		{"4025", 37},
	} {
		b := unhex(t, tc.enc)
		v, n := ParseVarint(b)
		require.Equal(t, tc.v, v)
		require.Equal(t, len(b), n)
		v, n = ParseVarint(append(b, 0xff, 0xff))
		require.Equal(t, tc.v, v, "with bytes behind")
		require.Equal(t, len(b), n)
		for i := range len(b) {
			_, n := ParseVarint(b[:i])
			require.Zero(t, n, "%s cut to %d bytes", tc.enc, i)
		}
		if tc.enc != "4025" {
			require.Equal(t, b, AppendVarint(nil, tc.v))
		}
	}
}

// RFC 9000, Section 12.4 [5].
func TestVarintBoundaries(t *testing.T) {
	for _, tc := range []struct {
		v uint64
		n int
	}{
		{0, 1}, {1<<6 - 1, 1},
		{1 << 6, 2}, {1<<14 - 1, 2},
		{1 << 14, 4}, {1<<30 - 1, 4},
		{1 << 30, 8}, {MaxVarint, 8},
	} {
		b := AppendVarint([]byte("x"), tc.v)
		require.Len(t, b, 1+tc.n)
		require.Equal(t, tc.n, VarintLen(tc.v))
		v, n := ParseVarint(b[1:])
		require.Equal(t, tc.v, v)
		require.Equal(t, tc.n, n)
	}
	require.Panics(t, func() { AppendVarint(nil, MaxVarint+1) })
}

func TestVarintPair(t *testing.T) {
	for _, v := range []uint64{0, 63, 64, 1 << 14, MaxVarint} {
		for _, w := range []uint64{1, 1<<14 - 1, 1 << 30} {
			b := AppendPair([]byte{0xee}, v, w)[1:]
			require.Equal(t, VarintLen(v)+VarintLen(w), len(b))
			gotV, gotW, n := ParsePair(append(b, 0xee))
			require.Equal(t, []uint64{v, w, uint64(len(b))}, []uint64{gotV, gotW, uint64(n)})
			for i := range b {
				_, _, n := ParsePair(b[:i])
				require.Zero(t, n, "%d bytes of %x", i, b)
			}
		}
	}
}

func TestVarint2(t *testing.T) {
	for _, v := range []uint64{0, 1, 63, 64, 1<<14 - 1} {
		b := AppendVarint2([]byte{0xee}, v)
		got, n := ParseVarint(b[1:])
		require.Equal(t, v, got)
		require.Equal(t, 2, n)

		b = []byte{1, 2, 3}
		PutVarint2(b, v)
		got, _ = ParseVarint(b)
		require.Equal(t, v, got)
		require.Equal(t, byte(3), b[2])
	}
	require.Panics(t, func() { AppendVarint2(nil, 1<<14) })
	require.Panics(t, func() { PutVarint2(make([]byte, 2), 1<<14) })
}

// RFC 9000, Appendix A.2.
// RFC 9000, Section 17.1 [1, 2].
func TestPacketNumberLen(t *testing.T) {
	for _, tc := range []struct {
		pn    uint64
		acked int64
		want  int
	}{
		{0xac5c02, 0xabe8b3, 2},
		{0xace8fe, 0xabe8b3, 3},
		{0, -1, 1},
		{127, -1, 1}, // 128 numbers that may be unknown to the peer
		{128, -1, 2},
		{1000, 999, 1},
		{1<<15 + 7, 7, 2},
		{1<<15 + 8, 7, 3},
		{1<<23 + 7, 7, 3},
		{1<<23 + 8, 7, 4},
		{MaxVarint, 7, 4},
	} {
		require.Equal(t, tc.want, PacketNumberLen(tc.pn, tc.acked), "%d behind %d", tc.pn, tc.acked)
	}
}

// RFC 9000, Appendix A.3.
func TestDecodePacketNumber(t *testing.T) {
	for _, tc := range []struct {
		largest   int64
		truncated uint64
		n         int
		want      uint64
	}{
		{0xa82f30ea, 0x9b32, 2, 0xa82f9b32},
		{-1, 0, 1, 0},
		{-1, 0xff, 1, 0xff},
		{0xff, 0, 1, 0x100},
		{0x100, 0xff, 1, 0xff},
		// The window is (expected - 0x80, expected + 0x80].
		{0x17e, 0xff, 1, 0x1ff},
		{0x17d, 0xff, 1, 0x0ff},
		{0x17e, 0x00, 1, 0x100},
		{0x17f, 0x00, 1, 0x200},
		{MaxVarint - 1, 0xffffffff, 4, MaxVarint},
		{MaxVarint - 3, 0, 1, MaxVarint - 255}, // not beyond the largest number there is
	} {
		require.Equal(t, tc.want, DecodePacketNumber(tc.largest, tc.truncated, tc.n), "%#x after %#x", tc.truncated, tc.largest)
	}
}

// Whatever the receiver has got since the sender's last news, a number of the
// length that PacketNumberLen chose is decoded right.
// RFC 9000, Section 17.1 [3].
func TestPacketNumberRoundTrip(t *testing.T) {
	for _, acked := range []int64{-1, 0, 1, 100, 1 << 20, 1<<40 + 12345} {
		for _, ahead := range []int64{1, 2, 127, 128, 129, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1 << 23, 1<<23 + 1, 1 << 30} {
			pn := uint64(acked + ahead)
			n := PacketNumberLen(pn, acked)
			b := AppendPacketNumber(nil, pn, n)
			require.Len(t, b, n)
			var truncated uint64
			for _, c := range b {
				truncated = truncated<<8 | uint64(c)
			}
			// The receiver's largest lies between what it acknowledged and a bit
			// beyond the packet, if that was reordered.
			for _, largest := range []int64{acked, acked + ahead/2, acked + ahead - 1, acked + ahead + 100} {
				require.Equal(t, pn, DecodePacketNumber(largest, truncated, n), "acked %d, ahead %d, largest %d", acked, ahead, largest)
			}
		}
	}
	require.Panics(t, func() { AppendPacketNumber(nil, 0, 0) })
	require.Panics(t, func() { AppendPacketNumber(nil, 0, 5) })
}

func FuzzVarint(f *testing.F) {
	for _, s := range []string{"c2197c5eff14e88c", "9d7f3e7d", "7bbd", "25", "4025", ""} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := ParseVarint(b)
		if n == 0 {
			return
		}
		if v > MaxVarint || n < VarintLen(v) || n > len(b) {
			t.Fatalf("%d in %d bytes of %x", v, n, b)
		}
		got, m := ParseVarint(AppendVarint(nil, v))
		if got != v || m != VarintLen(v) {
			t.Fatalf("%d became %d in %d bytes", v, got, m)
		}
	})
}

func FuzzDecodePacketNumber(f *testing.F) {
	f.Add(int64(0xa82f30ea), uint32(0x9b32), uint8(2))
	f.Add(int64(-1), uint32(0), uint8(1))
	f.Fuzz(func(t *testing.T, largest int64, truncated uint32, n uint8) {
		n = n%4 + 1
		largest = max(largest%MaxVarint, -1) // the last number of all ends a connection
		low := uint64(truncated) & (1<<(8*n) - 1)
		pn := DecodePacketNumber(largest, low, int(n))
		if pn > MaxVarint || pn&(1<<(8*n)-1) != low {
			t.Fatalf("%#x of %d bytes after %#x became %#x", low, n, largest, pn)
		}
		// No other candidate is closer to the expected number, but where there is none.
		diff := int64(pn) - (largest + 1)
		if half := int64(1) << (8*n - 1); (diff > half || diff <= -half) && pn >= uint64(2*half) && pn < 1<<62-uint64(2*half) {
			t.Fatalf("%#x of %d bytes after %#x became %#x", low, n, largest, pn)
		}
	})
}

func ExampleParseVarint() {
	v, n := ParseVarint([]byte{0x7b, 0xbd, 0xff})
	fmt.Println(v, n)
	// Output: 15293 2
}
