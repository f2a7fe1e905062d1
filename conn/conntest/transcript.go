package conntest

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
)

// A transcript hashes the datagrams that were delivered, in their order.
type transcript struct {
	hash hash.Hash
	head []byte
}

func (t *transcript) init() { t.hash = sha256.New() }

func (t *transcript) add(fl *flight) {
	b := binary.BigEndian.AppendUint64(t.head[:0], uint64(fl.at))
	b = appendAddrPort(b, fl.src)
	b = appendAddrPort(b, fl.dst)
	b = append(b, byte(fl.ecn))
	t.head = binary.BigEndian.AppendUint64(b, uint64(len(fl.data)))
	t.hash.Write(t.head)
	t.hash.Write(fl.data)
}

// sum returns the hash so far, which add may go on with.
func (t *transcript) sum() (sum [32]byte) {
	t.hash.Sum(sum[:0])
	return sum
}

func appendAddrPort(b []byte, ap netip.AddrPort) []byte {
	a := ap.Addr().As16()
	b = append(b, a[:]...)
	return binary.BigEndian.AppendUint16(b, ap.Port())
}
