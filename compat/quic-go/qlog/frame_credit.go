package qlog

import (
	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
)

// A MaxDataFrame is a MAX_DATA frame.
type MaxDataFrame struct {
	MaximumData protocol.ByteCount
}

func (f *MaxDataFrame) encode(w *fields.Writer) {
	frameType(w, "max_data")
	w.Int("maximum", int64(f.MaximumData))
}

// A MaxStreamDataFrame is a MAX_STREAM_DATA frame.
type MaxStreamDataFrame struct {
	StreamID          protocol.StreamID
	MaximumStreamData protocol.ByteCount
}

func (f *MaxStreamDataFrame) encode(w *fields.Writer) {
	frameType(w, "max_stream_data")
	w.Int("stream_id", int64(f.StreamID))
	w.Int("maximum", int64(f.MaximumStreamData))
}

// A MaxStreamsFrame is a MAX_STREAMS frame.
type MaxStreamsFrame struct {
	Type         protocol.StreamType
	MaxStreamNum protocol.StreamNum
}

func (f *MaxStreamsFrame) encode(w *fields.Writer) {
	frameType(w, "max_streams")
	w.Str("stream_type", streamType(f.Type))
	w.Int("maximum", int64(f.MaxStreamNum))
}

func streamType(t protocol.StreamType) string {
	if t == protocol.StreamTypeUni {
		return "unidirectional"
	}
	return "bidirectional"
}

// A DataBlockedFrame is a DATA_BLOCKED frame.
type DataBlockedFrame struct {
	MaximumData protocol.ByteCount
}

func (f *DataBlockedFrame) encode(w *fields.Writer) {
	frameType(w, "data_blocked")
	w.Int("limit", int64(f.MaximumData))
}

// A StreamDataBlockedFrame is a STREAM_DATA_BLOCKED frame.
type StreamDataBlockedFrame struct {
	StreamID          protocol.StreamID
	MaximumStreamData protocol.ByteCount
}

func (f *StreamDataBlockedFrame) encode(w *fields.Writer) {
	frameType(w, "stream_data_blocked")
	w.Int("stream_id", int64(f.StreamID))
	w.Int("limit", int64(f.MaximumStreamData))
}

// A StreamsBlockedFrame is a STREAMS_BLOCKED frame.
type StreamsBlockedFrame struct {
	Type        protocol.StreamType
	StreamLimit protocol.StreamNum
}

func (f *StreamsBlockedFrame) encode(w *fields.Writer) {
	frameType(w, "streams_blocked")
	w.Str("stream_type", streamType(f.Type))
	w.Int("limit", int64(f.StreamLimit))
}

// frameNames are the names of types of frames (RFC 9000, Section 12.4), by type.
var frameNames = [...]string{
	"", "ping", "ack", "ack", "reset_stream", "stop_sending", "crypto", "new_token",
	"stream", "stream", "stream", "stream", "stream", "stream", "stream", "stream",
	"max_data", "max_stream_data", "max_streams", "max_streams",
	"data_blocked", "stream_data_blocked", "streams_blocked", "streams_blocked",
	"new_connection_id", "retire_connection_id", "path_challenge", "path_response",
	"connection_close", "connection_close", "handshake_done", "immediate_ack",
}

// Types of frames of extensions.
const (
	typeResetStreamAt = 0x24
	typeDatagram      = 0x30
	typeDatagramLen   = 0x31
	typeAckFrequency  = 0xaf
)

// frameName names a type of frames. It returns "" for an unknown one.
func frameName(typ uint64) string {
	switch typ {
	case typeResetStreamAt:
		return "reset_stream_at"
	case typeDatagram, typeDatagramLen:
		return "datagram"
	case typeAckFrequency:
		return "ack_frequency"
	}
	if typ < uint64(len(frameNames)) {
		return frameNames[typ]
	}
	return ""
}
