package events

import (
	"encoding/json"
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/internal/qerr"
	"github.com/quic-go/quic-go/qlog"
)

// A frame is any frame in a packet of Lazo's log. Each type has some of the fields.
type frame struct {
	Type string `json:"frame_type"`
	Raw  raw    `json:"raw"`

	StreamID     protocol.StreamID     `json:"stream_id"`
	Offset       int64                 `json:"offset"`
	Fin          bool                  `json:"fin"`
	ErrorSpace   string                `json:"error_space"`
	ErrorCode    uint64                `json:"error_code"`
	FrameType    uint64                `json:"trigger_frame_type"`
	Reason       string                `json:"reason"`
	ReasonBytes  hexa                  `json:"reason_bytes"`
	FinalSize    protocol.ByteCount    `json:"final_size"`
	ReliableSize protocol.ByteCount    `json:"reliable_size"`
	Maximum      int64                 `json:"maximum"`
	Limit        int64                 `json:"limit"`
	StreamType   string                `json:"stream_type"`
	Sequence     uint64                `json:"sequence_number"`
	RetirePrior  uint64                `json:"retire_prior_to"`
	ConnectionID *hexa                 `json:"connection_id"`
	ResetToken   hexa                  `json:"stateless_reset_token"`
	Data         hexa                  `json:"data"`
	Token        token                 `json:"token"`
	AckDelay     millis                `json:"ack_delay"`
	Acked        [][]qlog.PacketNumber `json:"acked_ranges"`
	ECT0         uint64                `json:"ect0"`
	ECT1         uint64                `json:"ect1"`
	CE           uint64                `json:"ce"`
	TypeBytes    uint64                `json:"frame_type_bytes"`
}

// frames returns the frames of a packet. Padding and unknown frames are not among them.
func frames(list []frame) (all []qlog.Frame) {
	for i := range list {
		if f := list[i].frame(); f != nil {
			all = append(all, qlog.Frame{Frame: f})
		}
	}
	return all
}

// typeImmediateAck is the type of IMMEDIATE_ACK (draft-ietf-quic-ack-frequency). The schema has no
// name for it.
const typeImmediateAck = 0x1f

func (f *frame) frame() any {
	switch f.Type {
	case "ping":
		return &qlog.PingFrame{}
	case "ack":
		return f.ack()
	case "crypto":
		return &qlog.CryptoFrame{Offset: f.Offset, Length: f.Raw.payload()}
	case "stream":
		return &qlog.StreamFrame{StreamID: f.StreamID, Offset: f.Offset, Length: f.Raw.payload(), Fin: f.Fin}
	case "datagram":
		return &qlog.DatagramFrame{Length: f.Raw.payload()}
	case "reset_stream", "reset_stream_at":
		return &qlog.ResetStreamFrame{
			StreamID: f.StreamID, ErrorCode: qerr.StreamErrorCode(f.ErrorCode), FinalSize: f.FinalSize, ReliableSize: f.ReliableSize,
		}
	case "stop_sending":
		return &qlog.StopSendingFrame{StreamID: f.StreamID, ErrorCode: qerr.StreamErrorCode(f.ErrorCode)}
	case "connection_close":
		return f.connectionClose()
	case "handshake_done":
		return &qlog.HandshakeDoneFrame{}
	case "new_token":
		return &qlog.NewTokenFrame{Token: f.Token.Raw.Data}
	case "new_connection_id":
		q := &qlog.NewConnectionIDFrame{SequenceNumber: f.Sequence, RetirePriorTo: f.RetirePrior, ConnectionID: connID(f.ConnectionID)}
		copy(q.StatelessResetToken[:], f.ResetToken)
		return q
	case "retire_connection_id":
		return &qlog.RetireConnectionIDFrame{SequenceNumber: f.Sequence}
	case "path_challenge":
		q := new(qlog.PathChallengeFrame)
		copy(q.Data[:], f.Data)
		return q
	case "path_response":
		q := new(qlog.PathResponseFrame)
		copy(q.Data[:], f.Data)
		return q
	case "unknown":
		if f.TypeBytes == typeImmediateAck {
			return &qlog.ImmediateAckFrame{}
		}
		return nil
	}
	return f.credit()
}

// credit returns a frame about limits.
func (f *frame) credit() any {
	typ := protocol.StreamTypeBidi
	if f.StreamType == "unidirectional" {
		typ = protocol.StreamTypeUni
	}
	switch f.Type {
	case "max_data":
		return &qlog.MaxDataFrame{MaximumData: protocol.ByteCount(f.Maximum)}
	case "max_stream_data":
		return &qlog.MaxStreamDataFrame{StreamID: f.StreamID, MaximumStreamData: protocol.ByteCount(f.Maximum)}
	case "max_streams":
		return &qlog.MaxStreamsFrame{Type: typ, MaxStreamNum: protocol.StreamNum(f.Maximum)}
	case "data_blocked":
		return &qlog.DataBlockedFrame{MaximumData: protocol.ByteCount(f.Limit)}
	case "stream_data_blocked":
		return &qlog.StreamDataBlockedFrame{StreamID: f.StreamID, MaximumStreamData: protocol.ByteCount(f.Limit)}
	case "streams_blocked":
		return &qlog.StreamsBlockedFrame{Type: typ, StreamLimit: protocol.StreamNum(f.Limit)}
	}
	return nil
}

func (f *frame) ack() *qlog.AckFrame {
	q := &qlog.AckFrame{DelayTime: time.Duration(f.AckDelay), ECT0: f.ECT0, ECT1: f.ECT1, ECNCE: f.CE}
	for _, r := range f.Acked {
		if len(r) > 0 {
			q.AckRanges = append(q.AckRanges, qlog.AckRange{Smallest: r[0], Largest: r[len(r)-1]})
		}
	}
	return q
}

func (f *frame) connectionClose() *qlog.ConnectionCloseFrame {
	q := &qlog.ConnectionCloseFrame{
		IsApplicationError: f.ErrorSpace == "application", ErrorCode: f.ErrorCode, FrameType: f.FrameType, ReasonPhrase: f.Reason,
	}
	if f.ReasonBytes != nil {
		q.ReasonPhrase = string(f.ReasonBytes)
	}
	return q
}

// text returns a JSON value as a string, if it is one.
func text(b json.RawMessage) (s string) {
	json.Unmarshal(b, &s)
	return s
}
