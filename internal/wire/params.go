package wire

import (
	"net/netip"
	"time"
)

// Params are transport parameters (RFC 9000, Section 18.2; RFC 9221; RFC 9287; RFC 9368; draft-ietf-quic-ack-frequency; draft-ietf-quic-reliable-stream-reset).
type Params struct {
	OriginalDCID                                                               []byte // server only; nil if absent
	InitialSCID                                                                []byte // nil if absent; empty but not nil if zero-length
	RetrySCID                                                                  []byte // server only; nil if absent
	ResetToken                                                                 *[16]byte
	MaxIdleTimeout                                                             time.Duration // 0: none
	MaxUDPPayload                                                              uint64        // default 65527
	MaxData, MaxStreamDataBidiLocal, MaxStreamDataBidiRemote, MaxStreamDataUni uint64
	MaxStreamsBidi, MaxStreamsUni                                              uint64
	AckDelayExponent                                                           uint8         // default 3
	MaxAckDelay                                                                time.Duration // default 25ms
	DisableActiveMigration                                                     bool
	Preferred                                                                  *PreferredAddress
	ActiveConnIDLimit                                                          uint64        // default 2
	MaxDatagramFrame                                                           uint64        // RFC 9221; 0: none
	GreaseQUICBit                                                              bool          // RFC 9287
	MinAckDelay                                                                time.Duration // draft-ietf-quic-ack-frequency (0xff04de1b, microseconds); 0: absent
	ResetStreamAt                                                              bool          // draft-ietf-quic-reliable-stream-reset (0x17f7586d2cb571)
	ChosenVersion                                                              uint32        // version_information (RFC 9368, 0x11); 0: absent
	AvailableVersions                                                          []uint32
}

// A PreferredAddress is the parameter of that name (RFC 9000, Section 18.2).
type PreferredAddress struct {
	V4, V6     netip.AddrPort
	ID         []byte
	ResetToken [16]byte
}

// DefaultParams returns Params with the defaults that RFC 9000 gives to absent ones.
func DefaultParams() Params { panic("sketch") }

// AppendParams appends the encoding. grease is a reserved parameter (31*N+27) with random content to add, from the two random numbers.
func AppendParams(b []byte, p *Params, grease uint64) []byte { panic("sketch") }

// ParseParams parses the parameters of a peer, which is a server if fromServer. The error says which parameter is wrong:
// duplicate (any, also unknown), malformed, out of range (ack_delay_exponent > 20, max_ack_delay >= 2^14, max_udp_payload_size < 1200,
// active_connection_id_limit < 2, initial_max_streams > 2^60, min_ack_delay > max_ack_delay), or sent by a client that must not
// (original_destination_connection_id, preferred_address, retry_source_connection_id, stateless_reset_token). Slices are copied.
func ParseParams(b []byte, fromServer bool) (Params, error) { panic("sketch") }
