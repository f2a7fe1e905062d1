package events

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlog"
)

// data holds the data of any event of Lazo's log. Each event has some of the fields.
type data struct {
	New     json.RawMessage `json:"new"` // a string or a number
	Done    bool            `json:"done"`
	Trigger string          `json:"trigger"`
	Reason  string          `json:"reason"`

	Local       address `json:"local"`
	Remote      address `json:"remote"`
	TupleID     string  `json:"tuple_id"`
	TupleLocal  address `json:"tuple_local"`
	TupleRemote address `json:"tuple_remote"`

	Header   header  `json:"header"`
	Raw      raw     `json:"raw"`
	Frames   []frame `json:"frames"`
	MTUProbe bool    `json:"is_mtu_probe_packet"`
	Versions []hexa  `json:"supported_versions"`

	Initiator        qlog.Initiator `json:"initiator"`
	ConnectionError  *string        `json:"connection_error"`
	ApplicationError *string        `json:"application_error"`
	ErrorCode        uint64         `json:"error_code"`

	ClientVersions []hexa `json:"client_versions"`
	ServerVersions []hexa `json:"server_versions"`
	ChosenVersion  hexa   `json:"chosen_version"`
	ChosenALPN     struct {
		String string `json:"string_value"`
	} `json:"chosen_alpn"`

	KeyType  qlog.KeyType  `json:"key_type"`
	KeyPhase qlog.KeyPhase `json:"key_phase"`

	TimerType string              `json:"timer_type"`
	Space     string              `json:"packet_number_space"`
	EventType qlog.TimerEventType `json:"event_type"`
	Delta     millis              `json:"delta"`

	metrics
	recovery
	parameters
	http3
}

type metrics struct {
	MinRTT           *millis `json:"min_rtt"`
	SmoothedRTT      *millis `json:"smoothed_rtt"`
	LatestRTT        *millis `json:"latest_rtt"`
	RTTVariance      *millis `json:"rtt_variance"`
	CongestionWindow *int    `json:"congestion_window"`
	BytesInFlight    *int    `json:"bytes_in_flight"`
	PTOCount         *uint32 `json:"pto_count"`
}

type recovery struct {
	ReorderingThreshold     uint16             `json:"reordering_threshold"`
	TimeThreshold           float64            `json:"time_threshold"`
	TimerGranularity        millis             `json:"timer_granularity"`
	InitialRTT              millis             `json:"initial_rtt"`
	InitialCongestionWindow protocol.ByteCount `json:"initial_congestion_window"`
}

type parameters struct {
	OriginalDCID      *hexa              `json:"original_destination_connection_id"`
	InitialSCID       *hexa              `json:"initial_source_connection_id"`
	RetrySCID         *hexa              `json:"retry_source_connection_id"`
	ResetToken        hexa               `json:"stateless_reset_token"`
	DisableMigration  bool               `json:"disable_active_migration"`
	MaxIdleTimeout    millis             `json:"max_idle_timeout"`
	MaxUDPPayloadSize protocol.ByteCount `json:"max_udp_payload_size"`
	AckDelayExponent  uint8              `json:"ack_delay_exponent"`
	MaxAckDelay       millis             `json:"max_ack_delay"`
	ConnIDLimit       uint64             `json:"active_connection_id_limit"`
	MaxData           protocol.ByteCount `json:"initial_max_data"`
	MaxBidiLocal      protocol.ByteCount `json:"initial_max_stream_data_bidi_local"`
	MaxBidiRemote     protocol.ByteCount `json:"initial_max_stream_data_bidi_remote"`
	MaxUni            protocol.ByteCount `json:"initial_max_stream_data_uni"`
	MaxStreamsBidi    int64              `json:"initial_max_streams_bidi"`
	MaxStreamsUni     int64              `json:"initial_max_streams_uni"`
	Preferred         *preferred         `json:"preferred_address"`
	MaxDatagram       protocol.ByteCount `json:"max_datagram_frame_size"`
	ResetStreamAt     bool               `json:"reset_stream_at"`
}

type preferred struct {
	address
	ConnectionID hexa `json:"connection_id"`
	ResetToken   hexa `json:"stateless_reset_token"`
}

// An address is that of one side, of either family.
type address struct {
	IPv4   string `json:"ip_v4"`
	IPv6   string `json:"ip_v6"`
	PortV4 uint16 `json:"port_v4"`
	PortV6 uint16 `json:"port_v6"`
}

// addrPort is not valid if the address is not there.
func addrPort(ip string, port uint16) netip.AddrPort {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, port)
}

func (a address) endpoint() qlog.TupleEndpointInfo {
	return qlog.TupleEndpointInfo{IPv4: addrPort(a.IPv4, a.PortV4), IPv6: addrPort(a.IPv6, a.PortV6)}
}

type raw struct {
	Length        *int `json:"length"`
	PayloadLength *int `json:"payload_length"`
}

// lengthOr returns a length, or that it is not known.
func lengthOr(n *int) int {
	if n == nil {
		return qlog.OmitLength
	}
	return *n
}

func (r raw) info() qlog.RawInfo {
	return qlog.RawInfo{Length: lengthOr(r.Length), PayloadLength: lengthOr(r.PayloadLength)}
}

func (r raw) payload() int64 {
	if r.PayloadLength == nil {
		return 0
	}
	return int64(*r.PayloadLength)
}

type token struct {
	Raw struct {
		Data hexa `json:"data"`
	} `json:"raw"`
}

type header struct {
	PacketType  qlog.PacketType    `json:"packet_type"`
	Number      *qlog.PacketNumber `json:"packet_number"`
	Version     hexa               `json:"version"`
	SCID        *hexa              `json:"scid"`
	DCID        *hexa              `json:"dcid"`
	KeyPhaseBit *bool              `json:"key_phase_bit"`
	Token       *token             `json:"token"`
}

func (h header) header() qlog.PacketHeader {
	q := qlog.PacketHeader{
		PacketType: h.PacketType, PacketNumber: protocol.InvalidPacketNumber, Version: h.Version.version(),
		SrcConnectionID: connID(h.SCID), DestConnectionID: connID(h.DCID),
	}
	if h.Number != nil {
		q.PacketNumber = *h.Number
	}
	if h.KeyPhaseBit != nil {
		q.KeyPhaseBit = qlog.KeyPhaseZero
		if *h.KeyPhaseBit {
			q.KeyPhaseBit = qlog.KeyPhaseOne
		}
	}
	if h.Token != nil {
		q.Token = &qlog.Token{Raw: h.Token.Raw.Data}
	}
	return q
}

// negotiation returns the header of a Version Negotiation packet.
func (h header) negotiation() (q qlog.PacketHeaderVersionNegotiation) {
	if h.SCID != nil {
		q.SrcConnectionID = qlog.ArbitraryLenConnectionID(*h.SCID)
	}
	if h.DCID != nil {
		q.DestConnectionID = qlog.ArbitraryLenConnectionID(*h.DCID)
	}
	return q
}

// connID returns a connection ID, which is not valid if it is not there.
func connID(b *hexa) protocol.ConnectionID {
	if b == nil || len(*b) > 20 {
		return protocol.ConnectionID{}
	}
	return protocol.ParseConnectionID(*b)
}

// millis is a time that is written in milliseconds.
type millis time.Duration

// UnmarshalJSON is part of json.Unmarshaler.
func (m *millis) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return err
	}
	*m = millis(f * float64(time.Millisecond))
	return nil
}

// hexa is a string of bytes that is written in hexadecimal.
type hexa []byte

// UnmarshalText is part of encoding.TextUnmarshaler.
func (h *hexa) UnmarshalText(b []byte) (err error) {
	*h, err = hex.AppendDecode(make([]byte, 0, len(b)/2), b)
	return err
}

// version returns the version that the bytes are.
func (h hexa) version() (v protocol.Version) {
	for _, b := range h {
		v = v<<8 | protocol.Version(b)
	}
	return v
}

func versions(list []hexa) (all []protocol.Version) {
	for _, v := range list {
		all = append(all, v.version())
	}
	return all
}
