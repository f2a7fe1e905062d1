package quiclb

import (
	"crypto/cipher"
	"fmt"
	"slices"
)

// A Decoder reads server IDs. It is safe for concurrent use.
type Decoder struct {
	cfgs [unroutable]decoding // by configuration ID
}

// A decoding is what a Decoder knows of a configuration.
type decoding struct {
	len   int // of server ID and nonce; 0 if there is no such configuration
	idLen int // of the server ID
	block cipher.Block
}

// NewDecoder returns a Decoder for IDs of any of cfgs, told apart by their ID.
// Two with the same ID are an error.
func NewDecoder(cfgs ...Config) (*Decoder, error) {
	d := new(Decoder)
	for i := range cfgs {
		cfg := &cfgs[i]
		if err := cfg.check(); err != nil {
			return nil, err
		}
		if d.cfgs[cfg.ID].len != 0 {
			return nil, fmt.Errorf("quiclb: two configurations have the ID %d", cfg.ID)
		}
		block, err := cfg.block()
		if err != nil {
			return nil, err
		}
		d.cfgs[cfg.ID] = decoding{len: cfg.len(), idLen: len(cfg.ServerID), block: block}
	}
	return d, nil
}

// ServerID decodes the start of cid, which may be longer, and appends the server
// ID to dst. It reports false for IDs of no known configuration, such as those
// that clients choose for their first packets: route these by a hash. A client's ID
// may look like one of ours by chance, and decode to a server ID that nobody has.
// ServerID does not allocate if dst has 64 bytes of spare capacity, which it overwrites.
func (d *Decoder) ServerID(dst, cid []byte) (sid []byte, ok bool) {
	c, ok := d.decoding(cid)
	if !ok {
		return dst, false
	}
	if c.block == nil {
		return append(dst, cid[1:1+c.idLen]...), true
	}
	start := len(dst)
	dst = slices.Grow(dst, c.len+len(scratch{}))
	dst = append(dst, cid[1:1+c.len]...)
	s := (*scratch)(dst[len(dst):cap(dst)])
	decrypt(c.block, dst[start:], c.idLen, s)
	return dst[:start+c.idLen], true
}

// decoding returns how to decode what cid starts with.
func (d *Decoder) decoding(cid []byte) (decoding, bool) {
	if len(cid) == 0 || cid[0]>>5 == unroutable {
		return decoding{}, false
	}
	c := d.cfgs[cid[0]>>5]
	ok := c.len != 0 && c.len == int(cid[0]&0x1f) && len(cid) >= 1+c.len
	return c, ok
}

// Len returns the length of the ID which starts b, for [conn.ParseHeader]; -1 if
// its configuration is not known or b ends before the ID. IDs that servers issue when they
// have no configuration tell their length, too, but have no server ID.
func (d *Decoder) Len(b []byte) int {
	if len(b) > 0 && b[0]>>5 == unroutable {
		n := int(b[0] & 0x1f)
		if n > maxLen || len(b) < 1+n {
			return -1
		}
		return 1 + n
	}
	c, ok := d.decoding(b)
	if !ok {
		return -1
	}
	return 1 + c.len
}
