package runner

import (
	"encoding/binary"
	"slices"

	"github.com/lazoquic/lazo/internal/wire"
)

// A frame is one frame, from its type on.
type frame struct {
	typ  uint64
	data []byte
}

// parseFrames returns the frames of a payload except PADDING. It stops at the first that it does
// not know.
func parseFrames(payload []byte) (frames []frame) {
	for len(payload) > 0 {
		typ, n := wire.ParseVarint(payload)
		if n == 0 {
			return frames
		}
		if n = frameLen(typ, payload); n <= 0 || n > len(payload) {
			return frames
		}
		if typ != wire.FramePadding {
			frames = append(frames, frame{typ, payload[:n]})
		}
		payload = payload[n:]
	}
	return frames
}

// frameLen returns the length of the frame at the start of b, or -1 if it does not know the type.
func frameLen(typ uint64, b []byte) (n int) {
	switch typ {
	case wire.FramePadding, wire.FramePing, wire.FrameHandshakeDone, wire.FrameImmediateAck:
		return 1
	case wire.FrameAck, wire.FrameAckECN:
		_, n = wire.ParseAck(b)
	case wire.FrameResetStream:
		_, _, _, n = wire.ParseResetStream(b)
	case wire.FrameStopSending:
		_, _, n = wire.ParseStopSending(b)
	case wire.FrameCrypto:
		_, _, n = wire.ParseCrypto(b)
	case wire.FrameNewToken:
		_, n = wire.ParseNewToken(b)
	case wire.FrameMaxData, wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameDataBlocked,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni, wire.FrameRetireConnectionID:
		_, n = wire.ParseOne(b)
	case wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		_, _, n = wire.ParseTwo(b)
	case wire.FrameNewConnectionID:
		_, _, _, _, n = wire.ParseNewConnectionID(b)
	case wire.FramePathChallenge, wire.FramePathResponse:
		_, n = wire.ParsePath(b)
	case wire.FrameConnectionClose, wire.FrameApplicationClose:
		_, _, _, _, n = wire.ParseConnectionClose(b)
	case wire.FrameResetStreamAt:
		_, _, _, _, n = wire.ParseResetStreamAt(b)
	case wire.FrameDatagram, wire.FrameDatagramLen:
		_, n = wire.ParseDatagram(b)
	case wire.FrameAckFrequency:
		_, _, _, _, n = wire.ParseAckFrequency(b)
	default:
		if typ&^7 != wire.FrameStream {
			return -1
		}
		_, n = wire.ParseStream(b)
	}
	return n
}

// pathData returns the data of PATH_CHALLENGE or PATH_RESPONSE frames.
func pathData(frames []frame, typ uint64) (data [][8]byte) {
	for _, f := range frames {
		if f.typ == typ {
			d, _ := wire.ParsePath(f.data)
			data = append(data, d)
		}
	}
	return data
}

func hasFrame(frames []frame, typ uint64) bool {
	return slices.ContainsFunc(frames, func(f frame) bool { return f.typ == typ })
}

// isStream reports whether the frame is a STREAM frame.
func (f frame) isStream() bool { return f.typ&^7 == wire.FrameStream }

// A cryptoStream puts CRYPTO frames together.
type cryptoStream struct {
	buf  []byte
	have []bool
}

func (s *cryptoStream) add(offset uint64, data []byte) {
	if end := int(offset) + len(data); end > len(s.buf) {
		s.buf = append(s.buf, make([]byte, end-len(s.buf))...)
		s.have = append(s.have, make([]bool, end-len(s.have))...)
	}
	copy(s.buf[offset:], data)
	for i := range data {
		s.have[int(offset)+i] = true
	}
}

// messages returns the bodies of the TLS handshake messages of a type that are complete.
func (s *cryptoStream) messages(typ byte) (bodies [][]byte) {
	b := s.buf
	if i := slices.Index(s.have, false); i >= 0 {
		b = b[:i]
	}
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b) & 0xffffff)
		if len(b) < 4+n {
			break
		}
		if b[0] == typ {
			bodies = append(bodies, b[4:4+n])
		}
		b = b[4+n:]
	}
	return bodies
}
