package quiclb

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// scratch is where AES reads and writes: on the stack it would escape through
// cipher.Block, and cost an allocation an ID.
type scratch [2 * aes.BlockSize]byte

// encrypt encrypts b, a server ID and a nonce of 5 to 19 bytes together, in place
// (draft-ietf-quic-load-balancers, Section 5.4).
func encrypt(block cipher.Block, b []byte, s *scratch) {
	if len(b) == aes.BlockSize {
		block.Encrypt(b, b) // Section 5.4.1, Single Pass Encryption
		return
	}
	h := split(b)
	for pass := byte(1); pass <= 4; pass++ {
		h.pass(block, pass, s)
	}
	h.join(b)
}

// decrypt decrypts the first idLen bytes of b, which encrypt has encrypted, in
// place; the others are undefined then (Section 5.5).
func decrypt(block cipher.Block, b []byte, idLen int, s *scratch) {
	if len(b) == aes.BlockSize {
		block.Decrypt(b, b)
		return
	}
	h := split(b)
	last := byte(2)
	if idLen > len(b)-idLen {
		last = 1 // the server ID extends into the right half
	}
	for pass := byte(4); pass >= last; pass-- {
		h.pass(block, pass, s)
	}
	h.join(b)
}

// halves are the state of a four-pass Feistel network (Section 5.4.2). If n is odd, each
// half has one nibble of the middle byte, and zeros in place of the other.
type halves struct {
	n           int // bytes in all
	left, right [(maxLen + 1) / 2]byte
}

// split splits b.
func split(b []byte) (h halves) {
	h.n = len(b)
	half := h.half()
	copy(h.left[:half], b)
	copy(h.right[:half], b[h.n-half:])
	h.trim()
	return h
}

// join is the inverse of split.
func (h *halves) join(b []byte) {
	half := h.half()
	copy(b[h.n-half:], h.right[:half])
	copy(b, h.left[:half])
	if h.n%2 != 0 {
		b[half-1] |= h.right[0]
	}
}

// half returns the length of a half.
func (h *halves) half() int { return (h.n + 1) / 2 }

// trim clears the nibbles of the middle byte that a half does not have.
func (h *halves) trim() {
	if h.n%2 != 0 {
		h.left[h.half()-1] &= 0xf0
		h.right[0] &= 0x0f
	}
}

// pass runs one pass, from 1 to 4: odd ones change the right half, even ones the
// left one. Each is its own inverse.
func (h *halves) pass(block cipher.Block, pass byte, s *scratch) {
	half := h.half()
	from, to := h.left[:half], h.right[:half]
	if pass%2 == 0 {
		from, to = to, from
	}
	in, out := s[:aes.BlockSize], s[aes.BlockSize:]
	clear(in)
	copy(in, from)
	in[14], in[15] = byte(h.n), pass
	block.Encrypt(out, in)
	subtle.XORBytes(to, to, out)
	h.trim()
}
