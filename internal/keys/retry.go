package keys

import (
	"crypto/aes"
	"crypto/cipher"
)

// RetryTag computes the integrity tag of a Retry packet (RFC 9001, Section 5.8). retry is the
// packet without the tag; odcid is the destination connection ID that the client chose, of at most
// 255 bytes.
func RetryTag(version uint32, odcid, retry []byte) (tag [16]byte) {
	key, nonce := retryKey(version)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keys: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("keys: " + err.Error())
	}
	pseudo := make([]byte, 0, 1+len(odcid)+len(retry))
	pseudo = append(pseudo, byte(len(odcid)))
	pseudo = append(pseudo, odcid...)
	pseudo = append(pseudo, retry...)
	aead.Seal(tag[:0], nonce, nil, pseudo)
	return tag
}
