package qlog

import (
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// versionText is how qlog writes a version.
func versionText(v Version) string { return fmt.Sprintf("%x", uint32(v)) }

func encodeVersions(w *fields.Writer, name string, list []Version) {
	w.Array(name, func(w *fields.Writer) {
		for _, v := range list {
			w.Text(versionText(v))
		}
	})
}

// A StartedConnection is the event of the start of a connection.
type StartedConnection struct {
	Local  TupleEndpointInfo
	Remote TupleEndpointInfo

	// RedactedLocal and RedactedRemote are written instead of the addresses, unless they are nil.
	RedactedLocal, RedactedRemote *string
}

// Name is part of qlogwriter.Event.
func (StartedConnection) Name() string { return "transport:connection_started" }

// Encode is part of qlogwriter.Event.
func (e StartedConnection) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Object("local", e.Local.encode(e.RedactedLocal))
		w.Object("remote", e.Remote.encode(e.RedactedRemote))
	})
}

// A TupleAssigned is the event of a pair of addresses that gets a name.
type TupleAssigned struct {
	TupleID string
	Local   TupleEndpointInfo
	Remote  TupleEndpointInfo

	// RedactedLocal and RedactedRemote are written instead of the addresses, unless they are nil.
	RedactedLocal, RedactedRemote *string
}

// Name is part of qlogwriter.Event.
func (TupleAssigned) Name() string { return "transport:tuple_assigned" }

// Encode is part of qlogwriter.Event.
func (e TupleAssigned) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("tuple_id", e.TupleID)
		w.Object("tuple_local", e.Local.encode(e.RedactedLocal))
		w.Object("tuple_remote", e.Remote.encode(e.RedactedRemote))
	})
}

// A VersionInformation is the event of the choice of a version.
type VersionInformation struct {
	ClientVersions, ServerVersions []Version
	ChosenVersion                  Version
}

// Name is part of qlogwriter.Event.
func (VersionInformation) Name() string { return "transport:version_information" }

// Encode is part of qlogwriter.Event.
func (e VersionInformation) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		if len(e.ClientVersions) > 0 {
			encodeVersions(w, "client_versions", e.ClientVersions)
		}
		if len(e.ServerVersions) > 0 {
			encodeVersions(w, "server_versions", e.ServerVersions)
		}
		w.Str("chosen_version", versionText(e.ChosenVersion))
	})
}

// An ALPNInformation is the event of the choice of an application protocol.
type ALPNInformation struct {
	ChosenALPN string
}

// Name is part of qlogwriter.Event.
func (ALPNInformation) Name() string { return "transport:alpn_information" }

// Encode is part of qlogwriter.Event.
func (e ALPNInformation) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Object("chosen_alpn", func(w *fields.Writer) {
			if utf8.ValidString(e.ChosenALPN) {
				w.Str("string_value", e.ChosenALPN)
			} else {
				w.Str("byte_value", hex.EncodeToString([]byte(e.ChosenALPN)))
			}
		})
	})
}

// A ConnectionStateUpdated is the event of another state of the connection.
type ConnectionStateUpdated struct {
	State ConnectionState
}

// Name is part of qlogwriter.Event.
func (ConnectionStateUpdated) Name() string { return "quic:connection_state_updated" }

// Encode is part of qlogwriter.Event.
func (e ConnectionStateUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeNew(enc, string(e.State))
}

// encodeNew writes the data of an event that has a new state alone.
func encodeNew(enc *jsontext.Encoder, state string) error {
	return fields.Object(enc, func(w *fields.Writer) { w.Str("new", state) })
}

// A ConnectionClosed is the event of the end of a connection. At most one of ConnectionError and
// ApplicationError is set.
type ConnectionClosed struct {
	Initiator Initiator

	ConnectionError  *TransportErrorCode
	ApplicationError *ApplicationErrorCode

	Reason string // with an error

	Trigger ConnectionCloseTrigger
}

// Name is part of qlogwriter.Event.
func (ConnectionClosed) Name() string { return "transport:connection_closed" }

// Encode is part of qlogwriter.Event.
func (e ConnectionClosed) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("initiator", string(e.Initiator))
		if e.ConnectionError != nil {
			encodeError(w, "connection_error", transportError(*e.ConnectionError), uint64(*e.ConnectionError))
		}
		if e.ApplicationError != nil {
			encodeError(w, "application_error", "", uint64(*e.ApplicationError))
		}
		if e.ConnectionError != nil || e.ApplicationError != nil {
			w.Str("reason", e.Reason)
		}
		w.StrIf("trigger", string(e.Trigger))
	})
}

// encodeError writes an error by its name, or else by its code.
func encodeError(w *fields.Writer, field, name string, code uint64) {
	if name != "" {
		w.Str(field, name)
		return
	}
	w.Str(field, "unknown")
	w.Uint("error_code", code)
}

// A StreamPriorityUpdated is the event of another priority of a stream.
type StreamPriorityUpdated struct {
	StreamID    StreamID
	Urgency     int8
	Incremental bool
}

// Name is part of qlogwriter.Event.
func (StreamPriorityUpdated) Name() string { return "transport:priority_updated" }

// Encode is part of qlogwriter.Event. The priority is written as RFC 9218 has it.
func (e StreamPriorityUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Int("stream_id", int64(e.StreamID))
		now := fmt.Sprintf("u=%d", e.Urgency)
		if e.Incremental {
			now += ", i"
		}
		w.Str("new", now)
	})
}

// A KeyUpdated is the event of a new key.
type KeyUpdated struct {
	Trigger  KeyUpdateTrigger
	KeyType  KeyType
	KeyPhase KeyPhase // of 1-RTT keys
}

// Name is part of qlogwriter.Event.
func (KeyUpdated) Name() string { return "security:key_updated" }

// Encode is part of qlogwriter.Event. The key itself is not written.
func (e KeyUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("trigger", string(e.Trigger))
		w.Str("key_type", string(e.KeyType))
		if e.KeyType.of1RTT() {
			w.Uint("key_phase", uint64(e.KeyPhase))
		}
	})
}

// A KeyDiscarded is the event of a key that is not used any more.
type KeyDiscarded struct {
	KeyType  KeyType
	KeyPhase KeyPhase // of 1-RTT keys
}

// Name is part of qlogwriter.Event.
func (KeyDiscarded) Name() string { return "security:key_discarded" }

// Encode is part of qlogwriter.Event.
func (e KeyDiscarded) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		if !e.KeyType.of1RTT() {
			w.Str("trigger", string(KeyUpdateTLS))
		}
		w.Str("key_type", string(e.KeyType))
		if e.KeyType.of1RTT() {
			w.Uint("key_phase", uint64(e.KeyPhase))
		}
	})
}

// A DebugEvent is an event with a text. EventName is "debug" by default.
type DebugEvent struct {
	EventName string
	Message   string
}

// Name is part of qlogwriter.Event.
func (e DebugEvent) Name() string {
	if e.EventName == "" {
		return "transport:debug"
	}
	return "transport:" + e.EventName
}

// Encode is part of qlogwriter.Event.
func (e DebugEvent) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) { w.Str("message", e.Message) })
}
