package qlog

import (
	"encoding/hex"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
)

// A Frame holds one of the frames of this package, and not a pointer.
type Frame struct {
	Frame any
}

// A frame is one that can be written.
type frame interface{ encode(w *fields.Writer) }

func frameType(w *fields.Writer, name string) { w.Str("frame_type", name) }

// A DataFrame is a DATA frame.
type DataFrame struct{}

func (DataFrame) encode(w *fields.Writer) { frameType(w, "data") }

// A HeaderField is a field of a header section.
type HeaderField struct {
	Name  string
	Value string
	// InvalidName and InvalidValue say that HTTP/3 does not allow the characters.
	InvalidName  bool
	InvalidValue bool
}

// A HeadersFrame is a HEADERS frame.
type HeadersFrame struct {
	HeaderFields []HeaderField
}

func (f HeadersFrame) encode(w *fields.Writer) {
	frameType(w, "headers")
	w.Array("headers", func(w *fields.Writer) {
		for _, h := range f.HeaderFields {
			w.Elem(func(w *fields.Writer) {
				text(w, "name", h.Name, h.InvalidName)
				text(w, "value", h.Value, h.InvalidValue)
			})
		}
	})
}

// text writes a text, or its bytes if it is not one.
func text(w *fields.Writer, name, s string, invalid bool) {
	if invalid || !utf8.ValidString(s) {
		w.Str(name+"_bytes", hex.EncodeToString([]byte(s)))
		return
	}
	w.Str(name, s)
}

// A GoAwayFrame is a GOAWAY frame.
type GoAwayFrame struct {
	StreamID protocol.StreamID
}

func (f GoAwayFrame) encode(w *fields.Writer) {
	frameType(w, "goaway")
	w.Int("id", int64(f.StreamID))
}

// A SettingsFrame is a SETTINGS frame. A setting that is not there is -1.
type SettingsFrame struct {
	MaxFieldSectionSize int64
	Datagram            int64
	ExtendedConnect     int64
	Other               map[uint64]uint64
}

func (f SettingsFrame) encode(w *fields.Writer) {
	frameType(w, "settings")
	w.Array("settings", func(w *fields.Writer) {
		known := func(name string, v int64) {
			if v >= 0 {
				w.Elem(func(w *fields.Writer) {
					w.Str("name", name)
					w.Int("value", v)
				})
			}
		}
		known("settings_max_field_section_size", f.MaxFieldSectionSize)
		known("settings_h3_datagram", f.Datagram)
		known("settings_enable_connect_protocol", f.ExtendedConnect)
		for _, id := range slices.Sorted(maps.Keys(f.Other)) {
			w.Elem(func(w *fields.Writer) {
				w.Str("name", "unknown")
				w.Uint("name_bytes", id)
				w.Uint("value", f.Other[id])
			})
		}
	})
}

// A PushPromiseFrame is a PUSH_PROMISE frame.
type PushPromiseFrame struct{}

func (PushPromiseFrame) encode(w *fields.Writer) { frameType(w, "push_promise") }

// A CancelPushFrame is a CANCEL_PUSH frame.
type CancelPushFrame struct{}

func (CancelPushFrame) encode(w *fields.Writer) { frameType(w, "cancel_push") }

// A MaxPushIDFrame is a MAX_PUSH_ID frame.
type MaxPushIDFrame struct{}

func (MaxPushIDFrame) encode(w *fields.Writer) { frameType(w, "max_push_id") }

// A PriorityUpdateFrame is a PRIORITY_UPDATE frame for a request (RFC 9218).
type PriorityUpdateFrame struct {
	StreamID           protocol.StreamID
	PriorityFieldValue string
}

func (f PriorityUpdateFrame) encode(w *fields.Writer) {
	frameType(w, "priority_update")
	w.Int("stream_id", int64(f.StreamID))
	w.Str("priority_field_value", f.PriorityFieldValue)
}

// A ReservedFrame is a frame of a type that means nothing (RFC 9114, Section 7.2.8).
type ReservedFrame struct {
	Type uint64
}

func (f ReservedFrame) encode(w *fields.Writer) {
	frameType(w, "reserved")
	w.Uint("frame_type_bytes", f.Type)
}

// An UnknownFrame is a frame of an unknown type.
type UnknownFrame struct {
	Type uint64
}

func (f UnknownFrame) encode(w *fields.Writer) {
	frameType(w, "unknown")
	w.Uint("frame_type_bytes", f.Type)
}
