package conn

import (
	"io"
	"time"
)

// DefaultMaxBuffered is the default of [EndpointConfig.MaxBuffered]: 512 MiB.
const DefaultMaxBuffered = 512 << 20

// EndpointConfig configures an [Endpoint]. With Rand alone it is a client-only endpoint.
type EndpointConfig struct {
	// Rand is required. It is the only source of randomness of the state machine;
	// crypto/tls draws from its own: see conntest.Seed.
	Rand io.Reader

	// Server, if not nil, makes the endpoint accept connections.
	Server *Config

	// Admit decides the fate of each Initial that would create a connection. If nil, it is
	// AdmissionAccept while fewer than MaxHandshakes are in progress, AdmissionRetry from then on,
	// and AdmissionIgnore from four times as many on. A run replays only if Admit depends on
	// nothing but its arguments, this and earlier ones. Endpoints that share the configuration call
	// it concurrently.
	Admit         func(AdmissionRequest) Admission
	MaxHandshakes int // incomplete server handshakes; default 1024; for a nil Admit

	// ConfigForClient, if not nil, returns the configuration of a connection that is
	// accepted, after Admit; nil for Server. With an error the client is refused
	// (CONNECTION_REFUSED). Versions and PreferredAddress4 and 6 are those of Server in any
	// case. It must not block, and what it returns must not change; return the same
	// Config for many clients, as a new one has to be prepared. To choose by what the
	// ClientHello says, see tls.Config.GetConfigForClient.
	ConfigForClient func(AdmissionRequest) (*Config, error)

	// NonQUIC, if not nil, is given each datagram that belongs to no connection and
	// does not have the fixed bit of QUIC: STUN or DTLS, for example, on a socket that
	// QUIC shares (RFC 9443). It runs inside Receive; d.Data is lent for the call. To send
	// such datagrams see Loop.WriteDatagram of package loop.
	NonQUIC func(now time.Time, d Datagram)

	// MaxBuffered limits the bytes that all connections hold together, those included that have
	// closed and wait to be forgotten: what was received and not read, written and not
	// acknowledged, packets, datagrams, and what each connection and stream takes by itself. At the
	// limit nothing more is kept: what a packet brings beyond it counts as lost, and so comes
	// again; datagrams are dropped; Write takes nothing until there is room; Initials are answered
	// with Retry, or dropped, whatever Admit says. Connections of which little moves for 10 seconds
	// end with INTERNAL_ERROR, those that hold most first, and so does the one that holds most at
	// once, if another needs room and has no more than an equal share. An idle connection takes
	// about 12 KiB, and 45 KiB during its handshake. Default DefaultMaxBuffered.
	MaxBuffered int64

	// Offload, if not nil, is given each step of a TLS handshake. It must arrange
	// for Run on another goroutine, and for Complete with the same value on the
	// Endpoint's, and return at once. If nil, steps run inside Receive, Dial and
	// HandleTimeout, and callbacks of [Config.TLS] that block stop the Endpoint.
	// Meanwhile the connection buffers CRYPTO data, within a limit, acknowledges it
	// and keeps its probe timeout.
	Offload func(*TLSWork)

	// ConnIDs issues connection IDs. If nil, they are 8 bytes from Rand.
	// Endpoints do not share it.
	ConnIDs ConnIDSource

	// ResetKey keys stateless reset tokens (RFC 9000, Section 10.3). Set the same
	// key on every instance that may get the packet: after a change, peers do not
	// recognise a reset and wait for their idle timeout. A zero key is replaced
	// with bytes from Rand.
	ResetKey [32]byte

	// TokenKeys key the tokens of Retry and NEW_TOKEN (RFC 9000, Section 8.1), and
	// TLS session tickets unless TLS has keys of its own. The first seals, all of
	// them open, as in tls.Config.SetSessionTicketKeys. Set the same keys on every
	// instance, and rotate them: see SetTokenKeys. None means one from Rand;
	// package loop draws one for all Loops of a Group.
	TokenKeys [][32]byte

	// TakeTicket reports whether a server may take early data with a session ticket: once
	// for each. Endpoints, or machines, that share TokenKeys are protected from replays to
	// another only if they share it, too. It is called inside Receive or Complete, and must
	// not block. If nil, it is First of a [TicketFilter]; package loop has one for
	// all Loops of a Group.
	TakeTicket func(TicketID) bool
}
