package conn

import (
	"crypto/tls"
	"io"
	"net/netip"
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

	// Admit decides the fate of each Initial that would create a connection. If it is nil, clients
	// are accepted while fewer than MaxHandshakes handshakes are in progress. From then on those
	// without a valid token get AdmissionRetry, and from four times as many on all get
	// AdmissionIgnore. A run can be replayed only if Admit depends on nothing but its arguments,
	// these and earlier ones. Endpoints that share the configuration call it concurrently.
	Admit         func(AdmissionRequest) Admission
	MaxHandshakes int // incomplete server handshakes; default 1024; for a nil Admit

	// ConfigForClient, if not nil, returns the configuration of a connection that Admit has
	// accepted. If it returns nil, Server is the configuration. If it returns an error, the client
	// is refused (CONNECTION_REFUSED). Versions, PreferredAddress4 and PreferredAddress6 are always
	// those of Server. ConfigForClient must not block, and what it returns must not change. Return
	// the same Config for many clients, because a new one has to be prepared. To choose by what the
	// ClientHello says, see tls.Config.GetConfigForClient.
	ConfigForClient func(AdmissionRequest) (*Config, error)

	// ClientHello, if not nil, is called before each callback of [Config.TLS] that is given a
	// ClientHello: GetConfigForClient, GetCertificate and GetEncryptedClientHelloKeys. local and
	// remote are the addresses between which the connection began; local is as far as it is known.
	// It may change hello. Package loop sets hello.Conn with it. It runs where the callbacks run:
	// see Offload.
	ClientHello func(hello *tls.ClientHelloInfo, local, remote netip.AddrPort)

	// NonQUIC, if not nil, gets each datagram that belongs to no connection and does not have the
	// fixed bit of QUIC. On a socket that QUIC shares, that is STUN or DTLS, for example (RFC
	// 9443). It runs inside Receive; d.Data is lent for the call. To send such datagrams see
	// Loop.WriteDatagram of package loop.
	NonQUIC func(now time.Time, d Datagram)

	// Elsewhere, if not nil, gets each datagram with a short header that belongs to no connection,
	// and reports whether it belongs to one of another Endpoint. There it goes to Receive, with the
	// Local that its connection knows. It is for connections that have paths from the sockets of
	// several Endpoints: see [Conn.Probe] and [Conn.Switch]. It runs inside Receive; d.Data is lent
	// for the call.
	Elsewhere func(now time.Time, d Datagram) bool

	// MaxBuffered limits the bytes that all connections hold together, including closed ones that
	// wait to be forgotten. It counts data that was received and not read, data that was written
	// and not acknowledged, packets, datagrams, what each connection and stream takes by itself,
	// and what layers above keep for them: see [Conn.Hold]. An idle connection takes about 11 KiB,
	// and 45 KiB during its handshake. Memory that is kept for reuse gives way to what counts. An
	// Endpoint takes up to 3 MiB besides. The default is DefaultMaxBuffered.
	//
	// From a quarter of the limit on, streams take less of what is written. At the limit nothing
	// more is kept. What a packet brings beyond it counts as lost, so it comes again. Datagrams are
	// dropped. Write takes nothing until there is room. Initials are answered with Retry, or
	// dropped, whatever Admit says. Connections of which little moves for 10 seconds end with
	// INTERNAL_ERROR, those that hold most first. If another connection needs room and has no more
	// than an equal share, the one that holds most ends at once, with the same error.
	MaxBuffered int64

	// Offload, if not nil, is given steps of TLS handshakes. It must return at once. It must
	// arrange that Run is called on another goroutine, and then Complete, with the same value, on
	// the goroutine of the Endpoint. Until then the connection buffers CRYPTO data, within a limit,
	// acknowledges it and keeps its probe timeout. If Offload is nil, steps run inside Receive,
	// Dial and HandleTimeout, and callbacks of [Config.TLS] that block stop the Endpoint.
	Offload func(*TLSWork)

	// ConnIDs issues connection IDs. If nil, they are 8 bytes from Rand. Endpoints must not share
	// it.
	ConnIDs ConnIDSource

	// ResetKey keys stateless reset tokens (RFC 9000, Section 10.3). Set the same key on every
	// instance that may get the packet. After a change of the key, peers do not recognise a reset
	// and wait for their idle timeout. A zero key is replaced with bytes from Rand.
	ResetKey [32]byte

	// TokenKeys key the tokens of Retry and NEW_TOKEN (RFC 9000, Section 8.1), and TLS session
	// tickets unless TLS has keys of its own. The first one seals, and all of them open, as in
	// tls.Config.SetSessionTicketKeys. Set the same keys on every instance, and rotate them: see
	// SetTokenKeys. Without keys, one is drawn from Rand; package loop draws one for all Loops of a
	// Group.
	TokenKeys [][32]byte

	// RetryTokenLife and NewTokenLife are how long the tokens of Retry and of NEW_TOKEN hold. The
	// defaults are 10 s and 24 h.
	RetryTokenLife, NewTokenLife time.Duration

	// NoVersionNegotiation has the Endpoint drop packets of versions that it does not speak. By
	// default it answers with the versions that it speaks (RFC 9000, Section 6).
	NoVersionNegotiation bool

	// TakeTicket reports whether a server may take early data with a session ticket, which is once
	// for each ticket. With [Config.ReuseTickets] it is called for each use of the ticket until one
	// is left, and then for that of the ClientHello, each by an ID of its own. Endpoints or
	// machines that share TokenKeys must share it, too: otherwise early data of one can be replayed
	// to another. It is called inside Receive or Complete, and must not block. If it is nil, First
	// of a [TicketFilter] serves; package loop has one for all Loops of a Group.
	TakeTicket func(TicketID) bool

	// RTTSample, if not nil, is called with each sample of the round-trip time of a connection, as
	// LatestRTT of [Stats] has it (RFC 9002, Section 5.1). It is called inside Receive. It must
	// not block, nor change c.
	RTTSample func(c *Conn, rtt time.Duration)

	// Record, if not nil, gets a recording of everything that the Endpoint is told and does, which
	// [NewReplay] does again. It holds the data of the connections and their secrets. The Endpoint
	// writes pieces of up to 32 KiB and one entry, before each call of Receive, HandleTimeout or
	// Complete at the latest. After an error of Record it writes nothing more. Write must not block
	// for long. The Endpoint does not close Record.
	Record io.Writer

	play *player   // of a Replay
	runs *runWatch // nil except in tests
}
