package conn

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/internal/wire"
)

// A frame is one frame in a form that tests can write down, and compare with ==.
type frame struct {
	typ  uint64    // STREAM and DATAGRAM frames have the lowest of their types
	v    [5]uint64 // integers in the order of the RFC; ACK frames have only the ECN counts here
	data string    // the data of the frame; ACK frames have their ranges here, as "7-9 5 0-3"
	fin  bool
}

func pingFrame() frame                 { return frame{typ: wire.FramePing} }
func ackFrame(ranges string) frame     { return frame{typ: wire.FrameAck, data: ranges} }
func handshakeDoneFrame() frame        { return frame{typ: wire.FrameHandshakeDone} }
func immediateAckFrame() frame         { return frame{typ: wire.FrameImmediateAck} }
func newTokenFrame(token string) frame { return frame{typ: wire.FrameNewToken, data: token} }
func datagramFrame(data string) frame  { return frame{typ: wire.FrameDatagram, data: data} }
func challengeFrame(data string) frame { return frame{typ: wire.FramePathChallenge, data: data} }
func responseFrame(data string) frame  { return frame{typ: wire.FramePathResponse, data: data} }
func maxDataFrame(limit uint64) frame  { return oneFrame(wire.FrameMaxData, limit) }
func dataBlockedFrame(at uint64) frame { return oneFrame(wire.FrameDataBlocked, at) }
func retireIDFrame(seq uint64) frame   { return oneFrame(wire.FrameRetireConnectionID, seq) }
func oneFrame(typ, v uint64) frame     { return frame{typ: typ, v: [5]uint64{v}} }
func twoFrame(typ, v, w uint64) frame  { return frame{typ: typ, v: [5]uint64{v, w}} }
func paddingFrames(n int) frame        { return oneFrame(wire.FramePadding, uint64(n)) }
func maxStreamsFrame(d Dir, n uint64) frame {
	return oneFrame(wire.FrameMaxStreamsBidi+uint64(d), n)
}

func streamsBlockedFrame(d Dir, n uint64) frame {
	return oneFrame(wire.FrameStreamsBlockedBidi+uint64(d), n)
}

func maxStreamDataFrame(id StreamID, limit uint64) frame {
	return twoFrame(wire.FrameMaxStreamData, uint64(id), limit)
}

func streamBlockedFrame(id StreamID, at uint64) frame {
	return twoFrame(wire.FrameStreamDataBlocked, uint64(id), at)
}

func stopSendingFrame(id StreamID, code uint64) frame {
	return twoFrame(wire.FrameStopSending, uint64(id), code)
}

func resetStreamFrame(id StreamID, code, size uint64) frame {
	return frame{typ: wire.FrameResetStream, v: [5]uint64{uint64(id), code, size}}
}

func cryptoFrame(off uint64, data string) frame {
	return frame{typ: wire.FrameCrypto, v: [5]uint64{off}, data: data}
}

func streamFrame(id StreamID, off uint64, data string) frame {
	return frame{typ: wire.FrameStream, v: [5]uint64{uint64(id), off}, data: data}
}

func finFrame(id StreamID, off uint64, data string) frame {
	return frame{typ: wire.FrameStream, v: [5]uint64{uint64(id), off}, data: data, fin: true}
}

func ackECNFrame(ranges string, ect0, ect1, ce uint64) frame {
	return frame{typ: wire.FrameAckECN, data: ranges, v: [5]uint64{ect0, ect1, ce}}
}

// newIDFrame is NEW_CONNECTION_ID. Its stateless reset token follows from the sequence number.
func newIDFrame(seq, retirePriorTo uint64, id string) frame {
	return frame{typ: wire.FrameNewConnectionID, v: [5]uint64{seq, retirePriorTo}, data: id + string(resetTokenOf(seq))}
}

func resetTokenOf(seq uint64) []byte {
	return fmt.Appendf(nil, "reset token %04d", seq%10000)
}

func closeFrame(code, frameType uint64, reason string) frame {
	return frame{typ: wire.FrameConnectionClose, v: [5]uint64{code, frameType}, data: reason}
}

func appCloseFrame(code uint64, reason string) frame {
	return frame{typ: wire.FrameApplicationClose, v: [5]uint64{code}, data: reason}
}

func ackFrequencyFrame(seq, threshold, delay, reordering uint64) frame {
	return frame{typ: wire.FrameAckFrequency, v: [5]uint64{seq, threshold, delay, reordering}}
}

// append appends the frame in its wire format.
func (f frame) append(b []byte) []byte {
	switch f.typ {
	case wire.FramePadding:
		return append(b, make([]byte, f.v[0])...)
	case wire.FrameAck, wire.FrameAckECN:
		return f.appendAck(b)
	case wire.FrameResetStream:
		return wire.AppendResetStream(b, f.v[0], f.v[1], f.v[2])
	case wire.FrameCrypto:
		return append(wire.AppendCryptoHeader(b, f.v[0], len(f.data)), f.data...)
	case wire.FrameNewToken:
		return wire.AppendNewToken(b, []byte(f.data))
	case wire.FrameStream:
		b, _ = wire.AppendStreamHeader(b, f.v[0], f.v[1], true, f.fin, len(f.data))
		return append(b, f.data...)
	case wire.FrameStopSending, wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		return wire.AppendTwo(b, byte(f.typ), f.v[0], f.v[1])
	case wire.FrameMaxData, wire.FrameDataBlocked, wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni, wire.FrameRetireConnectionID:
		return wire.AppendOne(b, byte(f.typ), f.v[0])
	case wire.FrameNewConnectionID:
		n := len(f.data) - resetTokenLen
		return wire.AppendNewConnectionID(b, f.v[0], f.v[1], []byte(f.data[:n]), [16]byte([]byte(f.data[n:])))
	case wire.FramePathChallenge, wire.FramePathResponse:
		return append(append(b, byte(f.typ)), f.data...)
	case wire.FrameConnectionClose, wire.FrameApplicationClose:
		return wire.AppendConnectionClose(b, 1000, f.typ == wire.FrameApplicationClose, f.v[0], f.v[1], f.data)
	case wire.FrameDatagram:
		return append(wire.AppendDatagramHeader(b, len(f.data)), f.data...)
	case wire.FrameAckFrequency:
		return wire.AppendAckFrequency(b, f.v[0], f.v[1], f.v[2], f.v[3])
	}
	if isMultipath(f.typ) {
		return f.appendMultipath(b)
	}
	return wire.AppendVarint(b, f.typ)
}

// appendAck appends an ACK frame. Its ranges may make no sense: if they do not descend, they wrap
// around, as an attacker's might.
func (f frame) appendAck(b []byte) []byte {
	var ranges [][2]uint64
	for _, s := range strings.Fields(f.data) {
		from, to, _ := strings.Cut(s, "-")
		lo, _ := strconv.ParseUint(from, 10, 64)
		hi, _ := strconv.ParseUint(cmp.Or(to, from), 10, 64)
		ranges = append(ranges, [2]uint64{lo, hi})
	}
	b = append(b, byte(f.typ))
	b = wire.AppendVarint(b, ranges[0][1])
	b = wire.AppendVarint(b, f.v[3])
	b = wire.AppendVarint(b, uint64(len(ranges)-1))
	b = wire.AppendVarint(b, ranges[0][1]-ranges[0][0])
	for i, r := range ranges[1:] {
		b = wire.AppendVarint(b, ranges[i][0]-r[1]-2)
		b = wire.AppendVarint(b, r[1]-r[0])
	}
	if f.typ == wire.FrameAckECN {
		for _, v := range f.v[:3] {
			b = wire.AppendVarint(b, v)
		}
	}
	return b
}

// parseFrame parses the frame at the start of b, which a Conn of this package made. It leaves out
// the delay of an ACK frame.
func parseFrame(b []byte) (f frame, n int) {
	typ, _ := wire.ParseVarint(b)
	f.typ = typ
	var data []byte
	switch {
	case typ == wire.FramePadding:
		for n < len(b) && b[n] == 0 {
			n++
		}
		return paddingFrames(n), n
	case typ == wire.FramePing, typ == wire.FrameHandshakeDone, typ == wire.FrameImmediateAck:
		return f, 1
	case typ == wire.FrameAck, typ == wire.FrameAckECN:
		return parseAckFrame(b)
	case typ >= wire.FrameStream && typ < wire.FrameStream+8:
		var s wire.Stream
		s, n = wire.ParseStream(b)
		return frame{typ: wire.FrameStream, v: [5]uint64{s.ID, s.Offset}, data: string(s.Data), fin: s.Fin}, n
	}
	switch typ {
	case wire.FrameResetStream:
		f.v[0], f.v[1], f.v[2], n = wire.ParseResetStream(b)
	case wire.FrameResetStreamAt:
		f.v[0], f.v[1], f.v[2], f.v[3], n = wire.ParseResetStreamAt(b)
	case wire.FrameCrypto:
		f.v[0], data, n = wire.ParseCrypto(b)
	case wire.FrameNewToken:
		data, n = wire.ParseNewToken(b)
	case wire.FrameStopSending, wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		f.v[0], f.v[1], n = wire.ParseTwo(b)
	case wire.FrameMaxData, wire.FrameDataBlocked, wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni, wire.FrameRetireConnectionID:
		f.v[0], n = wire.ParseOne(b)
	case wire.FrameNewConnectionID:
		var token [16]byte
		f.v[0], f.v[1], data, token, n = wire.ParseNewConnectionID(b)
		data = append(data[:len(data):len(data)], token[:]...)
	case wire.FramePathChallenge, wire.FramePathResponse:
		var d [8]byte
		d, n = wire.ParsePath(b)
		data = d[:]
	case wire.FrameConnectionClose, wire.FrameApplicationClose:
		_, f.v[0], f.v[1], data, n = wire.ParseConnectionClose(b)
	case wire.FrameDatagram, wire.FrameDatagramLen:
		f.typ = wire.FrameDatagram
		data, n = wire.ParseDatagram(b)
	case wire.FrameAckFrequency:
		f.v[0], f.v[1], f.v[2], f.v[3], n = wire.ParseAckFrequency(b)
	}
	if isMultipath(typ) {
		return parseMultipathFrame(typ, b)
	}
	f.data = string(data)
	return f, n
}

func parseAckFrame(b []byte) (frame, int) {
	a, n := wire.ParseAck(b)
	f := frame{typ: wire.FrameAck}
	if a.ECN {
		f = frame{typ: wire.FrameAckECN, v: [5]uint64{a.ECT0, a.ECT1, a.CE}}
	}
	var s []string
	for r := a.Ranges(); ; {
		rg, ok := r.Next()
		if !ok {
			break
		}
		s = append(s, rangeString(rg.Smallest, rg.Largest))
	}
	f.data = strings.Join(s, " ")
	return f, n
}

func rangeString(lo, hi uint64) string {
	from, to := strconv.FormatUint(lo, 10), strconv.FormatUint(hi, 10)
	if from == to {
		return from
	}
	return from + "-" + to
}

// String names the frame and what it says.
func (f frame) String() string {
	data := fmt.Sprintf("%q", f.data)
	if len(f.data) > 40 {
		data = fmt.Sprintf("%q... (%d bytes)", f.data[:20], len(f.data))
	}
	switch f.typ {
	case wire.FramePadding:
		return fmt.Sprintf("PADDING %d", f.v[0])
	case wire.FrameAck:
		return "ACK " + f.data
	case wire.FrameAckECN:
		return fmt.Sprintf("ACK %s ECN %v", f.data, f.v[:3])
	case wire.FrameStream:
		s := fmt.Sprintf("STREAM %d at %d %s", f.v[0], f.v[1], data)
		if f.fin {
			s += " FIN"
		}
		return s
	case wire.FrameCrypto, wire.FrameNewToken, wire.FrameDatagram, wire.FramePathChallenge, wire.FramePathResponse,
		wire.FrameConnectionClose, wire.FrameApplicationClose, wire.FrameNewConnectionID:
		return fmt.Sprintf("%s %v %s", frameName(f.typ), f.v, data)
	}
	return fmt.Sprintf("%s %v", frameName(f.typ), f.v)
}

func frameName(typ uint64) string {
	names := map[uint64]string{
		wire.FramePing: "PING", wire.FrameResetStream: "RESET_STREAM", wire.FrameStopSending: "STOP_SENDING",
		wire.FrameCrypto: "CRYPTO", wire.FrameNewToken: "NEW_TOKEN", wire.FrameMaxData: "MAX_DATA",
		wire.FrameMaxStreamData: "MAX_STREAM_DATA", wire.FrameMaxStreamsBidi: "MAX_STREAMS (bidi)",
		wire.FrameMaxStreamsUni: "MAX_STREAMS (uni)", wire.FrameDataBlocked: "DATA_BLOCKED",
		wire.FrameStreamDataBlocked: "STREAM_DATA_BLOCKED", wire.FrameStreamsBlockedBidi: "STREAMS_BLOCKED (bidi)",
		wire.FrameStreamsBlockedUni: "STREAMS_BLOCKED (uni)", wire.FrameNewConnectionID: "NEW_CONNECTION_ID",
		wire.FrameRetireConnectionID: "RETIRE_CONNECTION_ID", wire.FramePathChallenge: "PATH_CHALLENGE",
		wire.FramePathResponse: "PATH_RESPONSE", wire.FrameConnectionClose: "CONNECTION_CLOSE",
		wire.FrameApplicationClose: "CONNECTION_CLOSE (application)", wire.FrameHandshakeDone: "HANDSHAKE_DONE",
		wire.FrameDatagram: "DATAGRAM", wire.FrameAckFrequency: "ACK_FREQUENCY", wire.FrameImmediateAck: "IMMEDIATE_ACK",
	}
	if s := names[typ]; s != "" {
		return s
	}
	return fmt.Sprintf("frame %#x", typ)
}
