package qpack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestDecoderExamples is RFC 9204, Appendix B, as a decoder sees it: with acknowledgments (RFC
// 9204, Section 2.2.2.1 [1]) and an entry that is inserted again (RFC 9204, Section 3.2 [1]).
func TestDecoderExamples(t *testing.T) {
	d := NewDecoder(220, 1, -1)
	decode := func(stream uint64, s string, want ...Field) {
		t.Helper()
		got, err := d.Decode(stream, unhex(t, s))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	entries := func(want ...entry) {
		t.Helper()
		var got []entry
		for i := d.table.dropped; i < d.table.inserted; i++ {
			e, ok := d.table.at(i)
			require.True(t, ok)
			got = append(got, e)
		}
		require.Equal(t, want, got)
	}

	// B.1
	decode(0, "0000 510b 2f69 6e64 6578 2e68 746d 6c", Field{Name: ":path", Value: "/index.html"})
	require.Empty(t, d.Instructions())

	// B.2: the section arrives first, and is blocked; so would be another.
	section := unhex(t, "0381 10 11")
	_, err := d.Decode(4, section)
	require.ErrorIs(t, err, ErrBlocked)
	_, err = d.Decode(4, section)
	require.ErrorIs(t, err, ErrBlocked)
	_, ok := d.Unblocked()
	require.False(t, ok)
	for _, b := range unhex(t, "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468") {
		require.NoError(t, d.EncoderStream([]byte{b}))
	}
	stream, ok := d.Unblocked()
	require.True(t, ok)
	require.EqualValues(t, 4, stream)
	authority, path := entry{":authority", "www.example.com"}, entry{":path", "/sample/path"}
	entries(authority, path)
	require.EqualValues(t, 106, d.table.size)
	decode(4, "0381 10 11", Field{Name: ":authority", Value: "www.example.com"}, Field{Name: ":path", Value: "/sample/path"})
	require.Equal(t, []byte{0x84}, d.Instructions())

	// B.3
	require.NoError(t, d.EncoderStream(unhex(t, "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565")))
	require.Equal(t, []byte{0x01}, d.Instructions())

	// B.4
	_, err = d.Decode(8, unhex(t, "0500 80 c1 81"))
	require.ErrorIs(t, err, ErrBlocked)
	d.Cancel(8)
	require.Equal(t, []byte{0x48}, d.Instructions())
	require.NoError(t, d.EncoderStream([]byte{0x02}))
	_, ok = d.Unblocked()
	require.False(t, ok, "it was canceled")
	custom := entry{"custom-key", "custom-value"}
	entries(authority, path, custom, authority)
	require.EqualValues(t, 217, d.table.size)
	decode(12, "0500 80 c1 81", Field{Name: ":authority", Value: "www.example.com"}, Field{Name: ":path", Value: "/"},
		Field{Name: "custom-key", Value: "custom-value"})
	require.Equal(t, []byte{0x8c}, d.Instructions())

	// B.5
	require.NoError(t, d.EncoderStream(unhex(t, "810d 6375 7374 6f6d 2d76 616c 7565 32")))
	entries(path, custom, authority, entry{"custom-key", "custom-value2"})
	require.EqualValues(t, 215, d.table.size)
	require.Equal(t, []byte{0x01}, d.Instructions())

	// What B.4 refers to is not there any more.
	require.NoError(t, d.EncoderStream(unhex(t, "3f 00 3f bd 01"))) // capacity 31, and 220 again
	entries()
	_, err = d.Decode(16, unhex(t, "0500 80 c1 81"))
	var qerr *Error
	require.ErrorAs(t, err, &qerr)
	require.EqualValues(t, DecompressionFailed, qerr.Code)
}

// TestBlockedStreamsLimit is RFC 9204, Section 2.1.2 [2].
func TestBlockedStreamsLimit(t *testing.T) {
	d := NewDecoder(220, 2, -1)
	section := unhex(t, "0200 80")
	for _, stream := range []uint64{0, 4, 0, 4} {
		_, err := d.Decode(stream, section)
		require.ErrorIs(t, err, ErrBlocked)
	}
	_, err := d.Decode(8, section)
	var qerr *Error
	require.ErrorAs(t, err, &qerr)
	require.EqualValues(t, DecompressionFailed, qerr.Code)
	d.Cancel(0)
	_, err = d.Decode(8, section)
	require.ErrorIs(t, err, ErrBlocked)
}

// TestInvalidReferences: RFC 9204, Section 2.2.1 [2]; RFC 9204, Section 4.5.1.1 [1]; RFC 9204,
// Section 4.5.1.2 [2].
func TestInvalidReferences(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"Required Insert Count above the range", "0d00 80"}, // 6 entries at most
		{"Required Insert Count too far ahead", "0a00 80"},
		{"negative Base", "0282 80"},
		{"reference at the Required Insert Count", "0201 80"},
		{"post-base reference above it", "0200 10"},
		{"relative index beyond the Base", "0200 81"},
		{"post-base name above it", "0200 00 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(220, 0, -1)
			require.NoError(t, d.EncoderStream(unhex(t, "3fbd01 c00161 c00162")))
			_, err := d.Decode(0, unhex(t, c.in))
			var qerr *Error
			require.ErrorAs(t, err, &qerr, "%v", err)
			require.EqualValues(t, DecompressionFailed, qerr.Code)
		})
	}
}

// TestEvictedReference: a section refers to an entry that is gone (RFC 9204, Section 2.2.3 [1]).
func TestEvictedReference(t *testing.T) {
	for in, code := range map[string]uint64{"0300 80": 0, "0300 81": DecompressionFailed, "0300 4101 61": DecompressionFailed} {
		d := NewDecoder(220, 0, -1)
		// two entries of 33 bytes, in a table that then shrinks to one of them
		require.NoError(t, d.EncoderStream(unhex(t, "3fbd01 c00161 c00162 3f29")))
		_, err := d.Decode(0, unhex(t, in))
		if code == 0 {
			require.NoError(t, err)
			continue
		}
		var qerr *Error
		require.ErrorAs(t, err, &qerr, "%v", err)
		require.EqualValues(t, code, qerr.Code)
	}
}

// TestInvalidEncoderInstructions: RFC 9204, Section 2.2.3 [2]; RFC 9204, Section 3.2.2 [2]; RFC
// 9204, Section 4.3.1 [2].
func TestInvalidEncoderInstructions(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"capacity above the limit", "3fbe01"},
		{"duplicate of what is not there", "3fbd01 00"},
		{"duplicate of what was evicted", "3fbd01 c00161 20 3fbd01 00"},
		{"name of what is not there", "3fbd01 8001 61"},
		{"entry larger than the table", "3f00 c000"},
		{"entry larger than the table, before it comes", "3fbd01 c0 7f6d"},
		{"Huffman-coded entry larger than the table", "3fbd01 c0 ffff0f"},
		{"name larger than the table", "3fbd01 5fff01"},
		{"invalid Huffman code in a name", "3fbd01 61 00 00"},
		{"invalid Huffman code in a value", "3fbd01 c0 81 00"},
		{"reference that is no integer", "3fbd01 c00161 bfbfbfbfbfbfbfbfbfbfbfbfbf 0161"},
		{"name that is no integer", "3fbd01 5fffffffffffffffffffffffff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(220, 0, -1)
			err := d.EncoderStream(unhex(t, c.in))
			var qerr *Error
			require.ErrorAs(t, err, &qerr, "%v", err)
			require.EqualValues(t, EncoderStreamError, qerr.Code)
		})
	}
}

// TestPartialInstructionIsBounded: an incomplete instruction takes no more memory than an entry of
// the table may have.
func TestPartialInstructionIsBounded(t *testing.T) {
	d := NewDecoder(4096, 0, -1)
	require.NoError(t, d.EncoderStream(appendInt(nil, 0x20, 5, 4096)))
	in := appendInt([]byte{0xc0}, 0x80, 7, 4*(4096-42))
	in = append(in, make([]byte, 20000)...)
	for _, b := range in {
		if err := d.EncoderStream([]byte{b}); err != nil {
			break
		}
		require.LessOrEqual(t, len(d.partial), 4*4096)
	}
	require.Zero(t, d.table.inserted)
}

// A link is an encoder and a decoder whose streams a test delivers as it likes.
type link struct {
	e        *Encoder
	d        *Decoder
	toD, toE []byte
	pending  []pendingSection
	blocked  int
}

type pendingSection struct {
	stream uint64
	b      []byte
	want   []Field
}

func newLink(capacity, blocked, limit uint64) *link {
	l := &link{e: NewEncoder(limit), d: NewDecoder(capacity, int(blocked), -1)}
	l.e.SetLimits(capacity, blocked)
	return l
}

func (l *link) encode(stream uint64, fields []Field) []byte {
	b := encode(l.e, stream, fields...)
	l.toD = append(l.toD, l.e.Instructions()...)
	return b
}

// decode tries to decode a section, and reports whether it could.
func (l *link) decode(s pendingSection) (bool, error) {
	got, err := l.d.Decode(s.stream, s.b)
	if errors.Is(err, ErrBlocked) {
		l.blocked++
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !slices.Equal(got, s.want) {
		return false, fmt.Errorf("stream %d: %v instead of %v", s.stream, got, s.want)
	}
	return true, nil
}

// deliver delivers the first n bytes for the decoder.
func (l *link) deliver(n int) error {
	err := l.d.EncoderStream(l.toD[:n])
	l.toD = l.toD[n:]
	return err
}

func (l *link) acknowledge() error {
	l.toE = append(l.toE, l.d.Instructions()...)
	err := l.e.DecoderStream(l.toE)
	l.toE = l.toE[:0]
	return err
}

// TestEncoderCapacity: the encoder keeps to the limit of the decoder (RFC 9204, Section 3.2.3 [1];
// RFC 9204, Section 4.3.1 [1]), and is silent if that is 0 (RFC 9204, Section 3.2.3 [3]).
func TestEncoderCapacity(t *testing.T) {
	for capacity, want := range map[uint64]string{0: "", 31: "", 100: "3f45", 4096: "3fe11f", 1 << 30: "3fe11f"} {
		e := NewEncoder(4096)
		e.SetLimits(capacity, 0)
		require.Equal(t, unhex(t, want), append([]byte{}, e.Instructions()...), "%d", capacity)
		e.Begin(0)
		for range 3 {
			e.Field(Field{Name: "user-agent", Value: "lazo"})
		}
		e.End(nil)
		require.Equal(t, capacity < 100, len(e.Instructions()) == 0, "%d", capacity)
	}
}

// TestEncoderWithoutBlocking: the encoder never refers to entries that may not have arrived.
func TestEncoderWithoutBlocking(t *testing.T) {
	l := newLink(4096, 0, 4096)
	fields := []Field{{Name: "user-agent", Value: "lazo"}, {Name: "x-a", Value: "1"}}
	b := l.encode(0, fields)
	require.Equal(t, []byte{0, 0}, b[:2], "no references")
	require.NotEmpty(t, l.toD)
	before := len(b)
	require.Len(t, l.encode(4, fields), before, "and still none")
	require.NoError(t, l.deliver(len(l.toD)))
	require.NoError(t, l.acknowledge())
	b = l.encode(8, fields)
	require.Less(t, len(b), 6)
	ok, err := l.decode(pendingSection{8, b, fields})
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, l.e.sections, 1)
	require.NoError(t, l.acknowledge())
	require.Empty(t, l.e.sections)
}

// TestEncoderRisksBlocking: the encoder refers to such entries at once, on as many streams as it
// may (RFC 9204, Section 2.1.2 [1]).
func TestEncoderRisksBlocking(t *testing.T) {
	l := newLink(4096, 2, 4096)
	fields := []Field{{Name: "user-agent", Value: "lazo"}}
	sections := [][]byte{l.encode(0, fields), l.encode(0, fields), l.encode(4, fields), l.encode(8, fields)}
	for i, stream := range []uint64{0, 0, 4} {
		_, err := l.d.Decode(stream, sections[i])
		require.ErrorIs(t, err, ErrBlocked)
	}
	got, err := l.d.Decode(8, sections[3])
	require.NoError(t, err, "the third stream must not be blocked")
	require.Equal(t, fields, got)
	require.NoError(t, l.deliver(len(l.toD)))
	for i, stream := range []uint64{0, 0, 4} {
		got, err := l.d.Decode(stream, sections[i])
		require.NoError(t, err)
		require.Equal(t, fields, got)
	}
	require.NoError(t, l.acknowledge())
	require.Empty(t, l.e.sections)
}

// TestSensitiveFieldsStayOut: they stay out of the table, and so do secrets that are easy to guess
// (RFC 9204, Section 4.5.4 [1]; RFC 9204, Section 7.1.3 [1, 2]).
func TestSensitiveFieldsStayOut(t *testing.T) {
	l := newLink(4096, 10, 4096)
	for range 5 {
		l.encode(0, []Field{
			{Name: "x-secret", Value: "1", Sensitive: true}, {Name: "authorization", Value: "Basic x"},
			{Name: "cookie", Value: "short"}, {Name: "set-cookie", Value: "a=b"},
		})
	}
	require.Zero(t, l.e.table.inserted)
}

// TestInvalidDecoderInstructions: RFC 9204, Section 4.4.1 [1], and RFC 9204, Section 4.4.3 [1].
func TestInvalidDecoderInstructions(t *testing.T) {
	for name, in := range map[string][]byte{
		"increment of 0":                   {0},
		"increment beyond":                 {2},
		"acknowledgment of another stream": {0x84},
		"acknowledgment twice":             {0x80, 0x80},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(4096, 1, 4096)
			l.encode(0, []Field{{Name: "user-agent", Value: "lazo"}})
			var qerr *Error
			require.ErrorAs(t, l.e.DecoderStream(in), &qerr)
			require.EqualValues(t, DecoderStreamError, qerr.Code)
		})
	}
}

// TestTableTurnsOver: fields change. Old entries make room for new ones, and entries in use are
// duplicated.
func TestTableTurnsOver(t *testing.T) {
	l := newLink(400, 10, 400)
	for i := range uint64(500) {
		fields := []Field{{Name: "user-agent", Value: "lazo"}, {Name: "accept", Value: fmt.Sprint("type/", i/4)}}
		s := pendingSection{i * 4, l.encode(i*4, fields), fields}
		require.NoError(t, l.deliver(len(l.toD)))
		ok, err := l.decode(s)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, l.acknowledge())
	}
	require.Greater(t, l.e.table.dropped, uint64(100))
	m := l.e.find(Field{Name: "user-agent", Value: "lazo"})
	require.True(t, m.exists, "duplicated in time")
}

// TestUnacknowledgedSections: a peer that acknowledges nothing gets static sections.
func TestUnacknowledgedSections(t *testing.T) {
	l := newLink(4096, 1000, 4096)
	fields := []Field{{Name: "user-agent", Value: "lazo"}}
	for i := range uint64(1000) {
		l.encode(4*i, fields)
	}
	require.Len(t, l.e.sections, maxOutstanding)
	require.Equal(t, []byte{0, 0}, l.encode(8000, fields)[:2])
}

// TestRandomLink exchanges random sections over streams that deliver late, in pieces and out of
// order. Each section must be decoded as it was encoded: in order (RFC 9204, Section 2.1 [1]; RFC
// 9204, Section 2.2 [1]), without a reference to an entry that is gone (RFC 9204, Section 2.1.1
// [1]; RFC 9204, Section 3.2.2 [1]), and with a Base that is not negative (RFC 9204, Section
// 4.5.1.2 [1]).
func TestRandomLink(t *testing.T) {
	var blocked int
	var dropped, known uint64
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		l := newLink(32*uint64(rnd.IntN(40)), uint64(rnd.IntN(5)), uint64(rnd.IntN(1500)))
		if err := runLink(l, rnd, 400); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		blocked += l.blocked
		dropped += l.e.table.dropped
		known += l.e.known
	}
	require.Greater(t, blocked, 500, "sections were blocked")
	require.Greater(t, dropped, uint64(500), "entries were evicted")
	require.Greater(t, known, dropped)
}

// runLink makes steps random steps.
func runLink(l *link, rnd *rand.Rand, steps int) error {
	stream := uint64(0)
	for range steps {
		switch rnd.IntN(6) {
		case 0, 1:
			if rnd.IntN(4) > 0 {
				stream += 4
			}
			fields := randomFields(rnd)
			for i := range fields {
				if rnd.IntN(2) == 0 {
					fields[i] = Field{Name: []string{"user-agent", "accept", "x-custom"}[rnd.IntN(3)],
						Value: strings.Repeat("v", rnd.IntN(60))}
				}
			}
			l.pending = append(l.pending, pendingSection{stream, l.encode(stream, fields), fields})
		case 2:
			if err := l.deliver(rnd.IntN(len(l.toD) + 1)); err != nil {
				return err
			}
			for _, ok := l.d.Unblocked(); ok; _, ok = l.d.Unblocked() {
			}
		case 3, 4:
			if err := l.decodeOne(rnd); err != nil {
				return err
			}
		case 5:
			if rnd.IntN(10) == 0 && len(l.pending) > 0 { // a stream is reset
				id := l.pending[rnd.IntN(len(l.pending))].stream
				l.pending = slices.DeleteFunc(l.pending, func(s pendingSection) bool { return s.stream == id })
				l.d.Cancel(id)
			}
			if err := l.acknowledge(); err != nil {
				return err
			}
		}
	}
	if err := l.deliver(len(l.toD)); err != nil {
		return err
	}
	for _, s := range l.pending {
		if ok, err := l.decode(s); err != nil || !ok {
			return fmt.Errorf("in the end: %v, %v", ok, err)
		}
	}
	return l.acknowledge()
}

// decodeOne decodes a section that is the first of its stream.
func (l *link) decodeOne(rnd *rand.Rand) error {
	if len(l.pending) == 0 {
		return nil
	}
	s := l.pending[rnd.IntN(len(l.pending))]
	i := slices.IndexFunc(l.pending, func(p pendingSection) bool { return p.stream == s.stream })
	ok, err := l.decode(l.pending[i])
	if ok {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	return err
}

// FuzzEncoderStream feeds instructions whole and byte by byte.
func FuzzEncoderStream(f *testing.F) {
	f.Add([]byte("\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path"))
	f.Add([]byte("\x3f\xbd\x01\x4acustom-key\x0ccustom-value\x00\x81\x01a"))
	// an endless number
	f.Add([]byte("\x3f\xbd\x01\x4acustom-key\x0ccustom-value\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbfA0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, pieces := NewDecoder(220, 1, -1), NewDecoder(220, 1, -1)
		err1 := whole.EncoderStream(b)
		var err2 error
		for i := range b {
			if err2 = pieces.EncoderStream(b[i : i+1]); err2 != nil {
				break
			}
		}
		if (err1 == nil) != (err2 == nil) || err1 == nil && whole.table.inserted != pieces.table.inserted {
			t.Fatalf("%x: %v and %v", b, err1, err2)
		}
		if pieces.table.size > 220 || len(pieces.partial) > 4*220+20 {
			t.Fatalf("%d bytes of table, %d of an instruction", pieces.table.size, len(pieces.partial))
		}
	})
}

// FuzzDecoderStream feeds instructions to an encoder that has sections in flight.
func FuzzDecoderStream(f *testing.F) {
	f.Add([]byte{0x80, 0x84, 0x01})
	f.Add([]byte{0x48, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLink(4096, 10, 4096)
		fields := []Field{{Name: "user-agent", Value: "lazo"}, {Name: "server", Value: "lazo"}}
		for i := range uint64(3) {
			l.encode(i*4, fields)
		}
		if l.e.DecoderStream(b) == nil && l.e.known > l.e.table.inserted {
			t.Fatal("more is known than was inserted")
		}
		l.encode(100, fields)
	})
}

// FuzzLink is TestRandomLink with input of the fuzzer.
func FuzzLink(f *testing.F) {
	f.Add(uint64(1), uint64(220), uint64(1))
	f.Fuzz(func(t *testing.T, seed, capacity, blocked uint64) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		if err := runLink(newLink(capacity%8192, blocked%20, 4096), rnd, 200); err != nil {
			t.Fatal(err)
		}
	})
}
