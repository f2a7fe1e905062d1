package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

// ivLen is the length of the IV and nonce of every AEAD (RFC 9001, Section 5.3).
const ivLen = 12

// A suite is the identifier of a TLS 1.3 cipher suite.
type suite uint16

// initialSuite protects Initial packets (RFC 9001, Section 5.2).
const initialSuite = suite(tls.TLS_AES_128_GCM_SHA256)

// known reports whether QUIC has the suite (RFC 9001, Section 5.3 [1]). TLS_AES_128_CCM_SHA256 is
// not in crypto/tls.
func (s suite) known() bool {
	switch uint16(s) {
	case tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}

// chacha reports whether the suite has ChaCha20-Poly1305. The others have AES.
func (s suite) chacha() bool { return uint16(s) == tls.TLS_CHACHA20_POLY1305_SHA256 }

// maxKeyLen is the longest keyLen.
const maxKeyLen = 32

// keyLen is the length of the packet protection key, and of the header protection key (RFC 9001,
// Section 5.4.1).
func (s suite) keyLen() int {
	if s == initialSuite {
		return 16
	}
	return 32
}

// sha384 reports whether the hash of the suite's key schedule is SHA-384. The others have SHA-256.
func (s suite) sha384() bool { return uint16(s) == tls.TLS_AES_256_GCM_SHA384 }

// hashLen is the length of that hash, and of secrets.
func (s suite) hashLen() int {
	if s.sha384() {
		return sha512.Size384
	}
	return sha256.Size
}

func (s suite) newAEAD(key []byte) (cipher.AEAD, error) {
	if s.chacha() {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ConfidentialityLimit is how many packets may be sealed with one key (RFC 9001, Section 6.6).
// ChaCha20-Poly1305 has none but the number of packet numbers.
func (k *Keys) ConfidentialityLimit() uint64 {
	if k.suite.chacha() {
		return 1 << 62
	}
	return 1 << 23
}

// IntegrityLimit is how many packets may fail to open in all phases of a connection
// together (RFC 9001, Section 6.6).
func (k *Keys) IntegrityLimit() uint64 {
	if k.suite.chacha() {
		return 1 << 36
	}
	return 1 << 52
}

// prefix returns what the labels of a version begin with (RFC 9001, Section 5.1; RFC 9369,
// Section 3.3.2).
func prefix(version uint32) string {
	if version == version2 {
		return "quicv2 "
	}
	return "quic "
}

// An expander derives keys from one secret with HMAC (RFC 2104). It sets the key once, hashes each
// message in one piece, and allocates nothing. The keys of an Initial take 5.1 us with it, 6.6 us
// with a keyed crypto/hmac, and more with hkdf.Expand.
type expander struct {
	inner, outer [sha512.BlockSize]byte // the key, padded and masked
	sha384       bool
}

// init sets the secret, which is no longer than a block.
func (e *expander) init(s suite, secret []byte) {
	*e = expander{sha384: s.sha384()}
	copy(e.inner[:], secret)
	e.outer = e.inner
	for i := range e.inner {
		e.inner[i] ^= 0x36
		e.outer[i] ^= 0x5c
	}
}

// label is HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446, Section 7.1). The label is
// prefix and what. length is at most that of the hash, so one block of HKDF-Expand does (RFC 5869,
// Section 2.3).
func (e *expander) label(prefix, what string, length int) [sha512.Size384]byte {
	const tls13 = "tls13 "
	var room [maxMessage]byte
	info := binary.BigEndian.AppendUint16(room[:0], uint16(length))
	info = append(info, byte(len(tls13)+len(prefix)+len(what)))
	info = append(info, tls13...)
	info = append(info, prefix...)
	info = append(info, what...)
	info = append(info, 0, 1) // no context; the first block

	return e.mac(info)
}

// maxMessage is the length of the longest message of an expander: the info of the longest label
// with its length, or a connection ID.
const maxMessage = 48

// mac is the HMAC of a message of at most maxMessage bytes, with zeros behind it if the hash is
// SHA-256.
func (e *expander) mac(message []byte) (sum [sha512.Size384]byte) {
	var msg [sha512.BlockSize + maxMessage]byte
	if e.sha384 {
		n := copy(msg[:], e.inner[:])
		sum = sha512.Sum384(msg[:n+copy(msg[n:], message)])
		n = copy(msg[:], e.outer[:])
		return sha512.Sum384(msg[:n+copy(msg[n:], sum[:])])
	}
	n := copy(msg[:], e.inner[:sha256.BlockSize])
	inner := sha256.Sum256(msg[:n+copy(msg[n:], message)])
	n = copy(msg[:], e.outer[:sha256.BlockSize])
	outer := sha256.Sum256(msg[:n+copy(msg[n:], inner[:])])
	copy(sum[:], outer[:])
	return sum
}
