package qlog

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// ConnectionStarted writes the ends of the first path. An end that is not valid is left empty.
func (w *Writer) ConnectionStarted(now time.Time, local, remote netip.AddrPort) {
	w.begin(now, connectionStarted)
	if w.format == V03 {
		w.addresses(local, remote)
		w.finish()
		return
	}
	w.endpoint("local", local)
	w.endpoint("remote", remote)
	w.finish()
}

// addresses appends the ends of the first path in the form of version 0.3, where the one that sends
// first is the source.
func (w *Writer) addresses(local, remote netip.AddrPort) {
	src, dst := local, remote
	if w.server {
		src, dst = remote, local
	}
	for _, end := range [...]struct {
		ip, port string
		addr     netip.AddrPort
	}{{"src_ip", "src_port", src}, {"dst_ip", "dst_port", dst}} {
		w.key(end.ip)
		w.b = append(w.b, '"')
		if end.addr.IsValid() {
			w.b = end.addr.Addr().Unmap().WithZone("").AppendTo(w.b)
		}
		w.b = append(w.b, '"')
		w.uint(end.port, uint64(end.addr.Port()))
	}
}

// endpoint appends one end of a path.
func (w *Writer) endpoint(name string, a netip.AddrPort) {
	w.open(name)
	if a.IsValid() {
		w.address(a)
	}
	w.end()
}

// address appends an address as members of an object.
func (w *Writer) address(a netip.AddrPort) {
	ip, port := "ip_v6", "port_v6"
	addr := a.Addr().Unmap().WithZone("")
	if addr.Is4() {
		ip, port = "ip_v4", "port_v4"
	}
	w.key(ip)
	w.b = append(w.b, '"')
	w.b = addr.AppendTo(w.b)
	w.b = append(w.b, '"')
	w.uint(port, uint64(a.Port()))
}

// VersionInformation writes which versions this side speaks, and which one is in use now.
func (w *Writer) VersionInformation(now time.Time, server bool, ours []uint32, chosen uint32) {
	w.begin(now, versionInformation)
	name := "client_versions"
	if server {
		name = "server_versions"
	}
	w.versions(name, ours)
	w.version("chosen_version", chosen)
	w.finish()
}

// ALPNInformation writes the protocol that was negotiated.
func (w *Writer) ALPNInformation(now time.Time, chosen string) {
	w.begin(now, alpnInformation)
	if w.format == V03 {
		text(&w.encoder, "chosen_alpn", chosen)
		w.finish()
		return
	}
	w.open("chosen_alpn")
	text(&w.encoder, "string_value", chosen)
	w.end()
	w.finish()
}

// ParametersSet writes the transport parameters of one side.
func (w *Writer) ParametersSet(now time.Time, remote bool, p *wire.Params) {
	w.begin(now, parametersSet)
	w.initiator(remote)
	w.optional("original_destination_connection_id", p.OriginalDCID)
	w.optional("initial_source_connection_id", p.InitialSCID)
	w.optional("retry_source_connection_id", p.RetrySCID)
	if p.ResetToken != nil {
		w.hex("stateless_reset_token", p.ResetToken[:])
	}
	w.bool("disable_active_migration", p.DisableActiveMigration)
	w.uint("max_idle_timeout", uint64(p.MaxIdleTimeout/time.Millisecond))
	w.uint("max_udp_payload_size", p.MaxUDPPayload)
	w.uint("ack_delay_exponent", uint64(p.AckDelayExponent))
	w.uint("max_ack_delay", uint64(p.MaxAckDelay/time.Millisecond))
	w.limits(p)
	if a := p.Preferred; a != nil {
		w.preferred(a)
	}
	w.extensions(p)
	w.finish()
}

// limits appends the parameters that a session remembers, too (RFC 9000, Section 7.4.1).
func (w *Writer) limits(p *wire.Params) {
	w.uint("active_connection_id_limit", p.ActiveConnIDLimit)
	w.uint("initial_max_data", p.MaxData)
	w.uint("initial_max_stream_data_bidi_local", p.MaxStreamDataBidiLocal)
	w.uint("initial_max_stream_data_bidi_remote", p.MaxStreamDataBidiRemote)
	w.uint("initial_max_stream_data_uni", p.MaxStreamDataUni)
	w.uint("initial_max_streams_bidi", p.MaxStreamsBidi)
	w.uint("initial_max_streams_uni", p.MaxStreamsUni)
	if p.MaxDatagramFrame > 0 && w.format != V03 {
		w.uint("max_datagram_frame_size", p.MaxDatagramFrame)
	}
}

// ParametersRestored writes the transport parameters of an earlier connection that hold for early
// data.
func (w *Writer) ParametersRestored(now time.Time, p *wire.Params) {
	w.begin(now, parametersRestored)
	w.limits(p)
	w.finish()
}

// optional appends bytes that may be absent.
func (w *Writer) optional(name string, b []byte) {
	if b != nil {
		w.hex(name, b)
	}
}

func (w *Writer) preferred(a *wire.PreferredAddress) {
	w.open("preferred_address")
	if a.V4.IsValid() {
		w.address(a.V4)
	}
	if a.V6.IsValid() {
		w.address(a.V6)
	}
	w.hex("connection_id", a.ID)
	w.hex("stateless_reset_token", a.ResetToken[:])
	w.end()
}

// extensions appends the parameters of extensions that are present.
func (w *Writer) extensions(p *wire.Params) {
	if w.format == V03 {
		return // it knows none
	}
	if p.GreaseQUICBit {
		w.bool("grease_quic_bit", true)
	}
	if p.ResetStreamAt {
		w.bool("reset_stream_at", true)
	}
	w.unknownParams(p)
}

// Transport parameters that the schema of the drafts has no name for.
const (
	paramVersionInformation = 0x11       // RFC 9368, Section 3
	paramInitialMaxPathID   = 0x3e       // draft-ietf-quic-multipath-21, Section 2.1
	paramMinAckDelay        = 0xff04de1b // draft-ietf-quic-ack-frequency, Section 3
)

// unknownParams appends those parameters in the form that the drafts have for unknown ones.
func (w *Writer) unknownParams(p *wire.Params) {
	if p.MinAckDelay == 0 && p.ChosenVersion == 0 && p.InitialMaxPathID < 0 {
		return
	}
	w.array("unknown_parameters")
	if p.MinAckDelay > 0 {
		var b [8]byte
		w.unknownParam(paramMinAckDelay, wire.AppendVarint(b[:0], uint64(p.MinAckDelay/time.Microsecond)))
	}
	if p.InitialMaxPathID >= 0 {
		var b [8]byte
		w.unknownParam(paramInitialMaxPathID, wire.AppendVarint(b[:0], uint64(p.InitialMaxPathID)))
	}
	if p.ChosenVersion != 0 {
		var b [4 + 4*maxVersions]byte
		value := binary.BigEndian.AppendUint32(b[:0], p.ChosenVersion)
		for _, v := range p.AvailableVersions[:min(len(p.AvailableVersions), maxVersions)] {
			value = binary.BigEndian.AppendUint32(value, v)
		}
		w.unknownParam(paramVersionInformation, value)
	}
	w.endArray()
}

func (w *Writer) unknownParam(id uint64, value []byte) {
	w.openElem()
	w.uint("id", id)
	w.hex("value", value)
	w.end()
}

func side(remote bool) string {
	if remote {
		return "remote"
	}
	return "local"
}

// initiator appends which side it was. Version 0.3 has another name for that.
func (w *Writer) initiator(remote bool) {
	if w.format == V03 {
		w.str("owner", side(remote))
	} else {
		w.str("initiator", side(remote))
	}
}

// A Closed is how a connection ended.
type Closed struct {
	Remote      bool // the other side closed
	Trigger     CloseTrigger
	Application bool // Code is an error code of the application
	HasCode     bool
	Code        uint64
	Reason      string
}

// ConnectionClosed writes the end of a connection.
func (w *Writer) ConnectionClosed(now time.Time, c Closed) {
	w.begin(now, connectionClosed)
	w.initiator(c.Remote)
	switch {
	case !c.HasCode:
	case w.format == V03 && c.Application:
		w.uint("application_code", c.Code)
	case w.format == V03:
		w.transportError("connection_code", c.Code)
	case c.Application:
		w.str("application_error", "unknown")
		w.uint("error_code", c.Code)
	default:
		w.transportError("connection_error", c.Code)
		w.uint("error_code", c.Code)
	}
	text(&w.encoder, "reason", c.Reason)
	w.str("trigger", c.Trigger.name(w.format))
	w.finish()
}

// transportErrors are the names of the codes of RFC 9000, Section 20.1.
var transportErrors = [...]string{
	"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error", "stream_state_error",
	"final_size_error", "frame_encoding_error", "transport_parameter_error", "connection_id_limit_error",
	"protocol_violation", "invalid_token", "application_error", "crypto_buffer_exceeded", "key_update_error",
	"aead_limit_reached", "no_viable_path",
}

// transportError appends the name of a transport error code.
func (w *Writer) transportError(name string, code uint64) {
	switch {
	case code < uint64(len(transportErrors)):
		w.str(name, transportErrors[code])
	case code>>8 == 1: // RFC 9001, Section 4.8
		w.key(name)
		w.b = append(w.b, `"crypto_error_0x`...)
		w.b = strconv.AppendUint(w.b, code, 16)
		w.b = append(w.b, '"')
	default:
		w.str(name, "unknown")
	}
}
