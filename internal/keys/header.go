package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
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
	block  cipher.Block            // AES; nil for ChaCha20
	chacha *[chacha20.KeySize]byte // nil for AES
	out    [16]byte                // on the stack it would escape through the interface
}

func (h *headerProtection) init(s suite, key []byte) (err error) {
	if uint16(s) == tls.TLS_CHACHA20_POLY1305_SHA256 {
		h.chacha = (*[chacha20.KeySize]byte)(bytes.Clone(key))
		return nil
	}
	h.block, err = aes.NewCipher(key)
	return err
}

// mask returns the mask for a sample of 16 bytes. It is valid until the next call.
func (h *headerProtection) mask(sample []byte) *[5]byte {
	if h.chacha != nil {
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
	c, err := chacha20.NewUnauthenticatedCipher(h.chacha[:], sample[4:])
	if err != nil {
		panic("keys: " + err.Error()) // cannot happen: both lengths are right
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	c.XORKeyStream(b, b)
}
