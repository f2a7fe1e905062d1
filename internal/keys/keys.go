// Package keys protects packets (RFC 9001): packet protection with an AEAD, and
// header protection, in place.
package keys

import "errors"

// ErrSuite is the error of a cipher suite that TLS 1.3 for QUIC does not have.
var ErrSuite = errors.New("keys: unknown cipher suite")

// Overhead is the length of the tag of every AEAD that QUIC uses (RFC 9001, Section 5.3).
const Overhead = 16

// Keys protect the packets of one direction and one encryption level (RFC 9001,
// Section 5). They belong to one goroutine.
type Keys struct{}

// New derives the keys of a TLS secret, which is copied. suite is one of
// tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256.
func New(version uint32, suite uint16, secret []byte) (*Keys, error) { panic("sketch") }

// Initial derives the keys of Initial packets from the destination connection ID of the
// client's first one (RFC 9001, Section 5.2).
func Initial(version uint32, dcid []byte) (client, server *Keys) { panic("sketch") }

// Next derives the keys of the next key phase, which share the header protection
// (RFC 9001, Section 6).
func (k *Keys) Next() (*Keys, error) { panic("sketch") }

// Seal protects a packet in place. b is the header, which ends with the packet number
// of pnLen bytes at pnOff, and the payload; its capacity has room for Overhead more bytes, to which it
// is extended. The payload and packet number must be at least 4 bytes together.
// Seal returns the protected packet; it does not allocate.
func (k *Keys) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte { panic("sketch") }

// Unprotect removes header protection in place (RFC 9001, Section 5.4). b is the whole packet, which
// ends where the packet does. It returns the length of the packet number at pnOff and its truncated
// value; ok is false if the packet is too short for a sample.
func (k *Keys) Unprotect(b []byte, pnOff int) (pnLen int, truncated uint64, ok bool) { panic("sketch") }

// Open opens an unprotected packet in place. hdrLen is the length of the header with its packet number.
// It returns the payload, which aliases b; ok is false if authentication failed: the payload of b is then undefined.
func (k *Keys) Open(b []byte, hdrLen int, pn uint64) (payload []byte, ok bool) { panic("sketch") }

// ConfidentialityLimit and IntegrityLimit are how many packets may be sealed, and
// how many may fail to open, with one key (RFC 9001, Section 6.6).
func (k *Keys) ConfidentialityLimit() uint64 { panic("sketch") }
func (k *Keys) IntegrityLimit() uint64       { panic("sketch") }

// RetryTag computes the integrity tag of a Retry packet (RFC 9001, Section 5.8).
// retry is the packet without the tag; odcid is the destination connection ID that the client chose.
func RetryTag(version uint32, odcid, retry []byte) (tag [16]byte) { panic("sketch") }
