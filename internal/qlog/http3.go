package qlog

import (
	"bytes"
	"strings"
	"time"
)

// Event writes an event of a protocol above QUIC. data is a JSON object. Version 0.3 knows a few
// events of HTTP/3 by other names, and no others.
func (w *Writer) Event(now time.Time, name string, data []byte) {
	w.b = append(w.b[:0], recordSeparator, '{')
	w.millis("time", now.Sub(w.start))
	if w.format == V03 {
		switch name {
		case HTTP3ParametersSet, HTTP3ParametersRestored, HTTP3StreamTypeSet, HTTP3FrameCreated, HTTP3FrameParsed:
			name = "http" + strings.TrimPrefix(name, "http3")
		default:
			return
		}
	}
	text(&w.encoder, "name", name)
	w.key("data")
	if w.format == V03 {
		data = oldMembers(data)
	}
	w.b = append(w.b, data...)
	w.flush()
}

// oldMembers returns data with the names that version 0.3 has for its members. In a string their
// quotes would be escaped.
func oldMembers(data []byte) []byte {
	for _, m := range [...][2]string{
		{`"initiator":`, `"owner":`}, {`"frame_type_bytes":`, `"frame_type_value":`}, {`"stream_type_bytes":`, `"stream_type_value":`},
	} {
		data = bytes.ReplaceAll(data, []byte(m[0]), []byte(m[1]))
	}
	return data
}

// Names of the events of HTTP/3 (draft-ietf-quic-qlog-h3-events).
const (
	HTTP3ParametersSet      = "http3:parameters_set"
	HTTP3ParametersRestored = "http3:parameters_restored"
	HTTP3StreamTypeSet      = "http3:stream_type_set"
	HTTP3FrameCreated       = "http3:frame_created"
	HTTP3FrameParsed        = "http3:frame_parsed"
	HTTP3PriorityUpdated    = "http3:priority_updated"
)

// An HTTP3 makes the data of an event of HTTP/3. Each method begins a new event. Its result is
// valid until the next call.
type HTTP3 struct{ encoder }

func (h *HTTP3) begin() { h.b = append(h.b[:0], '{') }

func (h *HTTP3) done() []byte {
	h.end()
	return h.b
}

// HTTP3Settings are the settings for which the schema has members. A setting that is absent is nil.
type HTTP3Settings struct {
	MaxFieldSectionSize, MaxTableCapacity, BlockedStreams, ExtendedConnect, Datagrams *uint64
}

// Parameters returns the settings of a side.
func (h *HTTP3) Parameters(remote bool, s HTTP3Settings) []byte {
	h.begin()
	h.str("initiator", side(remote))
	return h.settings(s)
}

// Restored returns the settings that a client remembers for early data.
func (h *HTTP3) Restored(s HTTP3Settings) []byte {
	h.begin()
	return h.settings(s)
}

func (h *HTTP3) settings(s HTTP3Settings) []byte {
	for _, m := range [...]struct {
		name  string
		value *uint64
	}{
		{"max_field_section_size", s.MaxFieldSectionSize},
		{"max_table_capacity", s.MaxTableCapacity},
		{"blocked_streams_count", s.BlockedStreams},
		{"extended_connect", s.ExtendedConnect},
		{"h3_datagram", s.Datagrams},
	} {
		if m.value != nil {
			h.uint(m.name, *m.value)
		}
	}
	return h.done()
}

// StreamType returns the type of a stream. value counts if the type has no name.
func (h *HTTP3) StreamType(remote bool, id uint64, name string, value uint64) []byte {
	h.begin()
	h.str("initiator", side(remote))
	h.uint("stream_id", id)
	h.str("stream_type", name)
	if name == "unknown" {
		h.uint("stream_type_bytes", value)
	}
	return h.done()
}

// frame begins the frame of an event.
func (h *HTTP3) frame(id uint64, name string) {
	h.begin()
	h.uint("stream_id", id)
	h.open("frame")
	h.str("frame_type", name)
}

func (h *HTTP3) payload(n uint64) {
	h.open("raw")
	h.uint("payload_length", n)
	h.end()
}

// Data returns a DATA frame with n bytes.
func (h *HTTP3) Data(id, n uint64) []byte {
	h.frame(id, "data")
	h.payload(n)
	h.end()
	return h.done()
}

// Headers begins a HEADERS frame. Header and HeadersEnd follow.
func (h *HTTP3) Headers(id uint64) {
	h.frame(id, "headers")
	h.array("headers")
}

// secretFields are fields whose values may let others act as the user.
var secretFields = [...]string{"authorization", "cookie", "set-cookie", "proxy-authorization"}

// Header adds a field, shortened. It leaves out the values of secrets and of fields that no table
// may have. It leaves out whole fields once the record has its greatest length.
func (h *HTTP3) Header(name, value string, sensitive bool) {
	if len(h.b) > maxRecord {
		return
	}
	for _, secret := range secretFields {
		sensitive = sensitive || name == secret
	}
	if sensitive {
		value = "redacted"
	}
	h.openElem()
	text(&h.encoder, "name", name)
	text(&h.encoder, "value", value)
	h.end()
}

// HeadersEnd returns the HEADERS frame. Its field section has n bytes, or 0 if that is not known.
func (h *HTTP3) HeadersEnd(n uint64) []byte {
	h.endArray()
	if n > 0 {
		h.payload(n)
	}
	h.end()
	return h.done()
}

// Settings begins a SETTINGS frame. Setting and SettingsEnd follow.
func (h *HTTP3) Settings(id uint64) {
	h.frame(id, "settings")
	h.array("settings")
}

// Setting adds a setting. Its identifier counts if it has no name.
func (h *HTTP3) Setting(name string, id, value uint64) {
	h.openElem()
	h.str("name", name)
	if name == "unknown" {
		h.uint("name_bytes", id)
	}
	h.uint("value", value)
	h.end()
}

// SettingsEnd returns the SETTINGS frame.
func (h *HTTP3) SettingsEnd() []byte {
	h.endArray()
	h.end()
	return h.done()
}

// ID returns a frame that consists of an ID, as GOAWAY does. member is the name of the ID.
func (h *HTTP3) ID(id uint64, frame, member string, value uint64) []byte {
	h.frame(id, frame)
	h.uint(member, value)
	h.end()
	return h.done()
}

// PriorityUpdate returns a PRIORITY_UPDATE frame for a request.
func (h *HTTP3) PriorityUpdate(id, request uint64, field []byte) []byte {
	h.frame(id, "priority_update")
	h.uint("stream_id", request)
	text(&h.encoder, "priority_field_value", field)
	h.end()
	return h.done()
}

// Other returns a frame of a type that is reserved, or unknown.
func (h *HTTP3) Other(id, typ, n uint64, reserved bool) []byte {
	name := "unknown"
	if reserved {
		name = "reserved"
	}
	h.frame(id, name)
	h.uint("frame_type_bytes", typ)
	h.payload(n)
	h.end()
	return h.done()
}

// Priority returns the priority that a client asked for.
func (h *HTTP3) Priority(request uint64, old, field []byte) []byte {
	h.begin()
	h.uint("stream_id", request)
	if len(old) > 0 {
		text(&h.encoder, "old", old)
	}
	text(&h.encoder, "new", field)
	h.str("trigger", "client_signal_received")
	h.str("reason", "client_signal_only")
	return h.done()
}
