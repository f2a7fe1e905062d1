package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

const (
	// maxPNLen is the length that sampling assumes for a packet number, because its length is not
	// known yet (RFC 9001, Section 5.4.2).
	maxPNLen = 4

	sampleLen = 16
)

// A headerProtection masks headers (RFC 9001, Section 5.4.1), with AES or with ChaCha20.
type headerProtection struct {
	block cipher.Block // AES; nil for ChaCha20
	out   [16]byte     // on the stack it would escape through the interface
	key   [maxKeyLen]byte
}

// init makes the cipher of h.key.
func (h *headerProtection) init(s suite) (err error) {
	if !s.chacha() {
		h.block, err = aes.NewCipher(h.key[:s.keyLen()])
	}
	return err
}

// mask returns the mask for a sample of 16 bytes. It is valid until the next call.
func (h *headerProtection) mask(sample []byte) *[5]byte {
	if h.block == nil {
		h.maskChaCha(sample)
	} else {
		h.block.Encrypt(h.out[:], sample) // RFC 9001, Section 5.4.3
	}
	return (*[5]byte)(h.out[:])
}

// protectedBits returns which bits of a first byte are protected. The byte may be protected
// already: the answer depends only on the first bit, which is never protected.
func protectedBits(first byte) byte {
	if first&0x80 != 0 {
		return 0x0f
	}
	return 0x1f
}

// maskChaCha makes the mask with ChaCha20 (RFC 9001, Section 5.4.4).
func (h *headerProtection) maskChaCha(sample []byte) {
	b := h.out[:5]
	clear(b)
	c, err := chacha20.NewUnauthenticatedCipher(h.key[:], sample[4:])
	if err != nil {
		panic("keys: " + err.Error()) // cannot happen: both lengths are right
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	c.XORKeyStream(b, b)
}
