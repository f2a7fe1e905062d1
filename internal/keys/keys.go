// Package keys protects packets (RFC 9001): packet protection with an AEAD, and
// header protection, in place. It is pure, and draws no randomness.
//
// With GODEBUG=fips140=only no keys can be derived: that setting forbids the way in which RFC 9001
// composes the ciphers.
package keys

import (
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
)

// ErrSuite is the error of a cipher suite that TLS 1.3 for QUIC does not have.
var ErrSuite = errors.New("keys: unknown cipher suite")

// Overhead is the length of the tag of every AEAD that QUIC uses (RFC 9001, Section 5.3).
const Overhead = 16

// Keys protect the packets of one direction and one encryption level (RFC 9001,
// Section 5). They belong to one goroutine, together with those that Next derives
// from them.
type Keys struct {
	aead cipher.AEAD // nil while they rest
	iv   [ivLen]byte
	// nonce is the nonce of the AEAD's last call. On the stack it would escape through the
	// interface, and cost an allocation a packet.
	nonce  [ivLen]byte
	header headerProtection

	suite   suite
	version uint32
	secret  [sha512.Size384]byte // for Next; as long as the hash of the suite
}

// New derives the keys of a TLS secret, which is copied. suite is one of
// tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256;
// others give ErrSuite. version decides about the labels (RFC 9369, Section 3.3.2).
func New(version uint32, suiteID uint16, secret []byte) (*Keys, error) {
	s := suite(suiteID)
	if !s.known() {
		return nil, ErrSuite
	}
	var e expander
	e.init(s, secret)
	k, err := derive(version, s, secret, &e)
	if err != nil {
		return nil, err
	}
	hp := e.label(prefix(version), "hp", s.keyLen())
	copy(k.header.key[:], hp[:s.keyLen()])
	if err := k.header.init(s); err != nil {
		return nil, err
	}
	return k, nil
}

// Next derives the keys of the next key phase, which share the header protection
// (RFC 9001, Section 6). Every call derives them anew.
func (k *Keys) Next() (*Keys, error) {
	k.wake()
	var e expander
	n := k.suite.hashLen()
	e.init(k.suite, k.secret[:n])
	secret := e.label(prefix(k.version), "ku", n)
	e.init(k.suite, secret[:n])
	next, err := derive(k.version, k.suite, secret[:n], &e)
	if err != nil {
		return nil, err
	}
	next.header = k.header
	return next, nil
}

// derive derives everything except the header protection from secret. It copies secret, which e has
// too.
func derive(version uint32, s suite, secret []byte, e *expander) (*Keys, error) {
	iv := e.label(prefix(version), "iv", ivLen)
	key := e.label(prefix(version), "key", s.keyLen())
	aead, err := s.newAEAD(key[:s.keyLen()])
	if err != nil {
		return nil, err
	}
	k := &Keys{aead: aead, iv: [ivLen]byte(iv[:]), suite: s, version: version}
	copy(k.secret[:], secret)
	return k, nil
}

// Initial derives the keys of Initial packets from the destination connection ID of the client's
// first packet (RFC 9001, Section 5.2 [2]), which has at most 20 bytes. Any version but 2 is taken
// for version 1.
func Initial(version uint32, dcid []byte) (client, server *Keys) {
	var e expander
	e.init(initialSuite, initialSalt(version))
	secret := e.mac(dcid) // HKDF-Extract: RFC 5869, Section 2.2
	e.init(initialSuite, secret[:sha256.Size])
	client, err := newInitial(version, &e, "client in")
	if err == nil {
		server, err = newInitial(version, &e, "server in")
	}
	if err != nil {
		// only fips140=only makes it fail; the arguments are always right
		panic("keys: initial secret: " + err.Error())
	}
	return client, server
}

// newInitial derives one direction's keys from the initial secret.
func newInitial(version uint32, e *expander, label string) (*Keys, error) {
	secret := e.label("", label, sha256.Size)
	return New(version, uint16(initialSuite), secret[:sha256.Size])
}
