package qlog

import (
	"encoding/hex"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/internal/qerr"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Frame holds a pointer to one of the frames of this package.
type Frame struct {
	Frame any
}

// A frame is one that can be written.
type frame interface{ encode(w *fields.Writer) }

// Encode writes the frame. It panics if that is not one of this package.
func (f Frame) Encode(enc *jsontext.Encoder) error {
	fr, ok := f.Frame.(frame)
	if !ok {
		panic("qlog: unknown type of frame")
	}
	return fields.Object(enc, fr.encode)
}

func encodeFrames(w *fields.Writer, list []Frame) {
	if len(list) == 0 {
		return
	}
	w.Array("frames", func(w *fields.Writer) {
		for _, f := range list {
			fr, ok := f.Frame.(frame)
			if !ok {
				panic("qlog: unknown type of frame")
			}
			w.Elem(fr.encode)
		}
	})
}

func frameType(w *fields.Writer, name string) { w.Str("frame_type", name) }

// A PingFrame is a PING frame.
type PingFrame struct{}

func (*PingFrame) encode(w *fields.Writer) { frameType(w, "ping") }

// An AckRange is a range of packet numbers that an AckFrame acknowledges.
type AckRange struct {
	Smallest PacketNumber
	Largest  PacketNumber
}

// Len returns how many packets there are in the range.
func (r AckRange) Len() PacketNumber { return r.Largest - r.Smallest + 1 }

// An AckFrame is an ACK frame. The range of the largest packet numbers is the first.
type AckFrame struct {
	AckRanges []AckRange
	DelayTime time.Duration

	ECT0, ECT1, ECNCE uint64
}

// LargestAcked returns the largest packet number that the frame acknowledges.
func (f *AckFrame) LargestAcked() PacketNumber { return f.AckRanges[0].Largest }

// LowestAcked returns the smallest packet number that the frame acknowledges.
func (f *AckFrame) LowestAcked() PacketNumber { return f.AckRanges[len(f.AckRanges)-1].Smallest }

// HasMissingRanges reports whether there is more than one range.
func (f *AckFrame) HasMissingRanges() bool { return len(f.AckRanges) > 1 }

// AcksPacket reports whether the frame acknowledges a packet.
func (f *AckFrame) AcksPacket(n PacketNumber) bool {
	return slices.ContainsFunc(f.AckRanges, func(r AckRange) bool { return r.Smallest <= n && n <= r.Largest })
}

func (f *AckFrame) encode(w *fields.Writer) {
	frameType(w, "ack")
	w.MillisIf("ack_delay", f.DelayTime)
	w.Array("acked_ranges", func(w *fields.Writer) {
		for _, r := range f.AckRanges {
			if r.Smallest == r.Largest {
				w.Ints(int64(r.Smallest))
			} else {
				w.Ints(int64(r.Smallest), int64(r.Largest))
			}
		}
	})
	if f.ECT0 > 0 || f.ECT1 > 0 || f.ECNCE > 0 {
		w.Uint("ect0", f.ECT0)
		w.Uint("ect1", f.ECT1)
		w.Uint("ce", f.ECNCE)
	}
}

// A ResetStreamFrame is a RESET_STREAM frame, or RESET_STREAM_AT if ReliableSize is not zero.
type ResetStreamFrame struct {
	StreamID     protocol.StreamID
	ErrorCode    qerr.StreamErrorCode
	FinalSize    protocol.ByteCount
	ReliableSize protocol.ByteCount
}

func (f *ResetStreamFrame) encode(w *fields.Writer) {
	if f.ReliableSize > 0 {
		frameType(w, "reset_stream_at")
	} else {
		frameType(w, "reset_stream")
	}
	w.Int("stream_id", int64(f.StreamID))
	w.Uint("error_code", uint64(f.ErrorCode))
	w.Int("final_size", int64(f.FinalSize))
	w.UintIf("reliable_size", uint64(f.ReliableSize))
}

// A StopSendingFrame is a STOP_SENDING frame.
type StopSendingFrame struct {
	StreamID  protocol.StreamID
	ErrorCode qerr.StreamErrorCode
}

func (f *StopSendingFrame) encode(w *fields.Writer) {
	frameType(w, "stop_sending")
	w.Int("stream_id", int64(f.StreamID))
	w.Uint("error_code", uint64(f.ErrorCode))
}

// A CryptoFrame is a CRYPTO frame.
type CryptoFrame struct {
	Offset int64
	Length int64
}

func (f *CryptoFrame) encode(w *fields.Writer) {
	frameType(w, "crypto")
	w.Int("offset", f.Offset)
	w.Int("length", f.Length)
}

// A NewTokenFrame is a NEW_TOKEN frame.
type NewTokenFrame struct {
	Token []byte
}

func (f *NewTokenFrame) encode(w *fields.Writer) {
	frameType(w, "new_token")
	w.Object("token", Token{f.Token}.encode)
}

// A StreamFrame is a STREAM frame.
type StreamFrame struct {
	StreamID StreamID
	Offset   int64
	Length   int64
	Fin      bool
}

func (f *StreamFrame) encode(w *fields.Writer) {
	frameType(w, "stream")
	w.Int("stream_id", int64(f.StreamID))
	w.Int("offset", f.Offset)
	w.Int("length", f.Length)
	w.True("fin", f.Fin)
}

// A DatagramFrame is a DATAGRAM frame.
type DatagramFrame struct {
	Length int64
}

func (f *DatagramFrame) encode(w *fields.Writer) {
	frameType(w, "datagram")
	w.Int("length", f.Length)
}

// A NewConnectionIDFrame is a NEW_CONNECTION_ID frame.
type NewConnectionIDFrame struct {
	SequenceNumber      uint64
	RetirePriorTo       uint64
	ConnectionID        protocol.ConnectionID
	StatelessResetToken protocol.StatelessResetToken
}

func (f *NewConnectionIDFrame) encode(w *fields.Writer) {
	frameType(w, "new_connection_id")
	w.Uint("sequence_number", f.SequenceNumber)
	w.Uint("retire_prior_to", f.RetirePriorTo)
	w.Hex("connection_id", f.ConnectionID.Bytes())
	w.Hex("stateless_reset_token", f.StatelessResetToken[:])
}

// A RetireConnectionIDFrame is a RETIRE_CONNECTION_ID frame.
type RetireConnectionIDFrame struct {
	SequenceNumber uint64
}

func (f *RetireConnectionIDFrame) encode(w *fields.Writer) {
	frameType(w, "retire_connection_id")
	w.Uint("sequence_number", f.SequenceNumber)
}

// A PathChallengeFrame is a PATH_CHALLENGE frame.
type PathChallengeFrame struct {
	Data [8]byte
}

func (f *PathChallengeFrame) encode(w *fields.Writer) {
	frameType(w, "path_challenge")
	w.Hex("data", f.Data[:])
}

// A PathResponseFrame is a PATH_RESPONSE frame.
type PathResponseFrame struct {
	Data [8]byte
}

func (f *PathResponseFrame) encode(w *fields.Writer) {
	frameType(w, "path_response")
	w.Hex("data", f.Data[:])
}

// A ConnectionCloseFrame is a CONNECTION_CLOSE frame.
type ConnectionCloseFrame struct {
	IsApplicationError bool
	ErrorCode          uint64
	FrameType          uint64 // 0 if it is not known
	ReasonPhrase       string
}

func (f *ConnectionCloseFrame) encode(w *fields.Writer) {
	frameType(w, "connection_close")
	if f.IsApplicationError {
		w.Str("error_space", "application")
		encodeError(w, "error", "", f.ErrorCode)
	} else {
		w.Str("error_space", "transport")
		encodeError(w, "error", transportError(TransportErrorCode(f.ErrorCode)), f.ErrorCode)
	}
	if utf8.ValidString(f.ReasonPhrase) {
		w.Str("reason", f.ReasonPhrase)
	} else {
		w.Str("reason_bytes", hex.EncodeToString([]byte(f.ReasonPhrase)))
	}
	if f.IsApplicationError || f.FrameType == 0 {
		return
	}
	if name := frameName(f.FrameType); name != "" {
		w.Str("trigger_frame_type", name)
	} else {
		w.Uint("trigger_frame_type", f.FrameType)
	}
}

// A HandshakeDoneFrame is a HANDSHAKE_DONE frame.
type HandshakeDoneFrame struct{}

func (*HandshakeDoneFrame) encode(w *fields.Writer) { frameType(w, "handshake_done") }

// An AckFrequencyFrame is an ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency).
type AckFrequencyFrame struct {
	SequenceNumber        uint64
	AckElicitingThreshold uint64
	RequestMaxAckDelay    time.Duration
	ReorderingThreshold   protocol.PacketNumber
}

func (f *AckFrequencyFrame) encode(w *fields.Writer) {
	frameType(w, "ack_frequency")
	w.Uint("sequence_number", f.SequenceNumber)
	w.Uint("ack_eliciting_threshold", f.AckElicitingThreshold)
	w.Millis("request_max_ack_delay", f.RequestMaxAckDelay)
	w.Int("reordering_threshold", int64(f.ReorderingThreshold))
}

// An ImmediateAckFrame is an IMMEDIATE_ACK frame (draft-ietf-quic-ack-frequency).
type ImmediateAckFrame struct{}

func (*ImmediateAckFrame) encode(w *fields.Writer) { frameType(w, "immediate_ack") }
