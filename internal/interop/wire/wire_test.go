package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// maxPayload is how long a payload may be: quic-go keeps a STREAM frame in a buffer of a packet.
const maxPayload = 1200

// FuzzFrames parses the payload of a packet, here and in quic-go. Both must find the same frames,
// and stop at the same one if it is malformed.
func FuzzFrames(f *testing.F) {
	for _, b := range frameSeeds() {
		f.Add(b)
	}
	f.Add(slices.Concat(frameSeeds()...))
	theirs := startBridge(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxPayload {
			return
		}
		ours, comparable := frames(b)
		if !comparable {
			return
		}
		if got := theirs.ask(t, append([]byte{0}, b...)); got != ours {
			t.Fatalf("%x:\nhere  %s\nthere %s", b, ours, got)
		}
	})
}

// frameSeeds returns a frame of each kind.
func frameSeeds() [][]byte {
	token := [16]byte{1, 2, 3}
	at := func(i int) (start, end uint64) { return []uint64{1, 7, 20}[i], []uint64{3, 9, 100}[i] }
	ack, _ := wire.AppendAck(nil, 100, 3, at, 5, nil)
	ecn, _ := wire.AppendAck(nil, 100, 3, at, 5, &[3]uint64{1, 2, 3})
	stream, _ := wire.AppendStreamHeader(nil, 4, 1000, true, true, 0)
	seeds := [][]byte{
		{0, 0, wire.FramePing}, ack, ecn, stream, {wire.FrameHandshakeDone}, {wire.FrameImmediateAck},
		wire.AppendResetStream(nil, 4, 5, 6), wire.AppendResetStreamAt(nil, 4, 5, 6, 5), wire.AppendStopSending(nil, 4, 5),
		append(wire.AppendCryptoHeader(nil, 70, 3), "abc"...), wire.AppendNewToken(nil, []byte("token")),
		wire.AppendOne(nil, wire.FrameMaxData, 1<<30), wire.AppendTwo(nil, wire.FrameMaxStreamData, 4, 1<<20),
		wire.AppendOne(nil, wire.FrameMaxStreamsBidi, 100), wire.AppendOne(nil, wire.FrameMaxStreamsUni, 1<<60),
		wire.AppendOne(nil, wire.FrameDataBlocked, 9), wire.AppendTwo(nil, wire.FrameStreamDataBlocked, 4, 9),
		wire.AppendOne(nil, wire.FrameStreamsBlockedBidi, 9), wire.AppendOne(nil, wire.FrameStreamsBlockedUni, 1<<60+1),
		wire.AppendNewConnectionID(nil, 4, 2, []byte("01234567"), token), wire.AppendOne(nil, wire.FrameRetireConnectionID, 3),
		wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{1}), wire.AppendPath(nil, wire.FramePathResponse, [8]byte{2}),
		wire.AppendConnectionClose(nil, 50, false, 1, 2, "why"), wire.AppendConnectionClose(nil, 50, true, 1, 0, "why"),
		append(wire.AppendDatagramHeader(nil, 3), "abc"...), wire.AppendAckFrequency(nil, 1, 2, 3, 4),
	}
	return append(seeds, []byte{wire.FrameStream, 4, 1, 2, 3}, []byte{wire.FrameDatagram, 1, 2, 3})
}

// frames returns what the frames say, in the words of the bridge. It is not comparable if
// quic-go takes what RFC 9000 forbids.
func frames(b []byte) (text string, comparable bool) {
	var s strings.Builder
	for len(b) > 0 {
		typ, n := wire.ParseVarint(b)
		switch {
		case n == 0:
			return s.String() + "error", true
		case n != wire.VarintLen(typ):
			return "", false // quic-go takes long encodings of types (RFC 9000, Section 12.4)
		case typ == wire.FramePadding:
			b = b[1:]
			continue
		}
		text, n := frame(typ, b)
		if n <= 0 {
			return s.String() + "error", true
		}
		if text == "" {
			return "", false
		}
		s.WriteString(text + ";")
		b = b[n:]
	}
	return s.String(), true
}

// frame returns what the frame at the start of b says, and its length. The text is empty if it
// cannot be compared.
func frame(typ uint64, b []byte) (text string, n int) {
	t := fmt.Sprintf("%#x", typ)
	switch {
	case typ >= wire.FrameStream && typ < wire.FrameStream+8:
		f, n := wire.ParseStream(b)
		return fmt.Sprintf("STREAM %d %d %x %t", f.ID, f.Offset, f.Data, f.Fin), n
	case typ == wire.FrameAck || typ == wire.FrameAckECN:
		return ack(b)
	case typ == wire.FrameDatagram || typ == wire.FrameDatagramLen:
		data, n := wire.ParseDatagram(b)
		return fmt.Sprintf("DATAGRAM %x", data), n
	case typ == wire.FramePing || typ == wire.FrameHandshakeDone || typ == wire.FrameImmediateAck:
		return t, 1
	case typ == wire.FrameCrypto:
		offset, data, n := wire.ParseCrypto(b)
		return fmt.Sprintf("%s %d %x", t, offset, data), n
	case typ == wire.FrameNewToken:
		token, n := wire.ParseNewToken(b)
		return fmt.Sprintf("%s %x", t, token), n
	case typ == wire.FrameNewConnectionID:
		seq, retire, id, token, n := wire.ParseNewConnectionID(b)
		return fmt.Sprintf("%s %d %d %x %x", t, seq, retire, id, token), n
	case typ == wire.FramePathChallenge || typ == wire.FramePathResponse:
		data, n := wire.ParsePath(b)
		return fmt.Sprintf("%s %x", t, data), n
	case typ == wire.FrameConnectionClose || typ == wire.FrameApplicationClose:
		_, code, frame, reason, n := wire.ParseConnectionClose(b)
		return fmt.Sprintf("%s %d %d %x", t, code, frame, reason), n
	case typ == wire.FrameAckFrequency:
		seq, threshold, delay, reordering, n := wire.ParseAckFrequency(b)
		if delay > 1<<50 {
			return "", n // quic-go counts it in nanoseconds
		}
		return fmt.Sprintf("%s %d %d %d %d", t, seq, threshold, delay, reordering), n
	}
	return numbers(typ, b)
}

// numbers is frame for frames of nothing but numbers.
func numbers(typ uint64, b []byte) (text string, n int) {
	t := fmt.Sprintf("%#x", typ)
	switch typ {
	case wire.FrameResetStream:
		id, code, size, n := wire.ParseResetStream(b)
		return fmt.Sprintf("%s %d %d %d", t, id, code, size), n
	case wire.FrameResetStreamAt:
		id, code, size, reliable, n := wire.ParseResetStreamAt(b)
		return fmt.Sprintf("%s %d %d %d %d", t, id, code, size, reliable), n
	case wire.FrameStopSending, wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		id, v, n := wire.ParseTwo(b)
		return fmt.Sprintf("%s %d %d", t, id, v), n
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		v, n := wire.ParseOne(b)
		if v > 1<<60 {
			return "", -1 // package conn refuses it (RFC 9000, Section 19.11)
		}
		return fmt.Sprintf("%s %d", t, v), n
	case wire.FrameMaxData, wire.FrameDataBlocked, wire.FrameRetireConnectionID:
		v, n := wire.ParseOne(b)
		return fmt.Sprintf("%s %d", t, v), n
	}
	return "", -1 // quic-go has no other frame
}

func ack(b []byte) (text string, n int) {
	f, n := wire.ParseAck(b)
	if n <= 0 {
		return "", n
	}
	text = "ACK"
	ranges := f.Ranges()
	for r, ok := ranges.Next(); ok; r, ok = ranges.Next() {
		text += fmt.Sprintf(" %d-%d", r.Smallest, r.Largest)
	}
	return fmt.Sprintf("%s, %d %d %d", text, f.ECT0, f.ECT1, f.CE), n
}

// FuzzHeader parses the long header of a packet, here and in quic-go.
func FuzzHeader(f *testing.F) {
	for typ := range uint8(3) {
		for _, version := range []uint32{wire.Version1, wire.Version2, 0x1a2a3a4a} {
			b, lengthOff, pnOff := wire.AppendLong(nil, typ, version, []byte("destination"), []byte("source"), []byte("token"), 7, 4)
			b = append(b, make([]byte, 40)...)
			wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff-10)) // another packet follows
			f.Add(b)
		}
	}
	f.Add(append(wire.AppendRetry(nil, wire.Version1, []byte("dcid"), []byte("scid"), []byte("token")), make([]byte, 16)...))
	f.Add(wire.AppendVersionNegotiation(nil, 0, []byte("dcid"), []byte("scid"), []uint32{1, 2}))
	theirs := startBridge(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > maxPayload || !wire.IsLong(b[0]) {
			return
		}
		ours := header(b)
		if ours == "" {
			return
		}
		if got := theirs.ask(t, b); got != ours {
			t.Fatalf("%x:\nhere  %s\nthere %s", b, ours, got)
		}
	})
}

// header returns what the header says, in the words of the bridge, or nothing if quic-go has
// other rules.
func header(b []byte) string {
	version, dcid, scid, ok := wire.ParseInvariant(b)
	switch {
	case ok && version != 0 && b[0]&wire.FixedBit == 0:
		return "" // quic-go knows no RFC 9287
	case !ok:
		return "error"
	case len(dcid) > 20 || len(scid) > 20:
		return "" // RFC 8999 lets other versions have longer ones, and quic-go does not
	case version != wire.Version1 && version != wire.Version2:
		return fmt.Sprintf("version %d %x %x", version, dcid, scid)
	}
	h, ok := wire.ParseLong(b)
	if !ok {
		return "error"
	}
	name := [...]string{"Initial", "0-RTT Protected", "Handshake", "Retry"}[h.Type]
	return fmt.Sprintf("%s %d %x %x %x %d %d", name, h.Version, h.DCID, h.SCID, h.Token, h.PNOff, h.End)
}
