package loop

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// steerLen is how many bytes at the end of a connection ID tell the loop: see [udpio.SteerIndex].
// In every format of IDs these bytes are nonce or ciphertext. The secret factor keeps a peer from
// aiming at one loop.
const steerLen = 4

// drawSteer draws the secret odd number of a Group.
func drawSteer(rand io.Reader) (k uint32, err error) {
	var b [4]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[:]) | 1, nil
}

// A sharding tells which of n loops a datagram belongs to. It is the sharding of loop index.
type sharding struct {
	k        uint32
	n, index int
	idLen    func(b []byte) int // the Len method of the conn.ConnIDSource
	size     int                // bytes of the first ID that the source issued
}

// owner returns the index of the loop that owns the datagram. A datagram without a usable
// connection ID stays with the loop that has read it.
func (s *sharding) owner(datagram []byte) int {
	h, _ := conn.ParseHeader(datagram, s.idLen)
	return s.indexOf(h.DCID)
}

// indexOf returns the index of the loop that issued id. If id is too short to tell, that is this
// loop.
func (s *sharding) indexOf(id []byte) int {
	if len(id) < steerLen {
		return s.index
	}
	return udpio.SteerIndex(id, s.n, s.k)
}

// A shardSource draws IDs from another source, and issues those that lead to one loop.
type shardSource struct {
	conn.ConnIDSource
	k        uint32
	n, index int
}

// maxDraws bounds how often a shardSource draws, for each loop of the group. A source that varies
// as it must fails that often once in e^64 times. If a source does not vary, its IDs lead to other
// loops, and those hand the datagrams over.
const maxDraws = 64

// Generate implements [conn.ConnIDSource].
func (s *shardSource) Generate(b *[20]byte) (n int) {
	for range maxDraws * s.n {
		n = s.ConnIDSource.Generate(b)
		if udpio.SteerIndex(b[:n], s.n, s.k) == s.index {
			break
		}
	}
	return n
}

// A randomSource is the default source. Its IDs have randomIDLen bytes.
type randomSource struct{ rand io.Reader }

const randomIDLen = 8

// Generate implements [conn.ConnIDSource]. A source of randomness that fails leaves
// zeros, as which IDs soon are taken.
func (s randomSource) Generate(b *[20]byte) (n int) {
	clear(b[:])
	io.ReadFull(s.rand, b[:randomIDLen])
	return randomIDLen
}

// Len implements [conn.ConnIDSource].
func (s randomSource) Len(b []byte) int {
	if len(b) < randomIDLen {
		return -1
	}
	return randomIDLen
}

// shard makes cfg the configuration of loop index of n.
func (s *sharding) shard(cfg *conn.EndpointConfig) error {
	if cfg.ConnIDs == nil {
		cfg.ConnIDs = randomSource{cfg.Rand}
	}
	var id [20]byte
	if s.size = cfg.ConnIDs.Generate(&id); s.size < steerLen {
		return errors.New("loop: several Loops need connection IDs of 4 bytes or more")
	}
	s.idLen = cfg.ConnIDs.Len
	cfg.ConnIDs = &shardSource{cfg.ConnIDs, s.k, s.n, s.index}
	return nil
}
