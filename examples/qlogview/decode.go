package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A number is a JSON number or, in older logs, a string with a number.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%s is not a number in range", clip(s, 40))
	}
	*n = number(v)
	return nil
}

// count returns the number as a count. It is not negative, and JavaScript can represent it.
func (n number) count() int64 { return int64(min(max(n, 0), 1<<53)) }

// An envelope is a record: an event, or a header.
type envelope struct {
	Name       string
	Time       *number
	TimeFormat string `json:"time_format"`
	Tuple      string // the path, with multipath; "" for that of the handshake
	Data       json.RawMessage
	Trace      json.RawMessage
	Title      string
}

// A header is what stands before the events of a trace.
type header struct {
	Title        json.RawMessage
	VantagePoint struct {
		Name, Type json.RawMessage
	} `json:"vantage_point"`
	CommonFields struct {
		TimeFormat    string          `json:"time_format"`
		ReferenceTime json.RawMessage `json:"reference_time"`
		GroupID       json.RawMessage `json:"group_id"`
		ODCID         json.RawMessage
	} `json:"common_fields"`
}

// text returns a JSON string, or "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// packetData are the data of the events about packets.
type packetData struct {
	Header packetHeader
	Raw    struct{ Length number }
	Frames []frame

	// Older logs have these fields here.
	PacketType   string `json:"packet_type"`
	Type         string
	PacketNumber *number `json:"packet_number"`
	PacketSize   number  `json:"packet_size"`
	Trigger      string
}

type packetHeader struct {
	PacketType   string  `json:"packet_type"`
	PacketNumber *number `json:"packet_number"`
	PacketSize   number  `json:"packet_size"`
}

// number returns the packet number, or -1.
func (p *packetData) number() int64 {
	switch {
	case p.Header.PacketNumber != nil:
		return p.Header.PacketNumber.count()
	case p.PacketNumber != nil:
		return p.PacketNumber.count()
	}
	return -1
}

// kind returns the type of the packet.
func (p *packetData) kind() string {
	for _, s := range []string{p.Header.PacketType, p.PacketType, p.Type} {
		if s != "" {
			return clip(s, 40)
		}
	}
	return "unknown"
}

// size returns the length of the packet in bytes, or 0 if the log does not have it.
func (p *packetData) size() int64 {
	return max(p.Raw.Length, p.Header.PacketSize, p.PacketSize).count()
}

// A frame has what the page shows of frames.
type frame struct {
	Type     string  `json:"frame_type"`
	StreamID *number `json:"stream_id"`
	Offset   number
	Length   number
	Raw      struct {
		PayloadLength number `json:"payload_length"`
	}
	Fin       bool
	Maximum   number
	FinalSize number     `json:"final_size"`
	Ranges    [][]number `json:"acked_ranges"`
}

// bytes returns how many bytes the frame carries.
func (f *frame) bytes() int64 { return max(f.Length, f.Raw.PayloadLength).count() }

// metricsData are the figures of recovery. Those that a log does not tell are nil.
type metricsData struct {
	Window      *number `json:"congestion_window"`
	WindowShort *number `json:"cwnd"` // aioquic
	InFlight    *number `json:"bytes_in_flight"`
	Threshold   *number `json:"ssthresh"`
	MinRTT      *number `json:"min_rtt"`
	SmoothedRTT *number `json:"smoothed_rtt"`
	LatestRTT   *number `json:"latest_rtt"`
	PacingRate  *number `json:"pacing_rate"`
}

// stateData are the data of events about states.
type stateData struct {
	Old, New any
	Reason   string
	Trigger  string
	StreamID *number `json:"stream_id"`
	Side     string  `json:"stream_side"`
	KeyType  string  `json:"key_type"`
	TupleID  string  `json:"tuple_id"`

	TupleLocal  json.RawMessage `json:"tuple_local"`
	TupleRemote json.RawMessage `json:"tuple_remote"`
}

// word returns a state as text. MTUs are numbers.
func word(v any) string {
	switch v := v.(type) {
	case string:
		return clip(v, 60)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// paramsData are the limits that one side has given the other at the start.
type paramsData struct {
	Initiator, Owner string
	MaxData          number `json:"initial_max_data"`
	BidiLocal        number `json:"initial_max_stream_data_bidi_local"`
	BidiRemote       number `json:"initial_max_stream_data_bidi_remote"`
	Uni              number `json:"initial_max_stream_data_uni"`
}

// requestData are the data of a frame of HTTP/3 with fields.
type requestData struct {
	StreamID *number `json:"stream_id"`
	Frame    struct {
		Type    string `json:"frame_type"`
		Headers []struct{ Name, Value string }
	}
}

// isCut reports whether an error says that JSON ends too early.
func isCut(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) && strings.Contains(syntax.Error(), "unexpected end")
}
