package quiclb

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/lazoquic/lazo/conn"
)

const (
	// katranLen is how many bytes of an ID Katran reads (QUIC_MIN_CONNID_LEN), and how long the IDs
	// of mvfst are (kDefaultConnectionIdSize).
	katranLen = 8

	defaultKatranLen = 12
)

// KatranConfig describes connection IDs in the layout of mvfst, by which Katran finds servers. It
// is not QUIC-LB. The first two bits are the version of the layout. Everything is in clear. Bits
// that have no meaning are random.
//
//	version 1: server ID in the bits 2 to 17, worker in 18 to 25, process in 26
//	version 2: server ID in the bits 8 to 31, worker in 32 to 39, process in 40
//	version 3: server ID in the bits 8 to 39, worker in 40 to 47, process in 48
type KatranConfig struct {
	Version uint8 // 1 to 3

	// ServerID is what mvfst calls the host ID: the id that Katran has for this server (QuicReal).
	// Its bits are 16, 24 or 31, by version. It is not 0, which Katran takes for no ID. Katran also
	// takes one with 32 bits for none.
	ServerID uint32

	// WorkerID and ProcessID tell the threads of one mvfst server apart, and its old and its new
	// process (0 and 1). Neither Katran nor a Loop looks at them: see loop.Group and
	// loop.Generations for how Lazo does both.
	WorkerID, ProcessID uint8

	// Len is the length of IDs in bytes, 8 to 20. If 0, it is 12. Katran reads 8 bytes, and does
	// not mind longer IDs. Those of mvfst have 8: in version 3 that leaves 21 random bits, for the
	// IDs of all connections, loops and generations together.
	Len int
}

// check reports whether the configuration is valid.
func (c *KatranConfig) check() error {
	if c.Version < 1 || c.Version > 3 {
		return fmt.Errorf("quiclb: version %d of Katran's layout is not 1 to 3", c.Version)
	}
	bits := [...]int{1: 16, 2: 24, 3: 31}[c.Version]
	switch {
	case c.ServerID == 0 || c.ServerID>>bits != 0:
		return fmt.Errorf("quiclb: server ID %d is not 1 to %d", c.ServerID, 1<<bits-1)
	case c.ProcessID > 1:
		return fmt.Errorf("quiclb: process ID %d is not 0 or 1", c.ProcessID)
	case c.Len != 0 && (c.Len < katranLen || c.Len > maxLen+1):
		return fmt.Errorf("quiclb: length %d is not %d to %d", c.Len, katranLen, maxLen+1)
	}
	return nil
}

// A KatranSource issues connection IDs by which Katran finds this server. It belongs to one
// Endpoint, and is not safe for concurrent use. Loops may have a source each with the same
// configuration. Everybody can read the server ID.
type KatranSource struct {
	cfg  KatranConfig
	rand io.Reader
}

var _ conn.ConnIDSource = (*KatranSource)(nil)

// NewKatranSource returns a KatranSource for one Endpoint, which draws the rest of the IDs from
// rand. Reading from rand must not fail later on: Generate panics then.
func NewKatranSource(cfg KatranConfig, rand io.Reader) (*KatranSource, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Len == 0 {
		cfg.Len = defaultKatranLen
	}
	return &KatranSource{cfg, rand}, nil
}

// Generate implements [conn.ConnIDSource].
func (s *KatranSource) Generate(b *[20]byte) (n int) {
	c := &s.cfg
	if _, err := io.ReadFull(s.rand, b[:c.Len]); err != nil {
		panic("quiclb: reading random bytes: " + err.Error())
	}
	// The worker follows the server ID, and the process follows the worker.
	routing := uint64(c.ServerID)<<9 | uint64(c.WorkerID)<<1 | uint64(c.ProcessID)
	switch c.Version {
	case 1:
		put(b, routing, 2, 16+9)
	case 2:
		put(b, routing, 8, 24+9)
	case 3:
		put(b, routing, 8, 32+9)
	}
	put(b, uint64(c.Version), 0, 2)
	return c.Len
}

// put sets n bits of the first 8 bytes, from bit at on. Bit 0 is the highest one of the first byte.
func put(b *[20]byte, bits uint64, at, n int) {
	shift := 64 - at - n
	mask := uint64(1<<n-1) << shift
	old := binary.BigEndian.Uint64(b[:])
	binary.BigEndian.PutUint64(b[:], old&^mask|bits<<shift&mask)
}

// Len implements [conn.ConnIDSource]. IDs of all versions have the same length, so servers may
// change the version while connections live.
func (s *KatranSource) Len(b []byte) int {
	if len(b) < s.cfg.Len {
		return -1
	}
	return s.cfg.Len
}

// A KatranDecoder reads the server IDs of [KatranConfig], as Katran does.
type KatranDecoder struct{}

// ServerID appends the server ID to dst, in 4 bytes with the highest first. It reports false for
// IDs that Katran does not route by: those shorter than 8 bytes, of no version, and with a server
// ID that is 0 or has 32 bits. About three of four IDs that clients choose at random have a version
// and a server ID, which mostly nobody has. So Katran looks at no ID in an Initial or 0-RTT packet.
func (KatranDecoder) ServerID(dst, cid []byte) (sid []byte, ok bool) {
	if len(cid) < katranLen {
		return dst, false
	}
	first := binary.BigEndian.Uint64(cid)
	var id uint32
	switch first >> 62 {
	case 1:
		id = uint32(first >> 46 & 0xffff)
	case 2:
		id = uint32(first >> 32 & 0xffffff)
	case 3:
		id = uint32(first >> 24)
	}
	if int32(id) <= 0 {
		return dst, false
	}
	return binary.BigEndian.AppendUint32(dst, id), true
}

// Len returns the length of what Katran reads of the ID which starts b, for [conn.ParseHeader]. The
// ID may be longer. Len returns -1 if the ID has no version, or b is too short.
func (KatranDecoder) Len(b []byte) int {
	if len(b) < katranLen || b[0]>>6 == 0 {
		return -1
	}
	return katranLen
}
