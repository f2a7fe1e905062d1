package events

import (
	"math"

	"github.com/quic-go/quic-go/http3/qlog"
	"github.com/quic-go/quic-go/internal/protocol"
)

// http3 has the data of events of HTTP/3.
type http3 struct {
	StreamID        protocol.StreamID `json:"stream_id"`
	StreamType      qlog.StreamType   `json:"stream_type"`
	StreamTypeBytes uint64            `json:"stream_type_bytes"`
	Frame           h3frame           `json:"frame"`
}

// An h3frame is any frame of HTTP/3. Each type has some of the fields.
type h3frame struct {
	Type     string            `json:"frame_type"`
	Raw      raw               `json:"raw"`
	ID       protocol.StreamID `json:"id"`
	StreamID protocol.StreamID `json:"stream_id"`
	Priority string            `json:"priority_field_value"`
	Bytes    uint64            `json:"frame_type_bytes"`
	Headers  []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"headers"`
	Settings []setting `json:"settings"`
}

type setting struct {
	Name  string `json:"name"`
	Bytes uint64 `json:"name_bytes"`
	Value uint64 `json:"value"`
}

// streamTypeSet tells the type of a unidirectional stream. quic-go has no event for requests.
func streamTypeSet(_ *state, d *data) list {
	ev := qlog.StreamTypeSet{
		Initiator: qlog.Initiator(d.Initiator), StreamID: d.StreamID, StreamType: d.StreamType, StreamTypeBytes: d.StreamTypeBytes,
	}
	switch d.StreamType {
	case "request":
		return nil
	case "reserved":
		ev.StreamType = qlog.StreamTypeUnknown
	}
	return list{ev}
}

func frameCreated(_ *state, d *data) list {
	return list{qlog.FrameCreated{StreamID: d.StreamID, Raw: d.Frame.info(), Frame: qlog.Frame{Frame: d.Frame.frame()}}}
}

func frameParsed(_ *state, d *data) list {
	return list{qlog.FrameParsed{StreamID: d.StreamID, Raw: d.Frame.info(), Frame: qlog.Frame{Frame: d.Frame.frame()}}}
}

func (f *h3frame) info() qlog.RawInfo {
	return qlog.RawInfo{Length: lengthOr(f.Raw.Length), PayloadLength: lengthOr(f.Raw.PayloadLength)}
}

func (f *h3frame) frame() any {
	switch f.Type {
	case "data":
		return qlog.DataFrame{}
	case "headers":
		h := qlog.HeadersFrame{HeaderFields: make([]qlog.HeaderField, 0, len(f.Headers))}
		for _, field := range f.Headers {
			h.HeaderFields = append(h.HeaderFields, qlog.HeaderField{Name: field.Name, Value: field.Value})
		}
		return h
	case "settings":
		return settings(f.Settings)
	case "goaway":
		return qlog.GoAwayFrame{StreamID: f.ID}
	case "max_push_id":
		return qlog.MaxPushIDFrame{}
	case "push_promise":
		return qlog.PushPromiseFrame{}
	case "cancel_push":
		return qlog.CancelPushFrame{}
	case "priority_update":
		return qlog.PriorityUpdateFrame{StreamID: f.StreamID, PriorityFieldValue: f.Priority}
	case "reserved":
		return qlog.ReservedFrame{Type: f.Bytes}
	}
	return qlog.UnknownFrame{Type: f.Bytes}
}

// Settings of QPACK (RFC 9204, Section 5), which quic-go counts among the others.
const (
	settingTableCapacity  = 0x1
	settingBlockedStreams = 0x7
)

func settings(list []setting) qlog.SettingsFrame {
	f := qlog.SettingsFrame{MaxFieldSectionSize: -1, Datagram: -1, ExtendedConnect: -1}
	other := func(id, v uint64) {
		if f.Other == nil {
			f.Other = make(map[uint64]uint64)
		}
		f.Other[id] = v
	}
	for _, s := range list {
		v := int64(min(s.Value, math.MaxInt64))
		switch s.Name {
		case "settings_max_field_section_size":
			f.MaxFieldSectionSize = v
		case "settings_h3_datagram":
			f.Datagram = v
		case "settings_enable_connect_protocol":
			f.ExtendedConnect = v
		case "settings_qpack_max_table_capacity":
			other(settingTableCapacity, s.Value)
		case "settings_qpack_blocked_streams":
			other(settingBlockedStreams, s.Value)
		case "unknown":
			other(s.Bytes, s.Value)
		}
	}
	return f
}
