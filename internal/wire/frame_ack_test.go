package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// ranges returns all ranges of f, from the largest down.
func ranges(f *Ack) (rs []AckRange) {
	it := f.Ranges()
	for {
		r, ok := it.Next()
		if !ok {
			return rs
		}
		rs = append(rs, r)
	}
}

// appendRanges appends an ACK frame of ranges which descend, as ranges returns them.
func appendRanges(b []byte, limit int, rs []AckRange, delay uint64, ecn *[3]uint64) ([]byte, int) {
	at := func(i int) (start, end uint64) {
		r := rs[len(rs)-1-i]
		return r.Smallest, r.Largest + 1
	}
	return AppendAck(b, limit, len(rs), at, delay, ecn)
}

// rewriteAck is the part of rewrite for ACK frames.
func rewriteAck(b []byte) (out []byte, n int) {
	f, n := ParseAck(b)
	if n < 0 {
		return nil, n
	}
	var ecn *[3]uint64
	if f.ECN {
		ecn = &[3]uint64{f.ECT0, f.ECT1, f.CE}
	}
	rs := ranges(&f)
	out, omitted := appendRanges(nil, 1<<30, rs[:min(len(rs), maxAckRanges)], f.Delay, ecn)
	if omitted != 0 {
		panic("ranges were left out")
	}
	return out, n
}

func TestParseAck(t *testing.T) {
	// 100..95, 90, 80..70, 0
	b := example(t, "03 4064 4123 03 05 03 00 08 0a 4044 00 01 02 03")
	f, n := ParseAck(append(b, 0xff))
	require.Equal(t, len(b), n)
	require.Equal(t, uint64(100), f.Largest)
	require.Equal(t, uint64(0x123), f.Delay)
	require.True(t, f.ECN)
	require.Equal(t, [3]uint64{1, 2, 3}, [3]uint64{f.ECT0, f.ECT1, f.CE})
	want := []AckRange{{95, 100}, {90, 90}, {70, 80}, {0, 0}}
	require.Equal(t, want, ranges(&f))
	require.Equal(t, want, ranges(&f), "once more")

	it := f.Ranges()
	for range want {
		it.Next()
	}
	_, ok := it.Next()
	require.False(t, ok)
	_, ok = it.Next()
	require.False(t, ok, "still")

	var zero AckRanges
	_, ok = zero.Next()
	require.False(t, ok)
}

// A packet full of ranges is parsed; one range more than there are is not.
func TestParseAckManyRanges(t *testing.T) {
	const n = 700
	b := AppendVarint([]byte{FrameAck}, 1<<20)
	b = AppendVarint(b, 0)
	countOff := len(b)
	b = AppendVarint2(b, n)
	b = append(b, 0)
	b = append(b, bytes.Repeat([]byte{0, 0}, n)...)
	f, got := ParseAck(b)
	require.Equal(t, len(b), got)
	rs := ranges(&f)
	require.Len(t, rs, n+1)
	require.Equal(t, AckRange{1<<20 - 2*n, 1<<20 - 2*n}, rs[n])
	PutVarint2(b[countOff:], n+1)
	_, got = ParseAck(b)
	require.Negative(t, got)
}

func TestAppendAckRoundTrip(t *testing.T) {
	for name, rs := range map[string][]AckRange{
		"zero":     {{0, 0}},
		"one":      {{0, 1000}},
		"largest":  {{MaxVarint, MaxVarint}},
		"all":      {{0, MaxVarint}},
		"few":      {{95, 100}, {90, 90}, {70, 80}, {0, 0}},
		"far":      {{1 << 61, 1<<61 + 1}, {1 << 40, 1 << 41}, {1, 1 << 20}},
		"next gap": {{4, 4}, {2, 2}, {0, 0}},
	} {
		for _, ecn := range []*[3]uint64{nil, {1, 1 << 20, MaxVarint}} {
			b, omitted := appendRanges([]byte("xy"), 1000, rs, 12345, ecn)
			require.Zero(t, omitted, name)
			f, n := ParseAck(b[2:])
			require.Equal(t, len(b)-2, n, name)
			require.Equal(t, rs, ranges(&f), name)
			require.Equal(t, uint64(12345), f.Delay)
			require.Equal(t, ecn != nil, f.ECN)
			if ecn != nil {
				require.Equal(t, *ecn, [3]uint64{f.ECT0, f.ECT1, f.CE})
			}
		}
	}
}

// Whatever the limit, the largest ranges are there and the frame fits.
func TestAppendAckLimit(t *testing.T) {
	var rs []AckRange
	for i := range uint64(200) {
		rs = append(rs, AckRange{i * 300, i*300 + i})
	}
	slices.Reverse(rs)
	for _, ecn := range []*[3]uint64{nil, {MaxVarint, MaxVarint, MaxVarint}} {
		minimum := 32
		if ecn != nil {
			minimum = 64
		}
		last := len(rs)
		for limit := minimum; limit < 900; limit++ {
			b, omitted := appendRanges([]byte("xyz"), limit, rs, MaxVarint, ecn)
			b = b[3:]
			require.LessOrEqual(t, len(b), limit)
			f, n := ParseAck(b)
			require.Equal(t, len(b), n)
			require.Equal(t, rs[:len(rs)-omitted], ranges(&f))
			require.LessOrEqual(t, omitted, last)
			last = omitted
			if omitted > 0 {
				require.Less(t, limit-len(b), 4, "room for one more range")
			}
		}
		require.Zero(t, last, "all fit in the end")
	}
	// The largest values of all fields fit into the documented minimum.
	b, omitted := appendRanges(nil, 32, []AckRange{{0, MaxVarint}}, MaxVarint, nil)
	require.Zero(t, omitted)
	require.LessOrEqual(t, len(b), 32)
	b, _ = appendRanges(nil, 64, []AckRange{{0, MaxVarint}}, MaxVarint, &[3]uint64{MaxVarint, MaxVarint, MaxVarint})
	require.LessOrEqual(t, len(b), 64)
}

func TestAppendAckDoesNotAllocate(t *testing.T) {
	rs := []AckRange{{95, 100}, {90, 90}, {70, 80}, {0, 0}}
	buf := make([]byte, 0, 1500)
	ecn := [3]uint64{1, 2, 3}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		appendRanges(buf, 100, rs, 5, &ecn)
	}))
}

func FuzzAck(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00"))
	f.Add(example(f, "02 0a 4123 02 01 00 02 01 00"))
	f.Add(example(f, "03 4064 4123 03 05 03 00 08 0a 4044 00 01 02 03"))
	f.Add(example(f, "02 0a 00 ffffffffffffffff 01 00 00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, n := ParseAck(b)
		if n < 0 {
			return
		}
		if n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		rs := ranges(&ack)
		if len(rs) > len(b) || rs[0].Largest != ack.Largest {
			t.Fatalf("ranges of %x: %v", b, rs)
		}
		for i, r := range rs {
			if r.Smallest > r.Largest || i > 0 && r.Largest+1 >= rs[i-1].Smallest {
				t.Fatalf("ranges of %x: %v", b, rs)
			}
		}
		var ecn *[3]uint64
		if ack.ECN {
			ecn = &[3]uint64{ack.ECT0, ack.ECT1, ack.CE}
		}
		limit := 64 + len(b)/2
		out, omitted := appendRanges(nil, limit, rs, ack.Delay, ecn)
		ack2, n2 := ParseAck(out)
		if n2 != len(out) || n2 > limit || !slices.Equal(ranges(&ack2), rs[:len(rs)-omitted]) ||
			ack2.Delay != ack.Delay || ack2.ECN != ack.ECN ||
			ack2.ECT0 != ack.ECT0 || ack2.ECT1 != ack.ECT1 || ack2.CE != ack.CE {
			t.Fatalf("%x became %x", b, out)
		}
	})
}

func BenchmarkParseAck(b *testing.B) {
	frame := example(b, "03 4064 4123 03 05 03 00 08 0a 4044 00 01 02 03")
	for b.Loop() {
		f, _ := ParseAck(frame)
		it := f.Ranges()
		for _, ok := it.Next(); ok; {
			_, ok = it.Next()
		}
	}
}

func BenchmarkParseStream(b *testing.B) {
	frame := append(example(b, "0e 04 8fffffff 44b0"), make([]byte, 1200)...)
	for b.Loop() {
		if _, n := ParseStream(frame); n < 0 {
			b.Fatal("malformed")
		}
	}
}
