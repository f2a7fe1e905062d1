package qlog

import (
	"net/netip"

	"github.com/quic-go/quic-go/internal/fields"
)

// OmitLength is the value of a length that is not written.
const OmitLength = -1

// A RawInfo has the lengths of a packet or datagram in bytes. A length of zero is written.
type RawInfo struct {
	Length        int // of all of it
	PayloadLength int // without the header and the tag of the AEAD
}

func (i RawInfo) encode(w *fields.Writer) {
	if i.Length != OmitLength {
		w.Int("length", int64(i.Length))
	}
	if i.PayloadLength != OmitLength {
		w.Int("payload_length", int64(i.PayloadLength))
	}
}

// A Token is a token of an Initial packet, a Retry packet or a NEW_TOKEN frame.
type Token struct {
	Raw []byte
}

func (t Token) encode(w *fields.Writer) {
	w.Object("raw", func(w *fields.Writer) { w.Hex("data", t.Raw) })
}

// A PacketHeader is the header of a packet.
type PacketHeader struct {
	PacketType       PacketType
	KeyPhaseBit      KeyPhaseBit // of a short header
	PacketNumber     PacketNumber
	Version          Version      // 0 if there is none
	SrcConnectionID  ConnectionID // of a long header
	DestConnectionID ConnectionID
	Token            *Token // nil if there is none
}

func (h PacketHeader) encode(w *fields.Writer) {
	typ := h.PacketType
	if typ == "" {
		typ = PacketTypeUnknown
	}
	w.Str("packet_type", string(typ))
	if typ.numbered() && h.PacketNumber >= 0 {
		w.Int("packet_number", int64(h.PacketNumber))
	}
	if h.Version != 0 {
		w.Str("version", versionText(h.Version))
	}
	if typ != PacketType1RTT && h.SrcConnectionID.Valid() {
		w.Hex("scid", h.SrcConnectionID.Bytes())
	}
	if h.DestConnectionID.Valid() {
		w.Hex("dcid", h.DestConnectionID.Bytes())
	}
	if h.KeyPhaseBit == KeyPhaseZero || h.KeyPhaseBit == KeyPhaseOne {
		w.Bool("key_phase_bit", h.KeyPhaseBit == KeyPhaseOne)
	}
	if h.Token != nil {
		w.Object("token", h.Token.encode)
	}
}

// A PacketHeaderVersionNegotiation is the header of a Version Negotiation packet.
type PacketHeaderVersionNegotiation struct {
	SrcConnectionID  ArbitraryLenConnectionID
	DestConnectionID ArbitraryLenConnectionID
}

func (h PacketHeaderVersionNegotiation) encode(w *fields.Writer) {
	w.Str("packet_type", string(PacketTypeVersionNegotiation))
	w.Hex("scid", h.SrcConnectionID)
	w.Hex("dcid", h.DestConnectionID)
}

// A TupleEndpointInfo is the address of one side. One of the fields is valid.
type TupleEndpointInfo struct {
	IPv4 netip.AddrPort
	IPv6 netip.AddrPort
}

// encode writes the address, or what takes its place.
func (i TupleEndpointInfo) encode(redacted *string) func(*fields.Writer) {
	return func(w *fields.Writer) {
		switch {
		case redacted != nil && i.IPv4.IsValid():
			w.Str("address_v4", *redacted)
		case redacted != nil:
			w.Str("address_v6", *redacted)
		default:
			encodeAddress(w, "address_v4", i.IPv4, nil)
			encodeAddress(w, "address_v6", i.IPv6, nil)
		}
	}
}

// encodeAddress writes an address if it is valid, or what takes its place.
func encodeAddress(w *fields.Writer, name string, a netip.AddrPort, redacted *string) {
	switch {
	case redacted != nil:
		w.Str(name, *redacted)
	case a.IsValid():
		w.Object(name, func(w *fields.Writer) {
			w.Str("ip", a.Addr().String())
			w.Uint("port", uint64(a.Port()))
		})
	}
}
