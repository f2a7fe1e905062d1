package qlog

import (
	"net/netip"
	"time"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A PreferredAddress is the preferred address of a server (RFC 9000, Section 18.2).
type PreferredAddress struct {
	IPv4, IPv6          netip.AddrPort
	ConnectionID        protocol.ConnectionID
	StatelessResetToken protocol.StatelessResetToken

	// RedactedIPv4 and RedactedIPv6 are written instead of the addresses, unless they are nil.
	RedactedIPv4, RedactedIPv6 *string
}

func (a PreferredAddress) encode(w *fields.Writer) {
	encodeAddress(w, "address_v4", a.IPv4, a.RedactedIPv4)
	encodeAddress(w, "address_v6", a.IPv6, a.RedactedIPv6)
	w.Hex("connection_id", a.ConnectionID.Bytes())
	w.Hex("stateless_reset_token", a.StatelessResetToken[:])
}

// A ParametersSet is the event of the transport parameters of one side (RFC 9000, Section 18).
type ParametersSet struct {
	Initiator                       Initiator
	SentBy                          protocol.Perspective
	OriginalDestinationConnectionID protocol.ConnectionID
	InitialSourceConnectionID       protocol.ConnectionID
	RetrySourceConnectionID         protocol.ConnectionID
	StatelessResetToken             *protocol.StatelessResetToken
	DisableActiveMigration          bool
	MaxIdleTimeout                  time.Duration
	MaxUDPPayloadSize               protocol.ByteCount
	AckDelayExponent                uint8
	MaxAckDelay                     time.Duration
	ActiveConnectionIDLimit         uint64
	InitialMaxData                  protocol.ByteCount
	InitialMaxStreamDataBidiLocal   protocol.ByteCount
	InitialMaxStreamDataBidiRemote  protocol.ByteCount
	InitialMaxStreamDataUni         protocol.ByteCount
	InitialMaxStreamsBidi           int64
	InitialMaxStreamsUni            int64
	PreferredAddress                *PreferredAddress
	MaxDatagramFrameSize            protocol.ByteCount // -1 if there is none
	EnableResetStreamAt             bool
}

// Name is part of qlogwriter.Event.
func (ParametersSet) Name() string { return "transport:parameters_set" }

// Encode is part of qlogwriter.Event.
func (e ParametersSet) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("initiator", string(e.Initiator))
		if e.SentBy == protocol.PerspectiveServer {
			w.Hex("original_destination_connection_id", e.OriginalDestinationConnectionID.Bytes())
			if e.StatelessResetToken != nil {
				w.Hex("stateless_reset_token", e.StatelessResetToken[:])
			}
			if e.RetrySourceConnectionID.Valid() {
				w.Hex("retry_source_connection_id", e.RetrySourceConnectionID.Bytes())
			}
		}
		w.Hex("initial_source_connection_id", e.InitialSourceConnectionID.Bytes())
		w.Bool("disable_active_migration", e.DisableActiveMigration)
		w.UintIf("max_idle_timeout", uint64(e.MaxIdleTimeout.Milliseconds()))
		w.UintIf("max_udp_payload_size", uint64(e.MaxUDPPayloadSize))
		w.Uint("ack_delay_exponent", uint64(e.AckDelayExponent))
		w.UintIf("max_ack_delay", uint64(e.MaxAckDelay.Milliseconds()))
		e.limits().encode(w)
		if e.PreferredAddress != nil {
			w.Object("preferred_address", e.PreferredAddress.encode)
		}
		encodeExtensions(w, e.MaxDatagramFrameSize, e.EnableResetStreamAt)
	})
}

// limits returns the parameters that a client remembers with a session.
func (e ParametersSet) limits() ParametersRestored {
	return ParametersRestored{
		ActiveConnectionIDLimit:        e.ActiveConnectionIDLimit,
		InitialMaxData:                 e.InitialMaxData,
		InitialMaxStreamDataBidiLocal:  e.InitialMaxStreamDataBidiLocal,
		InitialMaxStreamDataBidiRemote: e.InitialMaxStreamDataBidiRemote,
		InitialMaxStreamDataUni:        e.InitialMaxStreamDataUni,
		InitialMaxStreamsBidi:          e.InitialMaxStreamsBidi,
		InitialMaxStreamsUni:           e.InitialMaxStreamsUni,
	}
}

// A ParametersRestored is the event of transport parameters that a client remembers for early data.
type ParametersRestored struct {
	ActiveConnectionIDLimit        uint64
	InitialMaxData                 protocol.ByteCount
	InitialMaxStreamDataBidiLocal  protocol.ByteCount
	InitialMaxStreamDataBidiRemote protocol.ByteCount
	InitialMaxStreamDataUni        protocol.ByteCount
	InitialMaxStreamsBidi          int64
	InitialMaxStreamsUni           int64
	MaxDatagramFrameSize           protocol.ByteCount // -1 if there is none
	EnableResetStreamAt            bool
}

// Name is part of qlogwriter.Event.
func (ParametersRestored) Name() string { return "transport:parameters_restored" }

// Encode is part of qlogwriter.Event.
func (e ParametersRestored) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		e.encode(w)
		encodeExtensions(w, e.MaxDatagramFrameSize, e.EnableResetStreamAt)
	})
}

// encode writes the limits.
func (e ParametersRestored) encode(w *fields.Writer) {
	w.UintIf("active_connection_id_limit", e.ActiveConnectionIDLimit)
	w.UintIf("initial_max_data", uint64(e.InitialMaxData))
	w.UintIf("initial_max_stream_data_bidi_local", uint64(e.InitialMaxStreamDataBidiLocal))
	w.UintIf("initial_max_stream_data_bidi_remote", uint64(e.InitialMaxStreamDataBidiRemote))
	w.UintIf("initial_max_stream_data_uni", uint64(e.InitialMaxStreamDataUni))
	w.UintIf("initial_max_streams_bidi", uint64(e.InitialMaxStreamsBidi))
	w.UintIf("initial_max_streams_uni", uint64(e.InitialMaxStreamsUni))
}

func encodeExtensions(w *fields.Writer, datagram protocol.ByteCount, resetAt bool) {
	if datagram != protocol.InvalidByteCount {
		w.Int("max_datagram_frame_size", int64(datagram))
	}
	w.True("reset_stream_at", resetAt)
}
