package conn

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// Lifetimes of address validation tokens (RFC 9000, Section 8.1), by default.
const (
	retryTokenLife = 10 * time.Second
	newTokenLife   = 24 * time.Hour
)

const (
	tokenNonceLen = 12
	maxTokenLen   = 256
)

// A tokenContent is what a token says to the server that made it.
type tokenContent struct {
	kind             TokenKind
	time             time.Time
	remote           netip.AddrPort
	version          uint32 // of NEW_TOKEN tokens: they are good for no other (RFC 9369, Section 5)
	odcid, retrySCID ConnID // of Retry tokens
}

// A token is the result of opening one.
type token struct {
	tokenContent
	// retryInvalid: it is a Retry token of ours, but of another address or too old.
	retryInvalid bool
}

// A tokenSealer seals and opens tokens: nonce || AEAD(kind, time, version, address, IDs).
type tokenSealer struct {
	aeads              []cipher.AEAD // the first seals
	retryLife, newLife time.Duration
}

func (s *tokenSealer) setKeys(keys [][32]byte) error {
	aeads := make([]cipher.AEAD, 0, len(keys))
	for _, k := range keys {
		k = sha256.Sum256(append([]byte("lazo address token"), k[:]...))
		block, err := aes.NewCipher(k[:])
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		aeads = append(aeads, aead)
	}
	s.aeads = aeads
	return nil
}

// seal appends a token to b. The nonce is fresh.
// RFC 9000, Section 8.1.1 [1]; RFC 9000, Section 8.1.3 [4]; RFC 9000, Section 8.1.4 [1, 2].
func (s *tokenSealer) seal(b []byte, nonce [tokenNonceLen]byte, c tokenContent) []byte {
	p := []byte{byte(c.kind)}
	p = binary.BigEndian.AppendUint64(p, uint64(c.time.UnixNano()))
	p = binary.BigEndian.AppendUint32(p, c.version)
	addr := tokenAddress(c.kind, c.remote)
	p = append(p, addr[:]...)
	p = append(append(p, c.odcid.n), c.odcid.bytes()...)
	p = append(append(p, c.retrySCID.n), c.retrySCID.bytes()...)
	b = append(b, nonce[:]...)
	return s.aeads[0].Seal(b, nonce[:], p, nil)
}

// tokenAddress is what a token is bound to: a Retry token to address and port, a NEW_TOKEN token to
// the address alone, because the port of a later connection differs (RFC 9000, Section 8.1.4).
// RFC 9000, Section 8.1.4 [3, 4].
func tokenAddress(kind TokenKind, a netip.AddrPort) (b [18]byte) {
	ip := a.Addr().As16()
	copy(b[:], ip[:])
	if kind == TokenRetry {
		binary.BigEndian.PutUint16(b[16:], a.Port())
	}
	return b
}

// open opens a token. One that cannot be opened counts as none (RFC 9000, Section 8.1.3).
// RFC 9000, Section 8.1.3 [3, 10, 11]; RFC 9000, Section 8.1.4 [6, 7]; RFC 9000, Section 21.3 [1].
func (s *tokenSealer) open(b []byte, now time.Time, remote netip.AddrPort) (t token) {
	if len(b) < tokenNonceLen || len(b) > maxTokenLen {
		return t
	}
	for _, aead := range s.aeads {
		p, err := aead.Open(nil, b[:tokenNonceLen], b[tokenNonceLen:], nil)
		if err != nil || !t.parse(p, remote) {
			continue
		}
		life := s.newLife
		if t.kind == TokenRetry {
			life = s.retryLife
		}
		if age := now.Sub(t.time); t.remote != remote || age < 0 || age > life {
			return token{retryInvalid: t.kind == TokenRetry}
		}
		return t
	}
	return token{}
}

// parse reads what seal wrote. It sets remote if the token is of that address.
func (t *token) parse(p []byte, remote netip.AddrPort) bool {
	const versionOff, addrOff, idOff = 9, 13, 13 + 18
	if len(p) < idOff || TokenKind(p[0]) != TokenRetry && TokenKind(p[0]) != TokenNewToken {
		return false
	}
	t.kind = TokenKind(p[0])
	t.time = time.Unix(0, int64(binary.BigEndian.Uint64(p[1:])))
	t.version = binary.BigEndian.Uint32(p[versionOff:])
	if tokenAddress(t.kind, remote) == [18]byte(p[addrOff:idOff]) {
		t.remote = remote
	}
	p = p[idOff:]
	for _, id := range [...]*ConnID{&t.odcid, &t.retrySCID} {
		if len(p) < 1 || len(p) < 1+int(p[0]) {
			return false
		}
		var ok bool
		if *id, ok = ConnIDFromSlice(p[1 : 1+p[0]]); !ok {
			return false
		}
		p = p[1+p[0]:]
	}
	return len(p) == 0
}

// sendNewToken gives the client a token for its next connection from an address that is validated
// (RFC 9000, Section 8.1.3).
// RFC 9000, Section 8.1.3 [5]; RFC 9000, Section 19.7 [1].
func (c *Conn) sendNewToken(remote netip.AddrPort) {
	var nonce [tokenNonceLen]byte
	c.e.random(nonce[:])
	c.control.token = c.e.tokens.seal(nil, nonce, tokenContent{
		kind: TokenNewToken, time: c.e.wall(c.e.now), remote: remote, version: c.version,
	})
	c.control.newToken, c.control.any = true, true
}
