package qlog

import (
	"fmt"
	"hash/crc32"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/internal/qerr"
)

// Types of QUIC.
type (
	// A ConnectionID is a connection ID of QUIC.
	ConnectionID = protocol.ConnectionID
	// An ArbitraryLenConnectionID is a connection ID of any version of QUIC.
	ArbitraryLenConnectionID = protocol.ArbitraryLenConnectionID
	// A Version is a QUIC version number.
	Version = protocol.Version
	// A PacketNumber is the number of a packet in its packet number space.
	PacketNumber = protocol.PacketNumber
	// An EncryptionLevel says which keys protect a packet.
	EncryptionLevel = protocol.EncryptionLevel
	// A KeyPhaseBit is the Key Phase bit of a short header.
	KeyPhaseBit = protocol.KeyPhaseBit
	// A KeyPhase counts the updates of 1-RTT keys.
	KeyPhase = protocol.KeyPhase
	// A StreamID is the ID of a stream.
	StreamID = protocol.StreamID
	// A TransportErrorCode is an error code of QUIC.
	TransportErrorCode = qerr.TransportErrorCode
	// An ApplicationErrorCode is the code with which an application closes a connection.
	ApplicationErrorCode = qerr.ApplicationErrorCode
)

// The values of the Key Phase bit.
const (
	KeyPhaseZero = protocol.KeyPhaseZero
	KeyPhaseOne  = protocol.KeyPhaseOne
)

// An ECN is the ECN field of an IP header.
type ECN string

// The values of the field.
const (
	ECNUnsupported ECN = "" // not known
	ECTNot         ECN = "Not-ECT"
	ECT0           ECN = "ECT(0)"
	ECT1           ECN = "ECT(1)"
	ECNCE          ECN = "CE"
)

// An Initiator says which side did something.
type Initiator string

// The sides.
const (
	InitiatorLocal  Initiator = "local"
	InitiatorRemote Initiator = "remote"
)

// A Direction says whether a datagram was to be sent or had been received.
type Direction string

// The directions.
const (
	DirectionSending   Direction = "sending"
	DirectionReceiving Direction = "receiving"
)

// A KeyType says which key it is.
type KeyType string

// The keys.
const (
	KeyTypeServerInitial   KeyType = "server_initial_secret"
	KeyTypeClientInitial   KeyType = "client_initial_secret"
	KeyTypeServerHandshake KeyType = "server_handshake_secret"
	KeyTypeClientHandshake KeyType = "client_handshake_secret"
	KeyTypeServer0RTT      KeyType = "server_0rtt_secret"
	KeyTypeClient0RTT      KeyType = "client_0rtt_secret"
	KeyTypeServer1RTT      KeyType = "server_1rtt_secret"
	KeyTypeClient1RTT      KeyType = "client_1rtt_secret"
)

// of1RTT reports whether the key has a phase.
func (k KeyType) of1RTT() bool { return k == KeyTypeServer1RTT || k == KeyTypeClient1RTT }

// A KeyUpdateTrigger says why a key is new.
type KeyUpdateTrigger string

// The triggers of new keys.
const (
	KeyUpdateTLS    KeyUpdateTrigger = "tls"
	KeyUpdateRemote KeyUpdateTrigger = "remote_update"
	KeyUpdateLocal  KeyUpdateTrigger = "local_update"
)

// A PacketType is the type of a packet.
type PacketType string

// The types of packets.
const (
	PacketTypeInitial            PacketType = "initial"
	PacketTypeHandshake          PacketType = "handshake"
	PacketTypeRetry              PacketType = "retry"
	PacketType0RTT               PacketType = "0RTT"
	PacketTypeVersionNegotiation PacketType = "version_negotiation"
	PacketTypeStatelessReset     PacketType = "stateless_reset"
	PacketType1RTT               PacketType = "1RTT"
	PacketTypeUnknown            PacketType = "unknown"
)

// numbered reports whether packets of the type have a packet number.
func (t PacketType) numbered() bool {
	return t == PacketTypeInitial || t == PacketTypeHandshake || t == PacketType0RTT || t == PacketType1RTT
}

// EncryptionLevelToPacketType returns the type of packets of a level. It panics if there is no such
// level.
func EncryptionLevelToPacketType(l EncryptionLevel) PacketType {
	switch l {
	case protocol.EncryptionInitial:
		return PacketTypeInitial
	case protocol.EncryptionHandshake:
		return PacketTypeHandshake
	case protocol.Encryption0RTT:
		return PacketType0RTT
	case protocol.Encryption1RTT:
		return PacketType1RTT
	}
	panic(fmt.Sprintf("qlog: encryption level %d", uint8(l)))
}

// space names the packet number space of a level.
func space(l EncryptionLevel) string {
	switch l {
	case protocol.EncryptionInitial:
		return "initial"
	case protocol.EncryptionHandshake:
		return "handshake"
	}
	return "application_data"
}

// A PacketLossReason says why a packet counts as lost.
type PacketLossReason string

// The reasons of losses.
const (
	PacketLossReorderingThreshold PacketLossReason = "reordering_threshold"
	PacketLossTimeThreshold       PacketLossReason = "time_threshold"
)

// A PacketDropReason says why a packet was dropped.
type PacketDropReason string

// The reasons of drops.
const (
	PacketDropKeysUnavailable              PacketDropReason = "keys_unavailable"
	PacketDropUnknownConnectionID          PacketDropReason = "unknown_connection_id"
	PacketDropHeaderParseError             PacketDropReason = "header_parse_error"
	PacketDropPayloadDecryptError          PacketDropReason = "payload_decrypt_error"
	PacketDropProtocolViolation            PacketDropReason = "protocol_violation"
	PacketDropDOSPrevention                PacketDropReason = "dos_prevention"
	PacketDropUnsupportedVersion           PacketDropReason = "unsupported_version"
	PacketDropUnexpectedPacket             PacketDropReason = "unexpected_packet"
	PacketDropUnexpectedSourceConnectionID PacketDropReason = "unexpected_source_connection_id"
	PacketDropUnexpectedVersion            PacketDropReason = "unexpected_version"
	PacketDropDuplicate                    PacketDropReason = "duplicate"
)

// triggers are the words of the draft for reasons, where it has one.
var triggers = map[PacketDropReason]string{
	PacketDropKeysUnavailable:     "keys_unavailable",
	PacketDropUnknownConnectionID: "connection_unknown",
	PacketDropHeaderParseError:    "invalid",
	PacketDropProtocolViolation:   "invalid",
	PacketDropPayloadDecryptError: "decryption_failure",
	PacketDropDOSPrevention:       "rejected",
	PacketDropUnsupportedVersion:  "unsupported",
	PacketDropDuplicate:           "duplicate",
}

// trigger returns the word of the draft.
func (r PacketDropReason) trigger() string {
	if s := triggers[r]; s != "" {
		return s
	}
	return "general"
}

// A TimerEventType says what happened to a timer.
type TimerEventType string

// What happens to timers.
const (
	TimerEventTypeSet       TimerEventType = "set"
	TimerEventTypeExpired   TimerEventType = "expired"
	TimerEventTypeCancelled TimerEventType = "cancelled"
)

// A TimerType says which timer it is.
type TimerType string

// The timers.
const (
	TimerTypeACK       TimerType = "ack"
	TimerTypePTO       TimerType = "pto"
	TimerTypePathProbe TimerType = "path_probe"
)

// A ConnectionState is how far a connection has come.
type ConnectionState string

// The states of a connection.
const (
	ConnectionStateAttempted          ConnectionState = "attempted"
	ConnectionStateHandshakeStarted   ConnectionState = "handshake_started"
	ConnectionStateHandshakeComplete  ConnectionState = "handshake_complete"
	ConnectionStateHandshakeConfirmed ConnectionState = "handshake_confirmed"
	ConnectionStateClosed             ConnectionState = "closed"
)

// A ConnectionCloseTrigger says why a connection has ended, if no error code does.
type ConnectionCloseTrigger string

// The triggers of the end.
const (
	ConnectionCloseTriggerIdleTimeout     ConnectionCloseTrigger = "idle_timeout"
	ConnectionCloseTriggerApplication     ConnectionCloseTrigger = "application"
	ConnectionCloseTriggerVersionMismatch ConnectionCloseTrigger = "version_mismatch"
	ConnectionCloseTriggerStatelessReset  ConnectionCloseTrigger = "stateless_reset"
)

// A CongestionState is the state of a congestion controller.
type CongestionState string

// The states of a congestion controller.
const (
	CongestionStateSlowStart           CongestionState = "slow_start"
	CongestionStateCongestionAvoidance CongestionState = "congestion_avoidance"
	CongestionStateRecovery            CongestionState = "recovery"
	CongestionStateApplicationLimited  CongestionState = "application_limited"
)

// String returns the state.
func (s CongestionState) String() string { return string(s) }

// An ECNState is the state of ECN validation (RFC 9000, Appendix A.4).
type ECNState string

// The states of ECN validation.
const (
	ECNStateTesting ECNState = "testing"
	ECNStateUnknown ECNState = "unknown"
	ECNStateFailed  ECNState = "failed"
	ECNStateCapable ECNState = "capable"
)

// A DatagramPayloadChecksum is the CRC32c of the payload of a UDP datagram. Zero stands for none.
type DatagramPayloadChecksum uint32

// CalculateDatagramPayloadChecksum returns the checksum of a payload.
func CalculateDatagramPayloadChecksum(payload []byte) DatagramPayloadChecksum {
	return DatagramPayloadChecksum(crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
}

// transportError names an error code of QUIC. It returns "" for an unknown one.
func transportError(code TransportErrorCode) string {
	if code.IsCryptoError() {
		return fmt.Sprintf("crypto_error_%#x", uint16(code))
	}
	return qerr.LowerName(code)
}
