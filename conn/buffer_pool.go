package conn

// A bufferPool lends buffers of the size of a datagram.
type bufferPool struct{ buf []byte }

// get returns a buffer with room for n bytes; one at a time is lent without allocation.
func (p *bufferPool) get(n int) []byte {
	b := p.buf
	p.buf = nil
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	return b[:0]
}

func (p *bufferPool) put(b []byte) { p.buf = b }
