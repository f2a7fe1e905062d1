package wire

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// Unprotected headers of RFC 9001 and RFC 9369, Appendix A; Length is of two bytes there too.
// RFC 9000, Section 17.2 [8].
func TestAppendLongExamples(t *testing.T) {
	dcid, scid := unhex(t, "8394c8f03e515708"), unhex(t, "f067a5502a4262b5")
	for _, tc := range []struct {
		want       string
		version    uint32
		dcid, scid []byte
		pn         uint64
		pnLen      int
		length     uint64
	}{
		{"c300000001088394c8f03e5157080000449e00000002", Version1, dcid, nil, 2, 4, 1182},
		{"c1000000010008f067a5502a4262b50040750001", Version1, nil, scid, 1, 2, 117},
		{"d36b3343cf088394c8f03e5157080000449e00000002", Version2, dcid, nil, 2, 4, 1182},
		{"d16b3343cf0008f067a5502a4262b50040750001", Version2, nil, scid, 1, 2, 117},
	} {
		b, lengthOff, pnOff := AppendLong(nil, TypeInitial, tc.version, tc.dcid, tc.scid, nil, tc.pn, tc.pnLen)
		PutVarint2(b[lengthOff:], tc.length)
		require.Equal(t, unhex(t, tc.want), b)
		require.Equal(t, len(b)-tc.pnLen, pnOff)

		packet := append(b, make([]byte, tc.length)...)
		h, ok := ParseLong(packet)
		require.True(t, ok)
		require.Equal(t, pnOff, h.PNOff)
		require.Equal(t, pnOff+int(tc.length), h.End)
	}
}

// RFC 9000, Section 17.2, and RFC 9369, Section 3.2.
func TestLongTypes(t *testing.T) {
	for _, tc := range []struct {
		version uint32
		bits    [4]byte // by type
	}{
		{Version1, [4]byte{0, 1, 2, 3}},
		{Version2, [4]byte{1, 2, 3, 0}},
	} {
		for typ, bits := range tc.bits {
			if typ == TypeRetry {
				b := AppendRetry(nil, tc.version, nil, nil, []byte("t"))
				require.Equal(t, 0xc0|bits<<4, b[0])
				continue
			}
			b, _, _ := AppendLong(nil, uint8(typ), tc.version, nil, nil, nil, 0, 1)
			require.Equal(t, 0xc0|bits<<4, b[0])
			b = append(b, make([]byte, 20)...)
			h, ok := ParseLong(b)
			require.True(t, ok)
			require.Equal(t, uint8(typ), h.Type)
		}
	}
}

func TestLongRoundTrip(t *testing.T) {
	dcid, scid, token := []byte("destination"), []byte("src"), bytes.Repeat([]byte("token"), 30)
	for _, version := range []uint32{Version1, Version2} {
		for _, typ := range []uint8{TypeInitial, Type0RTT, TypeHandshake} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				const prefix = 7 // a coalesced packet lies before
				b := make([]byte, prefix)
				b, lengthOff, pnOff := AppendLong(b, typ, version, dcid, scid, token, 0x01020304, pnLen)
				require.Equal(t, pnOff, lengthOff+2)
				require.Equal(t, []byte{1, 2, 3, 4}[4-pnLen:], b[pnOff:])
				b = append(b, "payload and tag"...)
				PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
				end := len(b)
				b = append(b, "next packet"...)

				h, ok := ParseLong(b[prefix:])
				require.True(t, ok)
				want := Long{Type: typ, Version: version, DCID: dcid, SCID: scid, PNOff: pnOff - prefix, End: end - prefix}
				if typ == TypeInitial {
					want.Token = token
				}
				require.Equal(t, want, h)
				require.Equal(t, byte(pnLen-1), b[prefix]&3)
				require.Zero(t, ReservedBits(b[prefix]))
				require.True(t, IsLong(b[prefix]))
			}
		}
	}
}

// Every header that ends too early is malformed, and so is every packet.
func TestLongTruncated(t *testing.T) {
	for _, typ := range []uint8{TypeInitial, TypeHandshake} {
		b, lengthOff, _ := AppendLong(nil, typ, Version1, []byte("dcid"), []byte("scid"), []byte("token"), 1, 1)
		b = append(b, make([]byte, 30)...)
		PutVarint2(b[lengthOff:], 31)
		_, ok := ParseLong(b)
		require.True(t, ok)
		for n := range b {
			_, ok := ParseLong(b[:n])
			require.False(t, ok, "%d bytes", n)
		}
	}
}

// RFC 9000, Section 17.2 [3, 6].
func TestLongMalformed(t *testing.T) {
	id21 := bytes.Repeat([]byte("00"), 21)
	for name, s := range map[string]string{
		"empty":                   "",
		"short header":            "40000000010000000000",
		"version negotiation":     "c0000000000000000000",
		"unknown version":         "c0ff0000010000004000",
		"dcid of 21 bytes":        "c00000000115" + string(id21) + "00004000",
		"scid of 21 bytes":        "c0000000010015" + string(id21) + "004000",
		"token longer than all":   "c0000000010000ffffffffffffffff4000",
		"length longer than all":  "c000000001000000ffffffffffffffff00",
		"retry without token":     "f0000000010000" + "00000000000000000000000000000000",
		"retry shorter than tag":  "f0000000010000" + "000000000000000000000000000000",
		"dcid length of 255":      "c000000001ff00",
		"scid length beyond":      "c0000000010001",
		"no scid length":          "c00000000100",
		"handshake, no length":    "e0000000010000",
		"length cut in the midst": "e000000001000040",
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := ParseLong(unhex(t, s))
			require.False(t, ok)
		})
	}
}

// RFC 9000, Section 17.2 [4, 7].
func TestInvariant(t *testing.T) {
	dcid, scid := bytes.Repeat([]byte("d"), 255), bytes.Repeat([]byte("s"), 255)
	b := appendInvariant([]byte{0x80}, 0xfaceb00c, dcid, scid)
	version, d, s, ok := ParseInvariant(append(b, "anything"...))
	require.True(t, ok)
	require.Equal(t, uint32(0xfaceb00c), version)
	require.Equal(t, dcid, d)
	require.Equal(t, scid, s)
	for n := range b {
		_, _, _, ok := ParseInvariant(b[:n])
		require.False(t, ok, "%d bytes", n)
	}
	b[0] = 0x40
	_, _, _, ok = ParseInvariant(b)
	require.False(t, ok, "short header")
}

// RFC 9000, Section 17.3.1 [2].
func TestShort(t *testing.T) {
	dcid := []byte("01234567")
	for i := range 4 {
		spin, phase, pnLen := i&1 != 0, i&2 != 0, i+1
		b := AppendShort([]byte("xx"), dcid, spin, phase, 0xa1b2c3d4, pnLen)[2:]
		require.False(t, IsLong(b[0]))
		require.Equal(t, byte(0x40), b[0]&0x40)
		require.Equal(t, spin, b[0]&0x20 != 0)
		require.Equal(t, phase, KeyPhase(b[0]))
		require.Equal(t, byte(i), b[0]&3)
		require.Zero(t, ReservedBits(b[0]))
		require.Equal(t, dcid, b[1:9])
		require.Equal(t, []byte{0xa1, 0xb2, 0xc3, 0xd4}[4-pnLen:], b[9:])
	}
}

func TestReservedBits(t *testing.T) {
	require.Equal(t, byte(0x0c), ReservedBits(0xff))
	require.Equal(t, byte(0x18), ReservedBits(0x7f))
	require.Zero(t, ReservedBits(0xf3))
	require.Zero(t, ReservedBits(0x67))
}

// TestVersionNegotiation: RFC 8999, Section 6 [1, 2].
// RFC 9000, Section 17.2.1 [1, 2, 3].
func TestVersionNegotiation(t *testing.T) {
	dcid, scid := bytes.Repeat([]byte("c"), 30), []byte("s")
	b := AppendVersionNegotiation(nil, 0x1a, dcid, scid, []uint32{Version2, Version1})
	require.Equal(t, byte(0xda), b[0])
	version, d, s, ok := ParseInvariant(b)
	require.True(t, ok)
	require.Zero(t, version)
	require.Equal(t, dcid, d)
	require.Equal(t, scid, s)
	versions, ok := ParseVersionNegotiation(b)
	require.True(t, ok)
	require.Equal(t, unhex(t, "6b3343cf00000001"), versions)
	for unused := range byte(0x80) {
		odd := append([]byte{0x80 | unused}, b[1:]...)
		_, ok := ParseVersionNegotiation(odd)
		require.True(t, ok, "%#x", odd[0])
	}

	for name, bad := range map[string][]byte{
		"cut":         b[:len(b)-1],
		"no versions": b[:len(b)-8],
		"no scid":     b[:6+30],
		"version 1":   append([]byte{0xc0, 0, 0, 0, 1}, b[5:]...),
		"empty":       nil,
	} {
		_, ok := ParseVersionNegotiation(bad)
		require.False(t, ok, name)
	}
}

// RFC 9001 and RFC 9369, Appendix A.4, but for the unused bits.
func TestRetry(t *testing.T) {
	for version, want := range map[uint32]string{
		Version1: "f0000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
		Version2: "c06b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
	} {
		b := unhex(t, want)
		tag := len(b) - RetryTagLen
		require.Equal(t, b[:tag], AppendRetry(nil, version, nil, unhex(t, "f067a5502a4262b5"), []byte("token")))
		h, ok := ParseLong(b)
		require.True(t, ok)
		require.Equal(t, Long{
			Type: TypeRetry, Version: version, DCID: []byte{}, SCID: unhex(t, "f067a5502a4262b5"),
			Token: []byte("token"), PNOff: tag, End: len(b),
		}, h)
	}
}

// Appending to a slice that a parser returned does not overwrite the packet.
func TestParsedSlicesHaveNoSpareCapacity(t *testing.T) {
	b, lengthOff, _ := AppendLong(nil, TypeInitial, Version1, []byte("dcid"), []byte("scid"), []byte("token"), 1, 1)
	PutVarint2(b[lengthOff:], 1)
	before := bytes.Clone(b)
	h, ok := ParseLong(b)
	require.True(t, ok)
	for _, s := range [][]byte{h.DCID, h.SCID, h.Token} {
		_ = append(s, 0xee)
	}
	require.Equal(t, before, b)
}

func TestHeadersDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 1500)
	dcid, token := []byte("01234567"), []byte("token")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b, lengthOff, pnOff := AppendLong(buf, TypeInitial, Version2, dcid, dcid, token, 77, 2)
		PutVarint2(b[lengthOff:], 22)
		b = append(b, "twenty bytes payload"...)
		h, ok := ParseLong(b)
		if !ok || h.PNOff != pnOff {
			t.Fatal("not parsed")
		}
		if _, _, _, ok = ParseInvariant(b); !ok {
			t.Fatal("not parsed")
		}
		AppendShort(buf, dcid, false, true, 77, 2)
	}))
}

func FuzzLong(f *testing.F) {
	f.Add(unhex(f, "c300000001088394c8f03e51570800000500000002ff"))
	f.Add(unhex(f, "d16b3343cf0008f067a5502a4262b50040020001"))
	f.Add(unhex(f, "f0000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba"))
	f.Add(unhex(f, "da0000000001aa01bb6b3343cf00000001"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		ParseVersionNegotiation(b)
		version, dcid, scid, ok := ParseInvariant(b)
		h, okLong := ParseLong(b)
		if okLong && (!ok || version != h.Version || !bytes.Equal(dcid, h.DCID) || !bytes.Equal(scid, h.SCID)) {
			t.Fatalf("%+v differs from the invariants", h)
		}
		if !okLong {
			return
		}
		if h.PNOff <= 0 || h.PNOff > h.End || h.End > len(b) {
			t.Fatalf("offsets of %+v in %d bytes", h, len(b))
		}
		var out []byte
		if h.Type == TypeRetry {
			out = AppendRetry(nil, h.Version, h.DCID, h.SCID, h.Token)
			out = append(out, b[h.PNOff:h.End]...)
		} else {
			if h.End-h.PNOff < 4 || h.End-h.PNOff > maxVarint2 {
				return
			}
			var lengthOff, pnOff int
			out, lengthOff, pnOff = AppendLong(nil, h.Type, h.Version, h.DCID, h.SCID, h.Token, 0, 4)
			PutVarint2(out[lengthOff:], uint64(h.End-h.PNOff))
			out = append(out[:pnOff], b[h.PNOff:h.End]...)
		}
		h2, ok := ParseLong(out)
		if !ok || fmt.Sprint(h.Type, h.Version, h.DCID, h.SCID, h.Token) != fmt.Sprint(h2.Type, h2.Version, h2.DCID, h2.SCID, h2.Token) ||
			!bytes.Equal(out[h2.PNOff:h2.End], b[h.PNOff:h.End]) {
			t.Fatalf("%+v became %+v", h, h2)
		}
	})
}
