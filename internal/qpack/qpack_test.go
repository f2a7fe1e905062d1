package qpack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// unhex returns the bytes of hexadecimal digits with spaces between them.
func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func encode(e *Encoder, stream uint64, fields ...Field) []byte {
	e.Begin(stream)
	for _, f := range fields {
		e.Field(f)
	}
	return e.End(nil)
}

// TestIntegers: RFC 9204, Section 4.1.1 [1], and RFC 9204, Section 7.4 [1].
func TestIntegers(t *testing.T) {
	// RFC 7541, Appendix C.1.
	require.Equal(t, []byte{0x0a}, appendInt(nil, 0, 5, 10))
	require.Equal(t, []byte{0x1f, 0x9a, 0x0a}, appendInt(nil, 0, 5, 1337))
	require.Equal(t, []byte{0x2a}, appendInt(nil, 0, 8, 42))

	for n := uint8(3); n <= 8; n++ {
		for shift := range 62 {
			for _, v := range []uint64{1<<shift - 1, 1 << shift, 1<<shift + 1, maxInt - 1<<shift} {
				b := appendInt(nil, 0, n, v)
				got, size := parseInt(b, n)
				require.Equal(t, v, got)
				require.Equal(t, len(b), size)
				for i := range b {
					_, size := parseInt(b[:i], n)
					require.Zero(t, size, "%d of %x", i, b)
				}
			}
		}
	}
	_, size := parseInt(appendInt(nil, 0, 8, maxInt+1), 8)
	require.Negative(t, size)
	_, size = parseInt(bytes.Repeat([]byte{0xff}, 20), 8)
	require.Negative(t, size, "an integer without an end")
}

func TestStaticTable(t *testing.T) {
	require.Len(t, staticTable, 99)
	for i, e := range staticTable {
		field, name := staticFind(e.name, e.value)
		require.Equal(t, i, field)
		require.Equal(t, e.name, staticTable[name].name)
		none, again := staticFind(e.name, "no such value")
		require.Equal(t, -1, none)
		require.Equal(t, name, again)
	}
	field, name := staticFind("x-unknown", "")
	require.Equal(t, [2]int{-1, -1}, [2]int{field, name})
}

var requestFields = []Field{
	{Name: ":method", Value: "GET"},
	{Name: ":scheme", Value: "https"},
	{Name: ":authority", Value: "lazo.test:4433"},
	{Name: ":path", Value: "/index.html?q=1"},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"},
	{Name: "accept", Value: "*/*"},
	{Name: "authorization", Value: "Basic c2VjcmV0", Sensitive: true},
	{Name: "x-empty"},
	{Name: "x-binary", Value: "\x80\xff\x01"},
}

func TestRoundTrip(t *testing.T) {
	e, d := NewEncoder(0), NewDecoder(0, 0, -1)
	got, err := d.Decode(0, encode(e, 0, requestFields...))
	require.NoError(t, err)
	require.Equal(t, requestFields, got)

	got, err = d.Decode(0, encode(e, 0))
	require.NoError(t, err)
	require.Empty(t, got)
}

// TestInvalidSections: RFC 9204, Section 3.1 [1], and RFC 9204, Section 7.4 [2].
func TestInvalidSections(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"empty", ""},
		{"no Base", "00"},
		{"Required Insert Count with capacity 0", "02 00 80"},
		{"Required Insert Count that is no integer", "ff ff ff ff ff ff ff ff ff ff ff ff 00"},
		{"Base that is no integer", "00 7f ff ff ff ff ff ff ff ff ff ff ff"},
		{"negative Base", "00 80"},
		{"static index 99", "00 00 ff 24"},
		{"static name 99", "00 00 5f 54 01 61"},
		{"index without an end", "00 00 ff"},
		{"dynamic index", "00 00 80"},
		{"dynamic index, Base above 0", "00 05 80"},
		{"dynamic name", "00 00 40 01 61"},
		{"post-base index", "00 00 10"},
		{"post-base name", "00 00 00 01 61"},
		{"value shorter than its length", "00 00 51 05 61 62"},
		{"value of 2 GiB", "00 00 51 7f 81 ff ff ff 07"},
		{"value length that is no integer", "00 00 51 7f ff ff ff ff ff ff ff ff ff ff 01"},
		{"name shorter than its length", "00 00 27 01"},
		{"no value", "00 00 21 61"},
		{"Huffman code with EOS", "00 00 51 84 ff ff ff ff"},
		{"Huffman padding of zeros", "00 00 51 81 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewDecoder(0, 0, 1<<20).Decode(0, unhex(t, c.in))
			var qerr *Error
			require.ErrorAs(t, err, &qerr)
			require.EqualValues(t, DecompressionFailed, qerr.Code)
		})
	}
}

// TestSectionLimit counts as RFC 9114, Section 4.2.2 does, at each byte around the limit.
func TestSectionLimit(t *testing.T) {
	var size int64
	for _, f := range requestFields {
		size += f.Size()
	}
	b := encode(NewEncoder(0), 0, requestFields...)
	_, err := NewDecoder(0, 0, size).Decode(0, b)
	require.NoError(t, err)
	for limit := range size {
		_, err := NewDecoder(0, 0, limit).Decode(0, b)
		require.ErrorIs(t, err, ErrTooLarge, "limit %d", limit)
	}
}

// TestSectionOfManyFields: each costs one byte to send, and counts 36.
func TestSectionOfManyFields(t *testing.T) {
	const age = 0xc0 | 2 // "age: 0" of the static table
	section := func(n int) []byte { return append([]byte{0, 0}, bytes.Repeat([]byte{age}, n)...) }
	for _, limit := range []int64{-1, 1 << 20} {
		d := NewDecoder(0, 0, limit)
		fields, err := d.Decode(0, section(MaxFields))
		require.NoError(t, err)
		require.Len(t, fields, MaxFields)
		_, err = d.Decode(4, section(MaxFields+1))
		require.ErrorIs(t, err, ErrTooLarge)
		require.LessOrEqual(t, len(d.fields), MaxFields)
	}
}

// TestSectionBomb sends sections that are small but would be large when decoded.
func TestSectionBomb(t *testing.T) {
	for name, in := range map[string][]byte{
		// entry 85
		"indexed": append([]byte{0, 0}, bytes.Repeat([]byte{0xff, 0x55 - 0x3f}, 1<<20)...),
		"empty":   append([]byte{0, 0}, bytes.Repeat([]byte{0x20, 0}, 1<<20)...),
		"huffman": append(appendInt([]byte{0, 0, 0x51}, 0x80, 7, 1<<20), bytes.Repeat([]byte{0}, 1<<20)...),
	} {
		d := NewDecoder(0, 0, 1<<16)
		_, err := d.Decode(0, in)
		require.ErrorIs(t, err, ErrTooLarge, name)
		require.LessOrEqual(t, len(d.fields), 1<<16/fieldOverhead+1, name)
		require.LessOrEqual(t, cap(d.text), 1<<18, name)
	}
}

func TestDecodeAllocates(t *testing.T) {
	e, d := NewEncoder(0), NewDecoder(0, 0, 1<<16)
	b := encode(e, 0, requestFields...)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := d.Decode(0, b); err != nil {
			t.Fatal(err)
		}
	}), 1.0, "one string a section")

	var out []byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.Begin(0)
		for _, f := range requestFields {
			e.Field(f)
		}
		out = e.End(out[:0])
	}))
}

func TestDecoderStreamWithoutTable(t *testing.T) {
	for _, c := range []struct {
		name, in string
		fails    bool
	}{
		{"section acknowledgment", "84", true},
		{"insert count increment of 0", "00", true},
		{"insert count increment", "01", true},
		{"stream cancellation", "48", false},
		{"stream cancellation of a large stream in pieces", "7f 80 80 01", false},
		{"integer without an end", "7f ff ff ff ff ff ff ff ff ff ff ff", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := NewEncoder(0)
			var err error
			for _, b := range unhex(t, c.in) {
				if err = e.DecoderStream([]byte{b}); err != nil {
					break
				}
			}
			if !c.fails {
				require.NoError(t, err)
				return
			}
			var qerr *Error
			require.ErrorAs(t, err, &qerr)
			require.EqualValues(t, DecoderStreamError, qerr.Code)
		})
	}
}

// TestEncoderStreamWithoutTable: RFC 9204, Section 3.1 [2], among others.
func TestEncoderStreamWithoutTable(t *testing.T) {
	for _, c := range []struct {
		name, in string
		fails    bool
	}{
		{"capacity 0", "20", false},
		{"capacity 1", "21", true},
		{"insert with static name", "c0 01 61", true},
		{"insert with static name, length alone", "c0 01", true},
		{"insert with static name 99", "ff 24 01", true},
		{"insert with dynamic name", "80", true},
		{"insert with literal name", "41 61 01 61", true},
		{"insert of 2 GiB", "5f 81 ff ff ff 07", true},
		{"duplicate", "00", true},
		{"integer without an end", "3f ff ff ff ff ff ff ff ff ff ff ff", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := NewDecoder(0, 0, -1).EncoderStream(unhex(t, c.in))
			if !c.fails {
				require.NoError(t, err)
				return
			}
			var qerr *Error
			require.ErrorAs(t, err, &qerr)
			require.EqualValues(t, EncoderStreamError, qerr.Code)
		})
	}
}

// TestRandomSections encodes and decodes random fields.
func TestRandomSections(t *testing.T) {
	const seed = 1
	rnd := rand.New(rand.NewPCG(seed, seed))
	e, d := NewEncoder(0), NewDecoder(0, 0, -1)
	for i := range 2000 {
		fields := randomFields(rnd)
		got, err := d.Decode(uint64(i), encode(e, uint64(i), fields...))
		require.NoError(t, err, "seed %d", seed)
		require.Equal(t, len(fields), len(got))
		for j := range fields {
			require.Equal(t, fields[j], got[j], "seed %d", seed)
		}
	}
}

func randomFields(rnd *rand.Rand) []Field {
	fields := make([]Field, rnd.IntN(10))
	for i := range fields {
		if rnd.IntN(2) == 0 {
			s := staticTable[rnd.IntN(len(staticTable))]
			fields[i] = Field{Name: s.name, Value: s.value, Sensitive: rnd.IntN(4) == 0}
		} else {
			fields[i] = Field{Name: fmt.Sprintf("x-%d", rnd.IntN(20)), Sensitive: rnd.IntN(8) == 0}
		}
		if rnd.IntN(3) == 0 {
			v := make([]byte, rnd.IntN(60))
			for k := range v {
				v[k] = byte(rnd.Uint32())
			}
			fields[i].Value = string(v)
		}
	}
	return fields
}

// FuzzSection decodes any bytes of a peer, and encodes the result again.
func FuzzSection(f *testing.F) {
	f.Add(encode(NewEncoder(0), 0, requestFields...))
	f.Add([]byte{0, 0, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{2, 0, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 14
		d := NewDecoder(0, 0, limit)
		fields, err := d.Decode(4, b)
		if err != nil {
			var qerr *Error
			if !errors.As(err, &qerr) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		var size int64
		for i := range fields {
			size += fields[i].Size()
		}
		if size > limit {
			t.Fatalf("%d bytes got past the limit", size)
		}
		again, err := NewDecoder(0, 0, limit).Decode(4, encode(NewEncoder(0), 4, fields...))
		if err != nil || len(again) != len(fields) {
			t.Fatalf("encoded again: %v, %v", again, err)
		}
		for i := range fields {
			if again[i] != fields[i] {
				t.Fatalf("field %d: %v became %v", i, fields[i], again[i])
			}
		}
	})
}
