package qlog

import (
	"time"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// encodePacket writes what events about packets have in common.
func encodePacket(w *fields.Writer, h PacketHeader, raw RawInfo, sum DatagramPayloadChecksum) {
	w.Object("header", h.encode)
	w.Object("raw", raw.encode)
	w.UintIf("datagram_payload_checksum", uint64(sum))
}

// A PacketSent is the event of a packet that was sent.
type PacketSent struct {
	Header                  PacketHeader
	Raw                     RawInfo
	DatagramPayloadChecksum DatagramPayloadChecksum
	Frames                  []Frame
	ECN                     ECN
	Trigger                 string
	SupportedVersions       []Version
	IsMTUProbePacket        bool
	Tuple                   string // TupleID of a TupleAssigned
}

// Name is part of qlogwriter.Event.
func (PacketSent) Name() string { return "transport:packet_sent" }

// Encode is part of qlogwriter.Event.
func (e PacketSent) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		encodePacket(w, e.Header, e.Raw, e.DatagramPayloadChecksum)
		encodeFrames(w, e.Frames)
		w.StrIf("ecn", string(e.ECN))
		w.StrIf("trigger", e.Trigger)
		w.True("is_mtu_probe_packet", e.IsMTUProbePacket)
		w.StrIf("tuple", e.Tuple)
	})
}

// A PacketReceived is the event of a packet that was received and decrypted.
type PacketReceived struct {
	Header                  PacketHeader
	Raw                     RawInfo
	DatagramPayloadChecksum DatagramPayloadChecksum
	Frames                  []Frame
	ECN                     ECN
	Trigger                 string
	Tuple                   string // TupleID of a TupleAssigned
}

// Name is part of qlogwriter.Event.
func (PacketReceived) Name() string { return "transport:packet_received" }

// Encode is part of qlogwriter.Event.
func (e PacketReceived) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		encodePacket(w, e.Header, e.Raw, e.DatagramPayloadChecksum)
		encodeFrames(w, e.Frames)
		w.StrIf("ecn", string(e.ECN))
		w.StrIf("trigger", e.Trigger)
		w.StrIf("tuple", e.Tuple)
	})
}

// A VersionNegotiationReceived is the event of a Version Negotiation packet that was received.
type VersionNegotiationReceived struct {
	Header            PacketHeaderVersionNegotiation
	SupportedVersions []Version
}

// Name is part of qlogwriter.Event.
func (VersionNegotiationReceived) Name() string { return "transport:packet_received" }

// Encode is part of qlogwriter.Event.
func (e VersionNegotiationReceived) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeNegotiation(enc, e.Header, e.SupportedVersions)
}

// A VersionNegotiationSent is the event of a Version Negotiation packet that was sent.
type VersionNegotiationSent struct {
	Header            PacketHeaderVersionNegotiation
	SupportedVersions []Version
}

// Name is part of qlogwriter.Event.
func (VersionNegotiationSent) Name() string { return "transport:packet_sent" }

// Encode is part of qlogwriter.Event.
func (e VersionNegotiationSent) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeNegotiation(enc, e.Header, e.SupportedVersions)
}

func encodeNegotiation(enc *jsontext.Encoder, h PacketHeaderVersionNegotiation, v []Version) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Object("header", h.encode)
		encodeVersions(w, "supported_versions", v)
	})
}

// A PacketBuffered is the event of a packet that waits for its keys.
type PacketBuffered struct {
	Header                  PacketHeader
	Raw                     RawInfo
	DatagramPayloadChecksum DatagramPayloadChecksum
}

// Name is part of qlogwriter.Event.
func (PacketBuffered) Name() string { return "transport:packet_buffered" }

// Encode is part of qlogwriter.Event.
func (e PacketBuffered) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		encodePacket(w, e.Header, e.Raw, e.DatagramPayloadChecksum)
		w.Str("trigger", PacketDropKeysUnavailable.trigger())
	})
}

// A PacketDropped is the event of a packet that was dropped.
type PacketDropped struct {
	Header                  PacketHeader
	Raw                     RawInfo
	DatagramPayloadChecksum DatagramPayloadChecksum
	Trigger                 PacketDropReason
}

// Name is part of qlogwriter.Event.
func (PacketDropped) Name() string { return "transport:packet_dropped" }

// Encode is part of qlogwriter.Event. If the draft has no word for the reason, or a wider one, the
// reason stands beside it.
func (e PacketDropped) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		encodePacket(w, e.Header, e.Raw, e.DatagramPayloadChecksum)
		w.Str("trigger", e.Trigger.trigger())
		if string(e.Trigger) != e.Trigger.trigger() {
			w.Object("details", func(w *fields.Writer) { w.Str("reason", string(e.Trigger)) })
		}
	})
}

// A DatagramDropped is the event of a UDP datagram that was dropped.
type DatagramDropped struct {
	Direction Direction
	Raw       RawInfo
	Trigger   string
}

// Name is part of qlogwriter.Event.
func (DatagramDropped) Name() string { return "quic:datagram_dropped" }

// Encode is part of qlogwriter.Event.
func (e DatagramDropped) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.StrIf("direction", string(e.Direction))
		w.Object("raw", e.Raw.encode)
		w.StrIf("trigger", e.Trigger)
	})
}

// A PacketLost is the event of a packet that counts as lost.
type PacketLost struct {
	Header           PacketHeader
	IsMTUProbePacket bool
	Trigger          PacketLossReason
}

// Name is part of qlogwriter.Event.
func (PacketLost) Name() string { return "recovery:packet_lost" }

// Encode is part of qlogwriter.Event.
func (e PacketLost) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Object("header", e.Header.encode)
		w.True("is_mtu_probe_packet", e.IsMTUProbePacket)
		w.Str("trigger", string(e.Trigger))
	})
}

// A SpuriousLoss is the event of a packet that counted as lost and was acknowledged later.
type SpuriousLoss struct {
	EncryptionLevel  EncryptionLevel
	PacketNumber     PacketNumber
	PacketReordering uint64 // packets up to the largest that the ACK acknowledges
	TimeReordering   time.Duration
}

// Name is part of qlogwriter.Event.
func (SpuriousLoss) Name() string { return "recovery:spurious_loss" }

// Encode is part of qlogwriter.Event.
func (e SpuriousLoss) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("packet_number_space", space(e.EncryptionLevel))
		w.Int("packet_number", int64(e.PacketNumber))
		w.Uint("reordering_packets", e.PacketReordering)
		w.Millis("reordering_time", e.TimeReordering)
	})
}
