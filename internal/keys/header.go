package keys

import (
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

// A headerProtection masks headers (RFC 9001, Section 5.4.1).
type headerProtection interface {
	// mask returns the mask for a sample of 16 bytes. It is valid until the next call.
	mask(sample []byte) *[5]byte
}

// protectedBits returns which bits of a first byte are protected. The byte may be protected
// already: the answer depends only on the first bit, which is never protected.
func protectedBits(first byte) byte {
	if first&0x80 != 0 {
		return 0x0f
	}
	return 0x1f
}

// An aesHeader is header protection with AES (RFC 9001, Section 5.4.3).
type aesHeader struct {
	block cipher.Block
	out   [16]byte // on the stack it would escape through the interface
}

func (h *aesHeader) mask(sample []byte) *[5]byte {
	h.block.Encrypt(h.out[:], sample)
	return (*[5]byte)(h.out[:])
}

// A chachaHeader is header protection with ChaCha20 (RFC 9001, Section 5.4.4).
type chachaHeader struct {
	key [chacha20.KeySize]byte
	out [5]byte
}

func (h *chachaHeader) mask(sample []byte) *[5]byte {
	h.out = [5]byte{}
	c, err := chacha20.NewUnauthenticatedCipher(h.key[:], sample[4:])
	if err != nil {
		panic("keys: " + err.Error()) // cannot happen: both lengths are right
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	c.XORKeyStream(h.out[:], h.out[:])
	return &h.out
}
