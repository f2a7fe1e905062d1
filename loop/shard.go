package loop

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

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

// steer returns the secret odd number of a Group.
func (cfg *Config) steer() (k uint32, err error) {
	if cfg.Generations == nil {
		return drawSteer(cfg.Endpoint.Rand)
	}
	return cfg.Generations.Steer, cfg.Generations.check()
}

// A sharding tells which of n loops a datagram belongs to. It is the sharding of loop index.
type sharding struct {
	k           uint32
	n, index    int
	generations *Generations               // nil if there is but one
	elsewhere   *atomic.Pointer[elsewhere] // with generations
	idLen       func(b []byte) int         // the Len method of the conn.ConnIDSource
	size        int                        // bytes of the first ID that the source issued
}

// owner returns the index of the loop that owns the datagram, or n and the generation if another
// process does. A datagram without a usable connection ID stays with the loop that has read it.
func (s *sharding) owner(datagram []byte) int {
	h, _ := conn.ParseHeader(datagram, s.idLen)
	if s.generations != nil {
		if e := s.elsewhere.Load(); e != nil {
			if gen, ok := e.find(&h, s.n, s.k); ok {
				return s.n + gen
			}
		}
	}
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

// A shardSource draws IDs from another source, and issues those that lead to one of n places. A
// place is a loop, or a loop of one generation.
type shardSource struct {
	conn.ConnIDSource
	k        uint32
	n, index int
}

// maxDraws, times the number of places, bounds how often a shardSource draws. A source that varies
// as it must fails to lead to the place in all draws once in e^64 times. If a source does not vary,
// its IDs lead to other loops, and those hand the datagrams over.
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
		return errors.New("loop: several Loops or Generations need connection IDs of 4 bytes or more")
	}
	s.idLen = cfg.ConnIDs.Len
	if s.generations == nil {
		cfg.ConnIDs = &shardSource{cfg.ConnIDs, s.k, s.n, s.index}
		return nil
	}
	s.idLen = s.lenOrSize(cfg.ConnIDs.Len)
	cfg.ConnIDs = &shardSource{cfg.ConnIDs, s.k, s.n * MaxGenerations, s.generations.Own*s.n + s.index}
	return nil
}

// lenOrSize returns a Len that knows IDs of other generations, too. Their configuration may differ,
// but not the length of their IDs.
func (s *sharding) lenOrSize(ofSource func(b []byte) int) func(b []byte) int {
	return func(b []byte) int {
		if n := ofSource(b); n >= 0 || len(b) < s.size {
			return n
		}
		return s.size
	}
}
