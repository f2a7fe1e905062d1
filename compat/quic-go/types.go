package quic

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
)

// A StreamID is the ID of a stream.
type StreamID = protocol.StreamID

// A Version is a QUIC version number.
type Version = protocol.Version

// The versions.
const (
	Version1 = protocol.Version1 // RFC 9000
	Version2 = protocol.Version2 // RFC 9369
)

// SupportedVersions returns the versions that this package speaks, the preferred one first.
func SupportedVersions() []Version { return []Version{Version1, Version2} }

// A ConnectionID is a connection ID of at most 20 bytes.
type ConnectionID = protocol.ConnectionID

// ConnectionIDFromBytes returns b as a ConnectionID. It panics if b is longer than 20 bytes.
func ConnectionIDFromBytes(b []byte) ConnectionID { return protocol.ParseConnectionID(b) }

// A ConnectionIDGenerator makes the connection IDs of a Transport.
type ConnectionIDGenerator interface {
	// GenerateConnectionID returns a new ID. Outsiders must not be able to link it to other IDs.
	GenerateConnectionID() (ConnectionID, error)

	// ConnectionIDLen returns the length of all IDs in bytes.
	ConnectionIDLen() int
}

// A StatelessResetKey is the key of stateless reset tokens.
type StatelessResetKey [32]byte

// A TokenGeneratorKey seals the tokens of Retry packets and NEW_TOKEN frames.
type TokenGeneratorKey = protocol.TokenProtectorKey

type quicVersionKey struct{}

// QUICVersionContextKey is the key of the QUIC version in the context of a tls.ClientHelloInfo.
// It is the version with which the client began, and the connection may have another one in the end
// (RFC 9368).
var QUICVersionContextKey = &quicVersionKey{}

// OOBCapablePacketConn is a net.PacketConn with those methods of a net.UDPConn that carry control
// messages. A net.UDPConn itself is read and written in batches. Any other PacketConn moves one
// packet at a time, with or without these methods.
type OOBCapablePacketConn interface {
	net.PacketConn
	SyscallConn() (syscall.RawConn, error)
	SetReadBuffer(int) error
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
}

var _ OOBCapablePacketConn = (*net.UDPConn)(nil)

// ClientInfo describes a client that connects.
type ClientInfo struct {
	RemoteAddr net.Addr
	// AddrVerified reports whether a token has shown that the client is at RemoteAddr.
	AddrVerified bool
}

// ConnectionState describes a connection.
type ConnectionState struct {
	TLS tls.ConnectionState
	// SupportsDatagrams says which sides take datagrams (RFC 9221).
	SupportsDatagrams struct {
		Remote, Local bool
	}
	// SupportsStreamResetPartialDelivery says which sides take RESET_STREAM_AT.
	SupportsStreamResetPartialDelivery struct {
		Remote, Local bool
	}
	RequireStreamCreditRelease bool // of the Config
	Used0RTT                   bool
	Version                    Version
	GSO                        bool
}

// ConnectionStats are the counters and estimates of a connection.
type ConnectionStats struct {
	MinRTT        time.Duration
	LatestRTT     time.Duration
	SmoothedRTT   time.Duration
	MeanDeviation time.Duration

	CongestionWindow uint64 // in bytes

	BytesSent       uint64
	PacketsSent     uint64
	BytesReceived   uint64
	PacketsReceived uint64
	BytesLost       uint64
	PacketsLost     uint64
}
