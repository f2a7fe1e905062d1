package wire

// A cursor reads the fields of b one after another. When a field does not fit, bad is set and stays
// set. So a parser may check it once, at its end.
type cursor struct {
	b   []byte
	off int
	bad bool
}

// varint reads a variable-length integer.
func (c *cursor) varint() uint64 {
	v, n := ParseVarint(c.b[c.off:])
	if n == 0 {
		c.bad = true
	}
	c.off += n
	return v
}

// bytes reads n bytes. They have no spare capacity, so appending to them cannot
// overwrite what follows in the packet.
func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)-c.off) {
		c.bad = true
		return nil
	}
	start := c.off
	c.off += int(n)
	return c.b[start:c.off:c.off]
}

// rest reads everything up to the end.
func (c *cursor) rest() []byte {
	return c.bytes(uint64(len(c.b) - c.off))
}

// n returns how many bytes were read, or -1 if a field did not fit.
func (c *cursor) n() int {
	if c.bad {
		return -1
	}
	return c.off
}
