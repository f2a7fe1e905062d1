// Package qlog has the events of HTTP/3.
package qlog

import (
	"time"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// EventSchema is the schema of the events of HTTP/3.
const EventSchema = "urn:ietf:params:qlog:events:http3-14"

// OmitLength is the value of a length that is not written.
const OmitLength = -1

// A RawInfo has the lengths of a frame or datagram in bytes. A length of zero is written.
type RawInfo struct {
	Length        int // of all of it
	PayloadLength int // without the header
}

// HasValues reports whether one of the lengths is written.
func (i RawInfo) HasValues() bool { return i.Length != OmitLength || i.PayloadLength != OmitLength }

func (i RawInfo) encode(w *fields.Writer) {
	if i.Length != OmitLength {
		w.Int("length", int64(i.Length))
	}
	if i.PayloadLength != OmitLength {
		w.Int("payload_length", int64(i.PayloadLength))
	}
}

// A FrameParsed is the event of a frame that was received.
type FrameParsed struct {
	StreamID protocol.StreamID
	Raw      RawInfo
	Frame    Frame
}

// Name is part of qlogwriter.Event.
func (FrameParsed) Name() string { return "http3:frame_parsed" }

// Encode is part of qlogwriter.Event.
func (e FrameParsed) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeFrame(enc, e.StreamID, e.Raw, e.Frame)
}

// A FrameCreated is the event of a frame that was sent.
type FrameCreated struct {
	StreamID protocol.StreamID
	Raw      RawInfo
	Frame    Frame
}

// Name is part of qlogwriter.Event.
func (FrameCreated) Name() string { return "http3:frame_created" }

// Encode is part of qlogwriter.Event.
func (e FrameCreated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeFrame(enc, e.StreamID, e.Raw, e.Frame)
}

func encodeFrame(enc *jsontext.Encoder, id protocol.StreamID, raw RawInfo, f Frame) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Int("stream_id", int64(id))
		w.Object("frame", func(w *fields.Writer) {
			if raw.HasValues() {
				w.Object("raw", raw.encode)
			}
			if fr, ok := f.Frame.(frame); ok {
				fr.encode(w)
			}
		})
	})
}

// A DatagramCreated is the event of a datagram that was sent (RFC 9297).
type DatagramCreated struct {
	QuarterStreamID uint64
	Raw             RawInfo
}

// Name is part of qlogwriter.Event.
func (DatagramCreated) Name() string { return "http3:datagram_created" }

// Encode is part of qlogwriter.Event.
func (e DatagramCreated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeDatagram(enc, e.QuarterStreamID, e.Raw)
}

// A DatagramParsed is the event of a datagram that was received (RFC 9297).
type DatagramParsed struct {
	QuarterStreamID uint64
	Raw             RawInfo
}

// Name is part of qlogwriter.Event.
func (DatagramParsed) Name() string { return "http3:datagram_parsed" }

// Encode is part of qlogwriter.Event.
func (e DatagramParsed) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeDatagram(enc, e.QuarterStreamID, e.Raw)
}

func encodeDatagram(enc *jsontext.Encoder, quarter uint64, raw RawInfo) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Uint("quarter_stream_id", quarter)
		w.Object("raw", raw.encode)
	})
}

// An Initiator says which side opened a stream.
type Initiator string

// The sides.
const (
	InitiatorLocal  Initiator = "local"
	InitiatorRemote Initiator = "remote"
)

// A StreamType is the type of a unidirectional stream (RFC 9114, Section 6.2).
type StreamType string

// The types of streams.
const (
	StreamTypeControl     StreamType = "control"
	StreamTypePush        StreamType = "push"
	StreamTypeQPACKEncode StreamType = "qpack_encode"
	StreamTypeQPACKDecode StreamType = "qpack_decode"
	StreamTypeUnknown     StreamType = "unknown"
)

// A StreamTypeSet is the event of a stream whose type is known.
type StreamTypeSet struct {
	Initiator       Initiator
	StreamID        protocol.StreamID
	StreamType      StreamType
	StreamTypeBytes uint64 // of StreamTypeUnknown
}

// Name is part of qlogwriter.Event.
func (StreamTypeSet) Name() string { return "http3:stream_type_set" }

// Encode is part of qlogwriter.Event.
func (e StreamTypeSet) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("initiator", string(e.Initiator))
		w.Int("stream_id", int64(e.StreamID))
		switch {
		case e.StreamType != StreamTypeUnknown:
			w.Str("stream_type", string(e.StreamType))
			return
		case reserved(e.StreamTypeBytes):
			w.Str("stream_type", "reserved")
		default:
			w.Str("stream_type", "unknown")
		}
		w.Uint("stream_type_bytes", e.StreamTypeBytes)
	})
}

// reserved reports whether a type is one of those that mean nothing (RFC 9114, Section 6.2.3).
func reserved(typ uint64) bool { return typ >= 0x21 && (typ-0x21)%0x1f == 0 }
