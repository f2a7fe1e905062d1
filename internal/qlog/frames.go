package qlog

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lazoquic/lazo/internal/wire"
)

// frames appends the frames of a packet, until the record is as long as it may get.
func (w *Writer) frames(p *Packet) {
	w.array("frames")
	b := p.Payload
	for len(b) > 0 && len(w.b) < maxRecord {
		w.openElem()
		n := w.frame(b, p.AckDelayExponent)
		w.end()
		if n <= 0 {
			b = nil
			break
		}
		b = b[n:]
	}
	w.endArray()
	w.omitted.frameBytes = len(b)
}

// frame appends the members of the frame at the start of b, and returns its length. The length is
// not positive if the frame is unknown or malformed. Nobody can tell then where the next frame
// begins.
func (w *Writer) frame(b []byte, exponent uint8) (n int) {
	typ, typLen := wire.ParseVarint(b)
	if typLen == 0 || typLen != wire.VarintLen(typ) {
		return w.unknown(b, typ)
	}
	mark := len(w.b)
	switch {
	case typ == wire.FramePadding:
		return w.padding(b)
	case typ == wire.FrameAck, typ == wire.FrameAckECN:
		n = w.ack(b, exponent)
	case typ >= wire.FrameStream && typ < wire.FrameMaxData:
		n = w.stream(b)
	case typ == wire.FrameCrypto:
		offset, data, l := wire.ParseCrypto(b)
		w.frameType("crypto")
		w.uint("offset", offset)
		w.payloadLength(len(data))
		n = l
	case typ == wire.FrameDatagram, typ == wire.FrameDatagramLen:
		data, l := wire.ParseDatagram(b)
		w.frameType("datagram")
		w.payloadLength(len(data))
		n = l
	case typ == wire.FrameConnectionClose, typ == wire.FrameApplicationClose:
		n = w.connectionClose(b)
	case typ >= wire.FrameMaxData && typ <= wire.FrameStreamsBlockedUni:
		n = w.flowFrame(b, typ)
	case typ == wire.FrameResetStream, typ == wire.FrameResetStreamAt, typ == wire.FrameStopSending:
		n = w.resetFrame(b, typ)
	default:
		n = w.rareFrame(b, typ)
	}
	if n <= 0 {
		w.b = w.b[:mark]
		return w.unknown(b, typ)
	}
	return n
}

func (w *Writer) frameType(name string) { w.str("frame_type", name) }

// payloadLength appends how many bytes a frame carries.
func (w *Writer) payloadLength(n int) {
	if w.format == V03 {
		w.uint("length", uint64(n))
		return
	}
	w.open("raw")
	w.uint("payload_length", uint64(n))
	w.end()
}

// unnamedType appends the type of a frame for which the format has no name.
func (w *Writer) unnamedType(typ uint64) {
	w.frameType("unknown")
	if w.format == V03 {
		w.uint("frame_type_value", typ)
	} else {
		w.uint("frame_type_bytes", typ)
	}
}

// unknown appends a frame that cannot be read, with the length of the rest of the packet.
func (w *Writer) unknown(b []byte, typ uint64) int {
	w.unnamedType(typ)
	w.open("raw")
	w.uint("length", uint64(len(b)))
	w.hex("data", b[:min(len(b), 32)])
	w.end()
	return -1
}

// padding appends a row of PADDING frames as one.
func (w *Writer) padding(b []byte) (n int) {
	for n < len(b) && b[n] == wire.FramePadding {
		n++
	}
	w.frameType("padding")
	if w.format == V03 {
		w.uint("payload_length", uint64(n))
	} else {
		w.payloadLength(n)
	}
	return n
}

func (w *Writer) ack(b []byte, exponent uint8) int {
	f, n := wire.ParseAck(b)
	if n < 0 {
		return n
	}
	w.frameType("ack")
	// No peer waits so long, but a peer may claim to.
	const longest = 1 << 32
	w.millis("ack_delay", time.Duration(min(f.Delay, longest)<<min(exponent, 20))*time.Microsecond)
	w.array("acked_ranges")
	it := f.Ranges()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		if len(w.b) >= maxRecord {
			w.omitted.ackRanges++
			continue
		}
		w.elem()
		w.b = append(w.b, '[')
		w.b = strconv.AppendUint(w.b, r.Smallest, 10)
		if r.Largest != r.Smallest {
			w.b = append(w.b, ',')
			w.b = strconv.AppendUint(w.b, r.Largest, 10)
		}
		w.b = append(w.b, ']')
	}
	w.endArray()
	if f.ECN {
		w.uint("ect0", f.ECT0)
		w.uint("ect1", f.ECT1)
		w.uint("ce", f.CE)
	}
	return n
}

func (w *Writer) stream(b []byte) int {
	f, n := wire.ParseStream(b)
	if n < 0 {
		return n
	}
	w.frameType("stream")
	w.uint("stream_id", f.ID)
	w.uint("offset", f.Offset)
	w.payloadLength(len(f.Data))
	if f.Fin {
		w.bool("fin", true)
	}
	return n
}

func (w *Writer) connectionClose(b []byte) int {
	app, code, frame, reason, n := wire.ParseConnectionClose(b)
	if n < 0 {
		return n
	}
	w.frameType("connection_close")
	if app {
		w.str("error_space", "application")
	} else {
		w.str("error_space", "transport")
	}
	if !app && w.format != V03 {
		w.transportError("error", code)
	}
	w.applicationError(app, code)
	text(&w.encoder, "reason", reason)
	if !utf8.Valid(reason) && w.format != V03 {
		w.hex("reason_bytes", reason)
	}
	if !app && frame != 0 {
		w.uint("trigger_frame_type", frame)
	}
	return n
}

// applicationError appends an error code. The log does not know the names of the application's.
func (w *Writer) applicationError(app bool, code uint64) {
	if app && w.format != V03 {
		w.str("error", "unknown")
	}
	w.uint("error_code", code)
}

// flowFrame appends a frame of flow control (RFC 9000, Sections 19.9 to 19.14).
func (w *Writer) flowFrame(b []byte, typ uint64) int {
	if typ == wire.FrameMaxStreamData || typ == wire.FrameStreamDataBlocked {
		id, v, n := wire.ParseTwo(b)
		if typ == wire.FrameMaxStreamData {
			w.frameType("max_stream_data")
			w.uint("stream_id", id)
			w.uint("maximum", v)
		} else {
			w.frameType("stream_data_blocked")
			w.uint("stream_id", id)
			w.uint("limit", v)
		}
		return n
	}
	v, n := wire.ParseOne(b)
	limit := "limit"
	switch typ {
	case wire.FrameMaxData:
		w.frameType("max_data")
		limit = "maximum"
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		w.frameType("max_streams")
		w.streamType(typ == wire.FrameMaxStreamsUni)
		limit = "maximum"
	case wire.FrameDataBlocked:
		w.frameType("data_blocked")
	default:
		w.frameType("streams_blocked")
		w.streamType(typ == wire.FrameStreamsBlockedUni)
	}
	w.uint(limit, v)
	return n
}

func (w *Writer) streamType(uni bool) {
	if uni {
		w.str("stream_type", "unidirectional")
	} else {
		w.str("stream_type", "bidirectional")
	}
}

// resetFrame appends a frame that ends a stream.
func (w *Writer) resetFrame(b []byte, typ uint64) (n int) {
	var id, code, size, reliable uint64
	switch typ {
	case wire.FrameResetStream:
		id, code, size, n = wire.ParseResetStream(b)
		w.frameType("reset_stream")
	case wire.FrameResetStreamAt:
		id, code, size, reliable, n = wire.ParseResetStreamAt(b)
		if w.format == V03 {
			w.unnamedType(typ)
			return n
		}
		w.frameType("reset_stream_at")
	default:
		id, code, n = wire.ParseStopSending(b)
		w.frameType("stop_sending")
	}
	w.uint("stream_id", id)
	w.applicationError(true, code)
	if typ != wire.FrameStopSending {
		w.uint("final_size", size)
	}
	if typ == wire.FrameResetStreamAt {
		w.uint("reliable_size", reliable)
	}
	return n
}

// rareFrame appends a frame of a rare type.
func (w *Writer) rareFrame(b []byte, typ uint64) (n int) {
	switch typ {
	case wire.FramePing:
		w.frameType("ping")
		return 1
	case wire.FrameHandshakeDone:
		w.frameType("handshake_done")
		return 1
	case wire.FrameImmediateAck:
		w.unnamedType(typ)
		return wire.VarintLen(typ)
	case wire.FrameNewToken:
		token, n := wire.ParseNewToken(b)
		w.frameType("new_token")
		w.token(token)
		return n
	case wire.FrameNewConnectionID:
		seq, retire, id, token, n := wire.ParseNewConnectionID(b)
		w.frameType("new_connection_id")
		w.uint("sequence_number", seq)
		w.uint("retire_prior_to", retire)
		w.uint("connection_id_length", uint64(len(id)))
		w.hex("connection_id", id)
		w.hex("stateless_reset_token", token[:])
		return n
	case wire.FrameRetireConnectionID:
		seq, n := wire.ParseOne(b)
		w.frameType("retire_connection_id")
		w.uint("sequence_number", seq)
		return n
	case wire.FramePathChallenge, wire.FramePathResponse:
		data, n := wire.ParsePath(b)
		if typ == wire.FramePathChallenge {
			w.frameType("path_challenge")
		} else {
			w.frameType("path_response")
		}
		w.hex("data", data[:])
		return n
	case wire.FrameAckFrequency:
		_, _, _, _, n := wire.ParseAckFrequency(b)
		w.unnamedType(typ)
		return n
	}
	return w.multipathFrame(b, typ)
}

// multipathFrame appends a frame of draft-ietf-quic-multipath, for which the drafts of qlog have no
// names.
func (w *Writer) multipathFrame(b []byte, typ uint64) (n int) {
	switch typ {
	case wire.FramePathAck, wire.FramePathAckECN:
		_, _, n = wire.ParsePathAck(b)
	case wire.FramePathNewConnectionID:
		_, _, _, _, _, n = wire.ParsePathNewConnectionID(b)
	case wire.FrameMaxPathID, wire.FramePathsBlocked:
		_, n = wire.ParsePathLimit(b)
	case wire.FramePathAbandon, wire.FramePathStatusBackup, wire.FramePathStatusAvailable,
		wire.FramePathRetireConnectionID, wire.FramePathCIDsBlocked:
		_, _, n = wire.ParsePathValue(b)
	default:
		return -1
	}
	w.unnamedType(typ)
	return n
}
