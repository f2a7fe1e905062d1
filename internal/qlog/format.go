package qlog

// A Format says which names and fields a log has.
type Format uint8

// The formats.
const (
	Draft Format = iota // the current drafts
	// V03 is version 0.3, for qvis: drafts 05 of the main schema, and 04 of the events.
	V03
)

// An event is a type of events.
type event uint8

const (
	connectionStarted event = iota
	connectionClosed
	versionInformation
	alpnInformation
	parametersSet
	packetSent
	packetReceived
	packetDropped
	packetLost
	keyUpdated
	metricsUpdated
	congestionStateUpdated
	ecnStateUpdated
	mtuUpdated
	connectionStateUpdated
	connectionIDUpdated
	tupleAssigned
	migrationStateUpdated
	timerUpdated
	keyDiscarded
	recoveryParametersSet
	packetsAcked
	packetBuffered
	streamStateUpdated
	connectionDataBlockedUpdated
	streamDataBlockedUpdated
	datagramDataBlockedUpdated
	streamDataMoved
	datagramDataMoved
	parametersRestored
	udpDatagramsSent
	udpDatagramsReceived
	markedForRetransmit
)

// eventNames has the names of each type of events, by format. Version 0.3 has no name for some:
// they are left out there.
var eventNames = [...][2]string{
	connectionStarted:      {"quic:connection_started", "connectivity:connection_started"},
	connectionClosed:       {"quic:connection_closed", "connectivity:connection_closed"},
	versionInformation:     {"quic:version_information", "transport:version_information"},
	alpnInformation:        {"quic:alpn_information", "transport:alpn_information"},
	parametersSet:          {"quic:parameters_set", "transport:parameters_set"},
	packetSent:             {"quic:packet_sent", "transport:packet_sent"},
	packetReceived:         {"quic:packet_received", "transport:packet_received"},
	packetDropped:          {"quic:packet_dropped", "transport:packet_dropped"},
	packetLost:             {"quic:packet_lost", "recovery:packet_lost"},
	keyUpdated:             {"quic:key_updated", "security:key_updated"},
	metricsUpdated:         {"quic:recovery_metrics_updated", "recovery:metrics_updated"},
	congestionStateUpdated: {"quic:congestion_state_updated", "recovery:congestion_state_updated"},
	ecnStateUpdated:        {"quic:ecn_state_updated", ""},
	mtuUpdated:             {"quic:mtu_updated", "connectivity:mtu_updated"},
	connectionStateUpdated: {"quic:connection_state_updated", "connectivity:connection_state_updated"},
	connectionIDUpdated:    {"quic:connection_id_updated", "connectivity:connection_id_updated"},
	tupleAssigned:          {"quic:tuple_assigned", ""},
	migrationStateUpdated:  {"quic:migration_state_updated", ""},
	timerUpdated:           {"quic:timer_updated", "recovery:loss_timer_updated"},
	keyDiscarded:           {"quic:key_discarded", "security:key_discarded"},
	recoveryParametersSet:  {"quic:recovery_parameters_set", "recovery:parameters_set"},
	packetsAcked:           {"quic:packets_acked", "transport:packets_acked"},
	packetBuffered:         {"quic:packet_buffered", "transport:packet_buffered"},
	streamStateUpdated:     {"quic:stream_state_updated", "transport:stream_state_updated"},

	connectionDataBlockedUpdated: {"quic:connection_data_blocked_updated", ""},
	streamDataBlockedUpdated:     {"quic:stream_data_blocked_updated", ""},
	datagramDataBlockedUpdated:   {"quic:datagram_data_blocked_updated", ""},

	streamDataMoved:      {"quic:stream_data_moved", "transport:data_moved"},
	datagramDataMoved:    {"quic:datagram_data_moved", ""},
	parametersRestored:   {"quic:parameters_restored", "transport:parameters_restored"},
	udpDatagramsSent:     {"quic:udp_datagrams_sent", "transport:datagrams_sent"},
	udpDatagramsReceived: {"quic:udp_datagrams_received", "transport:datagrams_received"},
	markedForRetransmit:  {"quic:marked_for_retransmit", "recovery:marked_for_retransmit"},
}

func (e event) name(f Format) string { return eventNames[e][f] }

// A CloseTrigger is why a connection ended.
type CloseTrigger uint8

// The reasons.
const (
	CloseError CloseTrigger = iota
	CloseClean
	CloseApplication
	CloseIdleTimeout
	CloseHandshakeTimeout
	CloseStatelessReset
	CloseVersion
)

// closeTriggers has the names of the reasons, by format.
var closeTriggers = [...][2]string{
	CloseError:            {"error", "error"},
	CloseClean:            {"unspecified", "clean"},
	CloseApplication:      {"application", "application"},
	CloseIdleTimeout:      {"idle_timeout", "idle_timeout"},
	CloseHandshakeTimeout: {"aborted", "handshake_timeout"},
	CloseStatelessReset:   {"stateless_reset", "stateless_reset"},
	CloseVersion:          {"version_mismatch", "version_mismatch"},
}

func (t CloseTrigger) name(f Format) string { return closeTriggers[t][f] }
