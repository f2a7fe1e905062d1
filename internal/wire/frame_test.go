package wire

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// rewrite parses the frame at the start of b and appends it again: a frame's
// fields survive that, and what was appended once comes out unchanged. It
// returns n < 0 for malformed frames, unknown types, and types that are not minimal.
func rewrite(b []byte) (out []byte, n int) {
	typ, n := ParseVarint(b)
	if n == 0 || n != VarintLen(typ) {
		return nil, -1
	}
	switch {
	case typ == FramePadding || typ == FramePing || typ == FrameHandshakeDone || typ == FrameImmediateAck:
		return []byte{byte(typ)}, 1
	case typ == FrameAck || typ == FrameAckECN:
		return rewriteAck(b)
	case typ >= FrameStream && typ < FrameStream+8:
		f, n := ParseStream(b)
		if n < 0 {
			return nil, n
		}
		if typ&streamLen != 0 && len(f.Data) > maxVarint2 {
			return b[:n], n
		}
		out, _ = AppendStreamHeader(nil, f.ID, f.Offset, typ&streamLen != 0, f.Fin, len(f.Data))
		return append(out, f.Data...), n
	case typ == FrameMaxStreamData || typ == FrameStreamDataBlocked:
		id, v, n := ParseTwo(b)
		return appendIf(n, func() []byte { return AppendTwo(nil, byte(typ), id, v) }), n
	case typ == FrameStopSending:
		id, code, n := ParseStopSending(b)
		return appendIf(n, func() []byte { return AppendStopSending(nil, id, code) }), n
	case typ == FrameRetireConnectionID || typ >= FrameMaxData && typ <= FrameStreamsBlockedUni:
		v, n := ParseOne(b)
		return appendIf(n, func() []byte { return AppendOne(nil, byte(typ), v) }), n
	}
	return rewriteRare(typ, b)
}

func rewriteRare(typ uint64, b []byte) (out []byte, n int) {
	switch typ {
	case FrameCrypto:
		offset, data, n := ParseCrypto(b)
		return appendIf(n, func() []byte { return append(AppendCryptoHeader(nil, offset, len(data)), data...) }), n
	case FrameResetStream:
		id, code, size, n := ParseResetStream(b)
		return appendIf(n, func() []byte { return AppendResetStream(nil, id, code, size) }), n
	case FrameResetStreamAt:
		id, code, size, reliable, n := ParseResetStreamAt(b)
		return appendIf(n, func() []byte { return AppendResetStreamAt(nil, id, code, size, reliable) }), n
	case FrameNewToken:
		token, n := ParseNewToken(b)
		return appendIf(n, func() []byte { return AppendNewToken(nil, token) }), n
	case FrameNewConnectionID:
		seq, retire, id, token, n := ParseNewConnectionID(b)
		return appendIf(n, func() []byte { return AppendNewConnectionID(nil, seq, retire, id, token) }), n
	case FramePathChallenge, FramePathResponse:
		data, n := ParsePath(b)
		return appendIf(n, func() []byte { return AppendPath(nil, byte(typ), data) }), n
	case FrameConnectionClose, FrameApplicationClose:
		app, code, frame, reason, n := ParseConnectionClose(b)
		return appendIf(n, func() []byte {
			return AppendConnectionClose(nil, math.MaxInt32, app, code, frame, string(reason))
		}), n
	case FrameDatagram, FrameDatagramLen:
		data, n := ParseDatagram(b)
		if typ == FrameDatagram {
			return b[:max(n, 0)], n
		}
		return appendIf(n, func() []byte { return append(AppendDatagramHeader(nil, len(data)), data...) }), n
	case FrameAckFrequency:
		seq, threshold, delay, reordering, n := ParseAckFrequency(b)
		return appendIf(n, func() []byte { return AppendAckFrequency(nil, seq, threshold, delay, reordering) }), n
	}
	return rewriteMultipath(typ, b)
}

// appendIf returns what f appends, if the frame was well-formed.
func appendIf(n int, f func() []byte) []byte {
	if n < 0 {
		return nil
	}
	return f()
}

// examples are one encoding of every kind of frame, written by hand from RFC 9000, Section 19.
func examples() map[string]string {
	return map[string]string{
		"PADDING":                      "00",
		"PING":                         "01",
		"ACK of one packet":            "0200000000",
		"ACK":                          "02 0a 4123 02 01 00 02 01 00",
		"ACK with ECN":                 "03 0a 05 01 01 00 02 01 4040 03",
		"RESET_STREAM":                 "04 04 4101 8001 0000",
		"STOP_SENDING":                 "05 04 4101",
		"CRYPTO":                       "06 4321 03 616263",
		"CRYPTO without data":          "06 00 00",
		"NEW_TOKEN":                    "07 03 746f6b",
		"STREAM":                       "08 04 616263",
		"STREAM, FIN, without data":    "09 04",
		"STREAM, LEN":                  "0a 04 4003 616263",
		"STREAM, LEN, FIN":             "0b 04 4000",
		"STREAM, OFF":                  "0c 04 4567 616263",
		"STREAM, OFF, FIN":             "0d 04 4567 616263",
		"STREAM, OFF, LEN":             "0e 04 4567 4003 616263",
		"STREAM, OFF, LEN, FIN":        "0f 04 4567 4003 616263",
		"MAX_DATA":                     "10 8fffffff",
		"MAX_STREAM_DATA":              "11 04 ffffffffffffffff",
		"MAX_STREAMS, bidirectional":   "12 4064",
		"MAX_STREAMS, unidirectional":  "13 03",
		"DATA_BLOCKED":                 "14 4064",
		"STREAM_DATA_BLOCKED":          "15 04 4064",
		"STREAMS_BLOCKED, bi":          "16 4064",
		"STREAMS_BLOCKED, uni":         "17 4064",
		"NEW_CONNECTION_ID":            "18 07 02 04 c0ffee00 000102030405060708090a0b0c0d0e0f",
		"RETIRE_CONNECTION_ID":         "19 07",
		"PATH_CHALLENGE":               "1a 0001020304050607",
		"PATH_RESPONSE":                "1b 0001020304050607",
		"CONNECTION_CLOSE":             "1c 0a 06 03 627965",
		"CONNECTION_CLOSE, no reason":  "1c 4180 00 00",
		"CONNECTION_CLOSE, app":        "1d 4100 03 627965",
		"HANDSHAKE_DONE":               "1e",
		"IMMEDIATE_ACK":                "1f",
		"RESET_STREAM_AT":              "24 04 4101 08 07",
		"RESET_STREAM_AT, all of it":   "24 04 4101 08 08",
		"DATAGRAM":                     "30 616263",
		"DATAGRAM, empty":              "30",
		"DATAGRAM with Length":         "31 03 616263",
		"DATAGRAM with Length of zero": "31 00",
		"ACK_FREQUENCY":                "40af 01 0a 6710 03",
		"PATH_ACK of one packet":       "3e 05 00000000",
		"PATH_ACK":                     "3e 4105 0a 4123 02 01 00 02 01 00",
		"PATH_ACK with ECN":            "3f 03 0a 05 01 01 00 02 01 4040 03",
		"PATH_ABANDON":                 "7e75 03 7e76",
		"PATH_ABANDON, no error":       "7e75 c0000000ffffffff 00",
		"PATH_STATUS_BACKUP":           "7e76 03 4064",
		"PATH_STATUS_AVAILABLE":        "7e77 03 4065",
		"PATH_NEW_CONNECTION_ID":       "7e78 03 07 02 04 c0ffee00 000102030405060708090a0b0c0d0e0f",
		"PATH_RETIRE_CONNECTION_ID":    "7e79 03 07",
		"MAX_PATH_ID":                  "7e7a c0000000ffffffff",
		"PATHS_BLOCKED":                "7e7b 03",
		"PATH_CIDS_BLOCKED":            "7e7c 03 02",
	}
}

func example(t testing.TB, s string) []byte {
	return unhex(t, strings.ReplaceAll(s, " ", ""))
}

func TestFrameExamples(t *testing.T) {
	for name, s := range examples() {
		t.Run(name, func(t *testing.T) {
			b := example(t, s)
			out, n := rewrite(b)
			require.Equal(t, len(b), n)
			require.Equal(t, b, out)

			// Frames but those which extend to the end of the packet leave alone what follows,
			// and are malformed if cut anywhere.
			if strings.Contains("08 09 0c 0d 30", s[:2]) {
				return
			}
			out, n = rewrite(append(bytes.Clone(b), 0xff, 0xff))
			require.Equal(t, len(b), n)
			require.Equal(t, b, out)
			for i := range b {
				_, n := rewrite(b[:i])
				require.Negative(t, n, "cut to %d bytes", i)
			}
		})
	}
}

func TestFramesMalformed(t *testing.T) {
	for name, s := range map[string]string{
		"ACK: first range below zero":        "02 05 00 00 06",
		"ACK: gap below zero":                "02 0a 00 01 05 04 00",
		"ACK: second range below zero":       "02 0a 00 01 05 02 02",
		"ACK: more ranges than fit":          "02 0a 00 05 01 00 00 00",
		"ACK: endless ranges":                "02 0a 00 ffffffffffffffff 01 00 00",
		"ACK: count cut":                     "02 0a 00 c0",
		"ACK: no ECN counts":                 "03 00 00 00 00",
		"STREAM: end beyond 2^62-1":          "0e 00 ffffffffffffffff 01 61",
		"STREAM: end beyond, to the end":     "0c 00 fffffffffffffffe 6161",
		"STREAM: length beyond packet":       "0a 00 ffffffffffffffff 61",
		"CRYPTO: end beyond 2^62-1":          "06 ffffffffffffffff 01 61",
		"CRYPTO: length beyond packet":       "06 00 04 616161",
		"NEW_TOKEN: empty":                   "07 00",
		"NEW_TOKEN: length beyond packet":    "07 05 61",
		"NEW_CONNECTION_ID: empty":           "18 01 00 00 000102030405060708090a0b0c0d0e0f",
		"NEW_CONNECTION_ID: 21 bytes":        "18 01 00 15" + strings.Repeat("aa", 21) + "000102030405060708090a0b0c0d0e0f",
		"NEW_CONNECTION_ID: retires itself":  "18 01 02 01 aa 000102030405060708090a0b0c0d0e0f",
		"NEW_CONNECTION_ID: no token":        "18 01 00 01 aa 000102030405060708090a0b0c0d0e",
		"PATH_CHALLENGE: cut":                "1a 00010203040506",
		"CONNECTION_CLOSE: reason too long":  "1c 00 00 04 616161",
		"CONNECTION_CLOSE: endless reason":   "1d 00 ffffffffffffffff 61",
		"RESET_STREAM_AT: reliable > final":  "24 04 00 07 08",
		"DATAGRAM: length beyond packet":     "31 04 616161",
		"ACK_FREQUENCY: cut":                 "40af 01 02 03",
		"PATH_ACK: first range below zero":   "3e 03 05 00 00 06",
		"PATH_ACK: endless ranges":           "3e 03 0a 00 ffffffffffffffff 01 00 00",
		"PATH_ACK: no ECN counts":            "3f 03 00 00 00 00",
		"PATH_ACK: type of two bytes":        "403e 05 00000000",
		"PATH_NEW_CONNECTION_ID: empty":      "7e78 03 01 00 00 000102030405060708090a0b0c0d0e0f",
		"PATH_NEW_CONNECTION_ID: 21 bytes":   "7e78 03 01 00 15" + strings.Repeat("aa", 21) + "000102030405060708090a0b0c0d0e0f",
		"PATH_NEW_CONNECTION_ID: retires":    "7e78 03 01 02 01 aa 000102030405060708090a0b0c0d0e0f",
		"PATH_ABANDON: no code":              "7e75 03",
		"MAX_PATH_ID: cut":                   "7e7a c0000000ffffff",
		"unknown type":                       "21 00",
		"type not minimal":                   "4001",
		"ACK_FREQUENCY: type of one byte":    "af 01 02 03 04",
		"ACK_FREQUENCY: type of eight bytes": "c0000000000000af 01 02 03 04",
	} {
		t.Run(name, func(t *testing.T) {
			_, n := rewrite(example(t, s))
			require.Negative(t, n)
		})
	}
}

// A parser that gets nothing at all says malformed.
func TestFramesEmpty(t *testing.T) {
	for name, parse := range map[string]func() int{
		"ACK":               func() int { _, n := ParseAck(nil); return n },
		"STREAM":            func() int { _, n := ParseStream(nil); return n },
		"CRYPTO":            func() int { _, _, n := ParseCrypto(nil); return n },
		"NEW_CONNECTION_ID": func() int { _, _, _, _, n := ParseNewConnectionID(nil); return n },
		"PATH":              func() int { _, n := ParsePath(nil); return n },
		"CONNECTION_CLOSE":  func() int { _, _, _, _, n := ParseConnectionClose(nil); return n },
		"DATAGRAM":          func() int { _, n := ParseDatagram(nil); return n },
		"ACK_FREQUENCY":     func() int { _, _, _, _, n := ParseAckFrequency(nil); return n },
		"one":               func() int { _, n := ParseOne(nil); return n },
		"PATH_ACK":          func() int { _, _, n := ParsePathAck(nil); return n },
		"PATH_NEW_CID":      func() int { _, _, _, _, _, n := ParsePathNewConnectionID(nil); return n },
		"path and value":    func() int { _, _, n := ParsePathValue(nil); return n },
		"path limit":        func() int { _, n := ParsePathLimit(nil); return n },
	} {
		require.Negative(t, parse(), name)
	}
}

func TestStream(t *testing.T) {
	data := []byte("hello")
	for _, id := range []uint64{0, 63, 64, MaxVarint} {
		for _, offset := range []uint64{0, 1, 1 << 20, MaxVarint - 5} {
			for i := range 4 {
				withLen, fin := i&1 != 0, i&2 != 0
				b, lenOff := AppendStreamHeader([]byte("xyz"), id, offset, withLen, fin, 0)
				require.Len(t, b, 3+StreamHeaderLen(id, offset, withLen))
				if withLen {
					PutVarint2(b[lenOff:], uint64(len(data)))
				} else {
					require.Equal(t, -1, lenOff)
				}
				b = append(b, data...)
				f, n := ParseStream(b[3:])
				require.Equal(t, len(b)-3, n)
				require.Equal(t, Stream{ID: id, Offset: offset, Fin: fin, Data: data}, f)
				require.Same(t, &b[len(b)-5], &f.Data[0], "a copy")
			}
		}
	}
}

func TestHeaderLens(t *testing.T) {
	for _, v := range []uint64{0, 63, 64, 1<<14 - 1, 1 << 14, 1 << 30} {
		require.Len(t, AppendCryptoHeader(nil, v, int(v)), CryptoHeaderLen(v, int(v)))
		require.Len(t, AppendDatagramHeader(nil, int(v)), DatagramHeaderLen(int(v)))
	}
}

func TestConnectionCloseTruncates(t *testing.T) {
	reason := strings.Repeat("äöü€", 30) // 270 bytes
	for limit := 18; limit < 300; limit++ {
		for _, app := range []bool{false, true} {
			b := AppendConnectionClose([]byte("xy"), limit, app, 0x101, FrameStream, reason)[2:]
			require.LessOrEqual(t, len(b), limit)
			gotApp, code, frame, got, n := ParseConnectionClose(b)
			require.Equal(t, len(b), n)
			require.Equal(t, app, gotApp)
			require.Equal(t, uint64(0x101), code)
			if !app {
				require.Equal(t, uint64(FrameStream), frame)
			}
			require.True(t, strings.HasPrefix(reason, string(got)))
			require.Equal(t, string(got), strings.ToValidUTF8(string(got), ""), "cut between characters")
			require.GreaterOrEqual(t, len(b)+4, min(limit, len(reason)), "room is used")
		}
	}
	full := AppendConnectionClose(nil, 18, false, MaxVarint, MaxVarint, reason)
	require.Len(t, full, 18)
	_, _, _, got, n := ParseConnectionClose(full)
	require.Equal(t, 18, n)
	require.Empty(t, got)
}

func TestFramesDoNotAllocate(t *testing.T) {
	var frames [][]byte
	for _, s := range examples() {
		frames = append(frames, example(t, s))
	}
	buf := make([]byte, 0, 1500)
	id, token := []byte("01234567"), [16]byte{1}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, b := range frames {
			parseAny(b)
		}
		AppendStreamHeader(buf, 4, 1<<20, true, true, 1200)
		AppendCryptoHeader(buf, 4, 1200)
		AppendDatagramHeader(buf, 1200)
		AppendResetStream(buf, 4, 5, 6)
		AppendResetStreamAt(buf, 4, 5, 6, 5)
		AppendStopSending(buf, 4, 5)
		AppendOne(buf, FrameMaxData, 1<<30)
		AppendTwo(buf, FrameMaxStreamData, 4, 1<<30)
		AppendNewToken(buf, id)
		AppendNewConnectionID(buf, 4, 2, id, token)
		AppendPath(buf, FramePathChallenge, [8]byte{1})
		AppendConnectionClose(buf, 50, false, 1, 2, "reason")
		AppendAckFrequency(buf, 1, 2, 3, 4)
		AppendPathNewConnectionID(buf, 3, 4, 2, id, token)
		AppendPathValue(buf, FramePathAbandon, 3, 4)
		AppendPathLimit(buf, FrameMaxPathID, MaxPathID)
	}))
}

// parseAny calls every parser on b: none may panic, whatever the type.
func parseAny(b []byte) {
	if f, n := ParseAck(b); n > 0 {
		ranges := f.Ranges()
		for _, ok := ranges.Next(); ok; {
			_, ok = ranges.Next()
		}
	}
	ParseStream(b)
	ParseCrypto(b)
	ParseResetStream(b)
	ParseResetStreamAt(b)
	ParseStopSending(b)
	ParseNewToken(b)
	ParseOne(b)
	ParseTwo(b)
	ParseNewConnectionID(b)
	ParsePath(b)
	ParseConnectionClose(b)
	ParseDatagram(b)
	ParseAckFrequency(b)
	ParsePathAck(b)
	ParsePathNewConnectionID(b)
	ParsePathValue(b)
	ParsePathLimit(b)
}

// FuzzFrames walks over the frames of a packet, and rewrites each. The rewritten frame must parse
// to its full length. Rewriting it again must not change it.
func FuzzFrames(f *testing.F) {
	var all []byte
	for name, s := range examples() {
		f.Add(example(f, s))
		if !strings.HasPrefix(name, "STREAM") && name != "DATAGRAM" && name != "DATAGRAM, empty" {
			all = append(all, example(f, s)...)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		parseAny(b)
		for len(b) > 0 {
			once, n := rewrite(b)
			if n < 0 {
				return
			}
			if n == 0 || n > len(b) {
				t.Fatalf("%d bytes of %x", n, b)
			}
			twice, m := rewrite(once)
			if m != len(once) || !bytes.Equal(once, twice) {
				t.Fatalf("%x became %x, then %x", b[:n], once, twice)
			}
			b = b[n:]
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("\x0e\x04\x45\x67\x40\x03abc"))
	f.Add([]byte("\x08\x04abc"))
	f.Add([]byte("\x0d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffabc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, n := ParseStream(b)
		if n < 0 {
			return
		}
		if n > len(b) || s.Offset+uint64(len(s.Data)) > MaxVarint {
			t.Fatalf("%d bytes, %d to %d", n, s.Offset, s.Offset+uint64(len(s.Data)))
		}
		out, _ := AppendStreamHeader(nil, s.ID, s.Offset, false, s.Fin, 0)
		if len(out) != StreamHeaderLen(s.ID, s.Offset, false) {
			t.Fatalf("header of %d bytes", len(out))
		}
		out = append(out, s.Data...)
		s2, n2 := ParseStream(out)
		if n2 != len(out) || fmt.Sprint(s) != fmt.Sprint(s2) {
			t.Fatalf("%+v became %+v", s, s2)
		}
	})
}

// TestParsePadding: padding of any length ends with the packet, or in front of any other byte.
func TestParsePadding(t *testing.T) {
	for n := 1; n < 40; n++ {
		for end := range 20 {
			b := make([]byte, n+end)
			require.Equal(t, n+end, ParsePadding(b))
			if end > 0 {
				b[n] = 1
				require.Equal(t, n, ParsePadding(b), "%d bytes behind it", end)
				b[n] = 0x80
				require.Equal(t, n, ParsePadding(b), "%d bytes behind it", end)
			}
		}
	}
}
