package qlog

import (
	"encoding/binary"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Types of packets.
const (
	Initial            = "initial"
	ZeroRTT            = "0RTT"
	Handshake          = "handshake"
	Retry              = "retry"
	VersionNegotiation = "version_negotiation"
	OneRTT             = "1RTT"
	Unknown            = "unknown"
)

// A Packet is one that was sent or received.
type Packet struct {
	Type     string
	Number   uint64
	Raw      []byte // the whole packet, with its header unprotected; only the header is read
	Payload  []byte // its frames in plaintext
	MTUProbe bool

	// AckDelayExponent is the exponent of the side that sent the packet.
	AckDelayExponent uint8
}

// PacketSent writes that a packet was sent.
func (w *Writer) PacketSent(now time.Time, p *Packet) { w.packet(now, packetSent, p) }

// PacketReceived writes that a packet was received.
func (w *Writer) PacketReceived(now time.Time, p *Packet) {
	w.packet(now, packetReceived, p)
}

func (w *Writer) packet(now time.Time, ev event, p *Packet) {
	w.begin(now, ev)
	w.open("header")
	w.str("packet_type", p.Type)
	if p.Type != Retry && p.Type != VersionNegotiation {
		w.uint("packet_number", p.Number)
	}
	if len(p.Raw) > 0 && wire.IsLong(p.Raw[0]) {
		w.longHeader(p)
	} else if len(p.Raw) > 0 {
		w.shortHeader(p)
	}
	w.end()
	w.open("raw")
	w.uint("length", uint64(len(p.Raw)))
	if len(p.Payload) > 0 {
		w.uint("payload_length", uint64(len(p.Payload)))
	}
	w.end()
	if p.Type == VersionNegotiation {
		if list, ok := wire.ParseVersionNegotiation(p.Raw); ok {
			w.versionList("supported_versions", list)
		}
	}
	if len(p.Payload) > 0 {
		w.frames(p)
	}
	if p.MTUProbe && w.format != V03 {
		w.bool("is_mtu_probe_packet", true)
	}
	w.finish()
}

// longHeader appends the fields of a long header (RFC 9000, Section 17.2).
func (w *Writer) longHeader(p *Packet) {
	version, dcid, scid, ok := wire.ParseInvariant(p.Raw)
	if !ok {
		return
	}
	w.version("version", version)
	w.hex("scid", scid)
	w.hex("dcid", dcid)
	if p.Type != Initial && p.Type != Retry {
		return
	}
	if h, ok := wire.ParseLong(p.Raw); ok && len(h.Token) > 0 {
		w.token(h.Token)
	}
}

// aeadOverhead is the length of the tag behind the payload (RFC 9001, Section 5.3).
const aeadOverhead = 16

// shortHeader appends the fields of a short header (RFC 9000, Section 17.3.1).
func (w *Writer) shortHeader(p *Packet) {
	if w.format == V03 {
		w.uint("flags", uint64(p.Raw[0]))
	} else {
		w.bool("key_phase_bit", wire.KeyPhase(p.Raw[0]))
	}
	pnLen := int(p.Raw[0]&0x03) + 1
	if n := len(p.Raw) - aeadOverhead - len(p.Payload) - pnLen; n >= 1 {
		w.hex("dcid", p.Raw[1:n])
	}
}

// token appends a token.
func (w *Writer) token(b []byte) {
	w.open("token")
	w.open("raw")
	w.uint("length", uint64(len(b)))
	w.hex("data", b)
	w.end()
	w.end()
}

// version appends a member that is a version.
func (w *Writer) version(name string, v uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	w.hex(name, b[:])
}

// maxVersions bounds the versions of a list.
const maxVersions = 32

// versionList appends a member that is a list of versions, of 4 bytes each.
func (w *Writer) versionList(name string, list []byte) {
	w.array(name)
	for i := 0; len(list) >= 4 && i < maxVersions; i++ {
		w.versionElem(binary.BigEndian.Uint32(list))
		list = list[4:]
	}
	w.endArray()
}

// versions appends a member that is a list of versions.
func (w *Writer) versions(name string, list []uint32) {
	w.array(name)
	for _, v := range list[:min(len(list), maxVersions)] {
		w.versionElem(v)
	}
	w.endArray()
}

// versionElem appends a version to an array.
func (w *Writer) versionElem(v uint32) {
	const digits = "0123456789abcdef"
	w.elem()
	w.b = append(w.b, '"')
	for shift := 28; shift >= 0; shift -= 4 {
		w.b = append(w.b, digits[v>>shift&0xf])
	}
	w.b = append(w.b, '"')
}

// PacketDropped writes that a packet was dropped. Its type may be Unknown. trigger says why in the
// words of the schema, and reason in plain words.
func (w *Writer) PacketDropped(now time.Time, typ string, size int, trigger, reason string) {
	w.begin(now, packetDropped)
	w.open("header")
	w.str("packet_type", typ)
	w.end()
	w.open("raw")
	w.uint("length", uint64(size))
	w.end()
	w.str("trigger", trigger)
	w.open("details")
	text(&w.encoder, "reason", reason)
	w.end()
	w.finish()
}

// PacketLost writes that a packet was declared lost.
func (w *Writer) PacketLost(now time.Time, typ string, number uint64, trigger string, mtuProbe bool) {
	w.begin(now, packetLost)
	w.open("header")
	w.str("packet_type", typ)
	w.uint("packet_number", number)
	w.end()
	if mtuProbe && w.format != V03 {
		w.bool("is_mtu_probe_packet", true)
	}
	w.str("trigger", trigger)
	w.finish()
}
