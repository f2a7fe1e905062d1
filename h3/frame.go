package h3

import "github.com/lazoquic/lazo/internal/wire"

// Types of frames (RFC 9114, Section 7.2; RFC 9218, Section 7.2).
const (
	frameData                  = 0x00
	frameHeaders               = 0x01
	frameCancelPush            = 0x03
	frameSettings              = 0x04
	framePushPromise           = 0x05
	frameGoAway                = 0x07
	frameMaxPushID             = 0x0d
	framePriorityUpdateRequest = 0xf0700
	framePriorityUpdatePush    = 0xf0701
)

// maxFrameHeader is the length of the longest frame header.
const maxFrameHeader = 16

// parseFrameHeader parses a type and a length at the start of b. It returns n == 0 if b is too
// short.
func parseFrameHeader(b []byte) (typ, length uint64, n int) { return wire.ParsePair(b) }

// appendFrameHeader appends the header of a frame of length bytes.
// RFC 9114, Section 7.1 [1].
func appendFrameHeader(b []byte, typ, length uint64) []byte {
	return wire.AppendPair(b, typ, length)
}

// isHTTP2Frame reports whether typ is a frame type that HTTP/2 has and HTTP/3 has not: PRIORITY,
// PING, WINDOW_UPDATE, CONTINUATION (RFC 9114, Section 7.2.8).
// RFC 9114, Section 7.2.8 [2].
func isHTTP2Frame(typ uint64) bool {
	return typ == 0x02 || typ == 0x06 || typ == 0x08 || typ == 0x09
}

// reserved returns the nth type or identifier that is reserved for greasing (RFC 9114, Sections
// 6.2.3, 7.2.4.1 and 7.2.8).
func reserved(n uint64) uint64 { return 0x1f*n + 0x21 }

// A phase is how far the receiving side of a message has got (RFC 9114, Section 4.1).
type phase uint8

const (
	phaseHeader  phase = iota // the header section is next, or that of an interim response
	phaseBody                 // DATA or the trailer section is next
	phaseTunnel               // after CONNECT: only DATA (RFC 9114, Section 4.4)
	phaseTrailer              // the trailer section has come: no known frame may follow
)

// A frameAction is what to do with a frame of a request stream.
type frameAction uint8

const (
	actData frameAction = iota
	actFields
	actSkip
	actPush // PUSH_PROMISE, which no server may send: only the code of the error depends on it
)

// next returns what to do with a frame of type typ on a request stream.
// RFC 9114, Section 4.1 [2, 3]; RFC 9114, Section 4.4 [2]; RFC 9114, Section 7.2.3 [6]; RFC 9114,
// Section 7.2.4 [4]; RFC 9114, Section 7.2.5 [10]; RFC 9114, Section 7.2.6 [2]; RFC 9114, Section
// 7.2.7 [1].
func (p phase) next(typ uint64, server bool) (frameAction, *Error) {
	switch typ {
	case frameData:
		if p == phaseBody || p == phaseTunnel {
			return actData, nil
		}
		return 0, &Error{FrameUnexpected, "DATA outside of a body"}
	case frameHeaders:
		if p == phaseHeader || p == phaseBody {
			return actFields, nil
		}
		return 0, &Error{FrameUnexpected, "HEADERS after the end of the fields"}
	case framePushPromise:
		switch {
		case server:
			return 0, &Error{FrameUnexpected, "PUSH_PROMISE from a client"}
		case p == phaseTunnel: // RFC 9114, Section 4.4
			return 0, &Error{FrameUnexpected, "PUSH_PROMISE after CONNECT"}
		}
		return actPush, nil
	case frameCancelPush, frameSettings, frameGoAway, frameMaxPushID,
		framePriorityUpdateRequest, framePriorityUpdatePush:
		// RFC 9218, Section 7.2 [2].
		return 0, &Error{FrameUnexpected, "control frame on a request stream"}
	}
	if isHTTP2Frame(typ) {
		return 0, &Error{FrameUnexpected, "frame of HTTP/2"}
	}
	return actSkip, nil // RFC 9114, Section 7.2.8 [1]; RFC 9114, Section 9 [1]
}

// dataRoom returns how many bytes of payload a DATA frame has that takes n bytes of a stream, and
// how many bytes its length has. A length may have more bytes than it needs, so the frame can
// always fill the n bytes. It takes 3 bytes at least.
func dataRoom(n int) (payload, lengthSize int) {
	switch {
	case n < 3:
		return 0, 0
	case n <= 1+1+63:
		return n - 2, 1
	case n <= 1+2+1<<14-1:
		return n - 3, 2
	case n <= 1+4+1<<30-1:
		return n - 5, 4
	}
	return 1<<30 - 1, 4
}

// appendDataHeader appends the header of a DATA frame, with a length of
// lengthSize bytes.
func appendDataHeader(b []byte, length, lengthSize int) []byte {
	b = append(b, frameData)
	switch lengthSize {
	case 1:
		return append(b, byte(length))
	case 2:
		return append(b, 0x40|byte(length>>8), byte(length))
	}
	return append(b, 0x80|byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
}

// isKnownFrame reports whether this package knows frames of the type.
func isKnownFrame(typ uint64) bool {
	switch typ {
	case frameData, frameHeaders, frameCancelPush, frameSettings, framePushPromise,
		frameGoAway, frameMaxPushID, framePriorityUpdateRequest, framePriorityUpdatePush:
		return true
	}
	return false
}
