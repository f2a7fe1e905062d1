package events

import (
	"slices"
	"strconv"
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

type list = []qlogwriter.Event

// translations return the events of quic-go for an event of Lazo, by the name of that.
var translations = map[string]func(*state, *data) list{
	"quic:connection_started": func(s *state, d *data) list {
		local := d.Local.endpoint()
		if local == (qlog.TupleEndpointInfo{}) {
			local = s.local
		}
		return list{qlog.StartedConnection{Local: local, Remote: d.Remote.endpoint()}}
	},
	"quic:connection_closed": func(_ *state, d *data) list { return list{d.closed()} },
	"quic:version_information": func(_ *state, d *data) list {
		return list{qlog.VersionInformation{
			ClientVersions: versions(d.ClientVersions), ServerVersions: versions(d.ServerVersions), ChosenVersion: d.ChosenVersion.version(),
		}}
	},
	"quic:alpn_information": func(_ *state, d *data) list {
		return list{qlog.ALPNInformation{ChosenALPN: d.ChosenALPN.String}}
	},
	"quic:parameters_set":           func(_ *state, d *data) list { return list{d.parametersSet()} },
	"quic:connection_state_updated": (*state).connectionState,
	"quic:tuple_assigned": func(_ *state, d *data) list {
		return list{qlog.TupleAssigned{TupleID: d.TupleID, Local: d.TupleLocal.endpoint(), Remote: d.TupleRemote.endpoint()}}
	},
	"quic:packet_sent":     packetSent,
	"quic:packet_received": packetReceived,
	"quic:packet_buffered": func(_ *state, d *data) list {
		return list{qlog.PacketBuffered{Header: d.Header.header(), Raw: d.Raw.info()}}
	},
	"quic:packet_dropped": func(_ *state, d *data) list {
		return list{qlog.PacketDropped{Header: d.Header.header(), Raw: d.Raw.info(), Trigger: dropReason(d.Reason)}}
	},
	"quic:packet_lost": func(_ *state, d *data) list {
		return list{qlog.PacketLost{
			Header: d.Header.header(), IsMTUProbePacket: d.MTUProbe, Trigger: qlog.PacketLossReason(d.Trigger),
		}}
	},
	"quic:key_updated": func(_ *state, d *data) list {
		return list{qlog.KeyUpdated{Trigger: qlog.KeyUpdateTrigger(d.Trigger), KeyType: d.KeyType, KeyPhase: d.KeyPhase}}
	},
	"quic:key_discarded": func(_ *state, d *data) list {
		return list{qlog.KeyDiscarded{KeyType: d.KeyType, KeyPhase: d.KeyPhase}}
	},
	"quic:recovery_parameters_set": func(_ *state, d *data) list {
		return list{qlog.RecoveryParametersSet{
			ReorderingThreshold: d.ReorderingThreshold, TimeThreshold: d.TimeThreshold,
			TimerGranularity: time.Duration(d.TimerGranularity), InitialRTT: time.Duration(d.InitialRTT),
			InitialCongestionWindow: d.InitialCongestionWindow,
		}}
	},
	"quic:recovery_metrics_updated": (*state).metricsUpdated,
	"quic:congestion_state_updated": func(_ *state, d *data) list {
		return list{qlog.CongestionStateUpdated{State: qlog.CongestionState(text(d.New))}}
	},
	"quic:ecn_state_updated": func(_ *state, d *data) list {
		return list{qlog.ECNStateUpdated{State: qlog.ECNState(text(d.New))}}
	},
	"quic:mtu_updated": func(_ *state, d *data) list {
		n, err := strconv.Atoi(string(d.New))
		if err != nil {
			return nil
		}
		return list{qlog.MTUUpdated{Value: n, Done: d.Done}}
	},
	"quic:timer_updated":    timerUpdated,
	"http3:stream_type_set": streamTypeSet,
	"http3:frame_created":   frameCreated,
	"http3:frame_parsed":    frameParsed,
}

// dropReasons are the reasons of quic-go for some of Lazo's.
var dropReasons = map[string]qlog.PacketDropReason{
	"malformed header":             qlog.PacketDropHeaderParseError,
	"too short":                    qlog.PacketDropHeaderParseError,
	"unknown connection ID":        qlog.PacketDropUnknownConnectionID,
	"0-RTT is not accepted":        qlog.PacketDropKeysUnavailable,
	"keys discarded":               qlog.PacketDropKeysUnavailable,
	"duplicate":                    qlog.PacketDropDuplicate,
	"authentication failed":        qlog.PacketDropPayloadDecryptError,
	"source connection ID changed": qlog.PacketDropUnexpectedSourceConnectionID,
	"no room":                      qlog.PacketDropDOSPrevention,
}

func dropReason(why string) qlog.PacketDropReason {
	if r, ok := dropReasons[why]; ok {
		return r
	}
	return qlog.PacketDropUnexpectedPacket
}

func packetSent(_ *state, d *data) list {
	if d.Header.PacketType == qlog.PacketTypeVersionNegotiation {
		return list{qlog.VersionNegotiationSent{Header: d.Header.negotiation(), SupportedVersions: versions(d.Versions)}}
	}
	return list{qlog.PacketSent{
		Header: d.Header.header(), Raw: d.Raw.info(), Frames: frames(d.Frames), IsMTUProbePacket: d.MTUProbe,
	}}
}

func packetReceived(_ *state, d *data) list {
	if d.Header.PacketType == qlog.PacketTypeVersionNegotiation {
		return list{qlog.VersionNegotiationReceived{Header: d.Header.negotiation(), SupportedVersions: versions(d.Versions)}}
	}
	return list{qlog.PacketReceived{Header: d.Header.header(), Raw: d.Raw.info(), Frames: frames(d.Frames)}}
}

// connectionState tells the states that quic-go has. Lazo does not tell those that it passes within
// one step. All ways to end count as closed.
func (s *state) connectionState(d *data) (evs list) {
	switch now := qlog.ConnectionState(text(d.New)); now {
	case "closing", "draining", qlog.ConnectionStateClosed:
		if !s.ended {
			s.ended = true
			evs = list{qlog.ConnectionStateUpdated{State: qlog.ConnectionStateClosed}}
		}
	default:
		for i := slices.Index(handshakeStates, now); s.told <= i; s.told++ {
			evs = append(evs, qlog.ConnectionStateUpdated{State: handshakeStates[s.told]})
		}
	}
	return evs
}

// handshakeStates are the states until the handshake is confirmed, in their order.
var handshakeStates = []qlog.ConnectionState{
	qlog.ConnectionStateAttempted, qlog.ConnectionStateHandshakeStarted,
	qlog.ConnectionStateHandshakeComplete, qlog.ConnectionStateHandshakeConfirmed,
}

// metricsUpdated tells all estimates. Lazo's log has those that changed.
func (s *state) metricsUpdated(d *data) (evs list) {
	before := s.metrics
	m := &s.metrics
	for to, v := range map[*time.Duration]*millis{
		&m.MinRTT: d.MinRTT, &m.SmoothedRTT: d.SmoothedRTT, &m.LatestRTT: d.LatestRTT, &m.RTTVariance: d.RTTVariance,
	} {
		if v != nil {
			*to = time.Duration(*v)
		}
	}
	if d.CongestionWindow != nil {
		m.CongestionWindow = *d.CongestionWindow
	}
	if d.BytesInFlight != nil {
		m.BytesInFlight = *d.BytesInFlight
	}
	if *m != before {
		evs = append(evs, *m)
	}
	if d.PTOCount != nil {
		evs = append(evs, qlog.PTOCountUpdated{PTOCount: *d.PTOCount})
	}
	return evs
}

func timerUpdated(_ *state, d *data) list {
	ev := qlog.TimerUpdated{Type: d.EventType, TimerType: qlog.TimerType(d.TimerType)}
	switch d.TimerType {
	case "loss_timeout", "ack":
		ev.TimerType = qlog.TimerTypeACK
	case "path_validation":
		ev.TimerType = qlog.TimerTypePathProbe
	case "pto":
	default:
		return nil
	}
	switch d.Space {
	case "initial":
		ev.EncLevel = protocol.EncryptionInitial
	case "handshake":
		ev.EncLevel = protocol.EncryptionHandshake
	case "application_data":
		ev.EncLevel = protocol.Encryption1RTT
	}
	if d.EventType == qlog.TimerEventTypeSet {
		ev.Time = time.Now().Add(time.Duration(d.Delta))
	}
	return list{ev}
}

// closed returns how the connection ended.
func (d *data) closed() qlog.ConnectionClosed {
	ev := qlog.ConnectionClosed{Initiator: d.Initiator, Reason: d.Reason}
	switch {
	case d.ApplicationError != nil:
		code := qlog.ApplicationErrorCode(d.ErrorCode)
		ev.ApplicationError = &code
	case d.ConnectionError != nil:
		code := qlog.TransportErrorCode(d.ErrorCode)
		ev.ConnectionError = &code
	}
	switch t := qlog.ConnectionCloseTrigger(d.Trigger); t {
	case qlog.ConnectionCloseTriggerIdleTimeout, qlog.ConnectionCloseTriggerStatelessReset,
		qlog.ConnectionCloseTriggerVersionMismatch, qlog.ConnectionCloseTriggerApplication:
		ev.Trigger = t
	case "aborted": // the handshake took too long
		ev.Trigger = qlog.ConnectionCloseTriggerIdleTimeout
	}
	return ev
}

// parametersSet returns the transport parameters of a side. Only a server sends
// original_destination_connection_id.
func (d *data) parametersSet() qlog.ParametersSet {
	ev := qlog.ParametersSet{
		Initiator: d.Initiator, SentBy: protocol.PerspectiveClient,
		OriginalDestinationConnectionID: connID(d.OriginalDCID),
		InitialSourceConnectionID:       connID(d.InitialSCID),
		RetrySourceConnectionID:         connID(d.RetrySCID),
		DisableActiveMigration:          d.DisableMigration,
		MaxIdleTimeout:                  time.Duration(d.MaxIdleTimeout),
		MaxUDPPayloadSize:               d.MaxUDPPayloadSize,
		AckDelayExponent:                d.AckDelayExponent,
		MaxAckDelay:                     time.Duration(d.MaxAckDelay),
		ActiveConnectionIDLimit:         d.ConnIDLimit,
		InitialMaxData:                  d.MaxData,
		InitialMaxStreamDataBidiLocal:   d.MaxBidiLocal,
		InitialMaxStreamDataBidiRemote:  d.MaxBidiRemote,
		InitialMaxStreamDataUni:         d.MaxUni,
		InitialMaxStreamsBidi:           d.MaxStreamsBidi,
		InitialMaxStreamsUni:            d.MaxStreamsUni,
		MaxDatagramFrameSize:            protocol.InvalidByteCount,
		EnableResetStreamAt:             d.ResetStreamAt,
	}
	if d.OriginalDCID != nil {
		ev.SentBy = protocol.PerspectiveServer
	}
	if d.MaxDatagram > 0 {
		ev.MaxDatagramFrameSize = d.MaxDatagram
	}
	if len(d.parameters.ResetToken) > 0 {
		ev.StatelessResetToken = new(protocol.StatelessResetToken)
		copy(ev.StatelessResetToken[:], d.parameters.ResetToken)
	}
	if p := d.Preferred; p != nil {
		at := p.endpoint()
		ev.PreferredAddress = &qlog.PreferredAddress{IPv4: at.IPv4, IPv6: at.IPv6, ConnectionID: connID(&p.ConnectionID)}
		copy(ev.PreferredAddress.StatelessResetToken[:], p.ResetToken)
	}
	return ev
}
