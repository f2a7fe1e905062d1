package keys

import "encoding/binary"

// Seal protects a packet in place. b is the header, which ends with the packet number of pnLen
// bytes at pnOff, and the payload; its capacity has room for Overhead more bytes, to which it is
// extended. The payload and packet number must be at least 4 bytes together. Seal returns the
// protected packet; it does not allocate.
func (k *Keys) Seal(b []byte, pnOff, pnLen int, pn uint64) []byte {
	hdrLen := pnOff + pnLen
	return k.SealFrom(b[:hdrLen], b[hdrLen:], pnOff, pnLen, pn)
}

// SealFrom is Seal for a payload that lies elsewhere than behind the header b, and is not changed.
func (k *Keys) SealFrom(b, payload []byte, pnOff, pnLen int, pn uint64) []byte {
	k.wake()
	k.setNonce(pn)
	b = k.aead.Seal(b, k.nonce[:], payload, b)
	mask := k.header.mask(b[pnOff+maxPNLen:][:sampleLen])
	b[0] ^= mask[0] & protectedBits(b[0])
	for i := range pnLen {
		b[pnOff+i] ^= mask[1+i]
	}
	return b
}

// Unprotect removes header protection in place (RFC 9001, Section 5.4). b is the whole packet,
// which ends where the packet does. It returns the length of the packet number at pnOff and its
// truncated value; ok is false if the packet is too short for a sample.
func (k *Keys) Unprotect(b []byte, pnOff int) (pnLen int, truncated uint64, ok bool) {
	if pnOff < 1 || pnOff+maxPNLen+sampleLen > len(b) {
		return 0, 0, false // RFC 9001, Section 5.4.2 [1]
	}
	k.wake()
	mask := k.header.mask(b[pnOff+maxPNLen:][:sampleLen])
	b[0] ^= mask[0] & protectedBits(b[0])
	pnLen = int(b[0]&0x03) + 1
	// All four bytes at once; those behind the number stay as they are.
	pn, behind := b[pnOff:][:maxPNLen], 8*uint(maxPNLen-pnLen)
	v := binary.BigEndian.Uint32(pn) ^ binary.BigEndian.Uint32(mask[1:])>>behind<<behind
	binary.BigEndian.PutUint32(pn, v)
	return pnLen, uint64(v >> behind), true
}

// Open opens an unprotected packet in place. hdrLen is the length of the header with its packet
// number. It returns the payload, which aliases b; ok is false if authentication failed: the
// payload of b is then undefined.
func (k *Keys) Open(b []byte, hdrLen int, pn uint64) (payload []byte, ok bool) {
	k.wake()
	k.setNonce(pn)
	payload, err := k.aead.Open(b[hdrLen:hdrLen], k.nonce[:], b[hdrLen:], b[:hdrLen])
	return payload, err == nil
}

// setNonce makes the nonce of a packet number (RFC 9001, Section 5.3). It reads none of what it
// writes: that would have to wait.
func (k *Keys) setNonce(pn uint64) {
	const low = ivLen - 8
	copy(k.nonce[:low], k.iv[:low])
	binary.BigEndian.PutUint64(k.nonce[low:], binary.BigEndian.Uint64(k.iv[low:])^pn)
}

// OnPath returns the keys for packets of another path of the connection
// (draft-ietf-quic-multipath-21, Section 2.4). The path ID changes the first 32 bits of every
// nonce. k must be of path 0, whose nonces are those of RFC 9001. Both share the ciphers.
func (k *Keys) OnPath(id uint32) *Keys {
	k.wake()
	p := *k
	binary.BigEndian.PutUint32(p.iv[:], binary.BigEndian.Uint32(p.iv[:])^id)
	return &p
}
