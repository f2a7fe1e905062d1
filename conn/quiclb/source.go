package quiclb

import (
	"crypto/cipher"
	"fmt"
	"io"
	"math"

	"github.com/lazoquic/lazo/conn"
)

// A Source issues connection IDs of one server. It belongs to one Endpoint, and is not safe for
// concurrent use. Loops of a server that shard by connection ID may share a configuration, with a
// Source each. Separate processes need server IDs of their own, unless they are generations of one
// server: see loop.Generations.
//
// IDs without a key are random but for the server ID, which everybody can read: issue
// few of them for a connection.
type Source struct {
	rand    io.Reader
	current *generator
	// last is the last generator of each configuration ID, so that setting a
	// configuration again does not start its nonces anew.
	last [unroutable]*generator
	// lens tells, by configuration ID, the lengths that IDs have had: bit n stands
	// for n bytes behind the first.
	lens [unroutable + 1]uint32
	s    scratch
}

var _ conn.ConnIDSource = (*Source)(nil)

// NewSource returns a Source for one Endpoint, which draws nonces from rand. Reading
// from rand must not fail later on: Generate panics then. cfg is copied.
func NewSource(cfg Config, rand io.Reader) (*Source, error) {
	s := &Source{rand: rand}
	if err := s.SetConfig(cfg); err != nil {
		return nil, err
	}
	return s, nil
}

// SetConfig replaces the configuration for IDs issued from now on; their length
// may differ. Earlier IDs stay valid. Call it where the Endpoint is: see loop.Loop.Do.
// After an error, the earlier configuration stays.
func (s *Source) SetConfig(cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	g := s.last[cfg.ID]
	if g == nil || !g.cfg.equal(&cfg) {
		var err error
		if g, err = newGenerator(cfg, s.rand); err != nil {
			return err
		}
	}
	s.current = g
	s.last[cfg.ID] = g
	s.lens[cfg.ID] |= 1 << cfg.len()
	return nil
}

// Generate implements [conn.ConnIDSource]. When an encrypted configuration has used up its
// nonces, IDs follow that balancers cannot route, until SetConfig brings a new key.
func (s *Source) Generate(b *[20]byte) (n int) {
	g := s.current
	n = g.cfg.len()
	if g.left == 0 {
		return s.generateUnroutable(b, n)
	}
	b[0] = g.cfg.ID<<5 | byte(n)
	nonce := b[1+copy(b[1:], g.cfg.ServerID) : 1+n]
	if g.block == nil {
		s.random(nonce) // must not be linkable: Section 5.4
		return 1 + n
	}
	g.next(nonce)
	encrypt(g.block, b[1:1+n], &s.s)
	return 1 + n
}

// generateUnroutable generates an ID of random bytes, n or at least 7 behind the first
// (draft-ietf-quic-load-balancers, Section 3.2).
func (s *Source) generateUnroutable(b *[20]byte, n int) int {
	n = max(n, 7)
	s.lens[unroutable] |= 1 << n
	b[0] = unroutable<<5 | byte(n)
	s.random(b[1 : 1+n])
	return 1 + n
}

// random fills b.
func (s *Source) random(b []byte) {
	if _, err := io.ReadFull(s.rand, b); err != nil {
		panic("quiclb: reading random bytes: " + err.Error())
	}
}

// Len implements [conn.ConnIDSource].
func (s *Source) Len(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	n := int(b[0] & 0x1f)
	if s.lens[b[0]>>5]&(1<<n) == 0 || len(b) < 1+n {
		return -1
	}
	return 1 + n
}

// A generator holds the nonces of one configuration.
type generator struct {
	cfg   Config
	block cipher.Block // nil without a key
	// nonce is the next one with a key: a counter which starts at random, so that
	// none is used twice (draft-ietf-quic-load-balancers, Section 9.6).
	nonce [maxLen]byte
	left  uint64 // nonces not used yet, or as many as can be counted
}

// newGenerator returns a generator for a copy of cfg.
func newGenerator(cfg Config, rand io.Reader) (*generator, error) {
	block, err := cfg.block()
	if err != nil {
		return nil, err
	}
	g := &generator{cfg: cfg.clone(), block: block, left: math.MaxUint64}
	if block == nil {
		return g, nil
	}
	if cfg.NonceLen < 8 {
		g.left = 1 << (8 * cfg.NonceLen)
	}
	if _, err := io.ReadFull(rand, g.nonce[:cfg.NonceLen]); err != nil {
		return nil, fmt.Errorf("quiclb: reading random bytes: %w", err)
	}
	return g, nil
}

// next writes the next nonce to b, which is as long as a nonce.
func (g *generator) next(b []byte) {
	copy(b, g.nonce[:])
	g.left--
	for i := len(b) - 1; i >= 0; i-- {
		g.nonce[i]++
		if g.nonce[i] != 0 {
			break
		}
	}
}
