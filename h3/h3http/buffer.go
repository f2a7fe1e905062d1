package h3http

import "sync"

// chunkSize is the size of the pieces that a [buffer] consists of. It is also the
// longest DATA frame that this package sends.
const chunkSize = 16 << 10

// A chunk is memory for body data on its way between a loop and an application.
type chunk [chunkSize]byte

// A chunkPool keeps chunks for reuse. All buffers of a Server or Transport share one.
type chunkPool struct{ pool sync.Pool }

func (p *chunkPool) get() *chunk {
	if c, ok := p.pool.Get().(*chunk); ok {
		return c
	}
	return new(chunk)
}

func (p *chunkPool) put(c *chunk) { p.pool.Put(c) }

// A buffer is a queue of bytes. It holds no memory while it is empty.
type buffer struct {
	chunks []*chunk
	r      int // where the first chunk is read
	w      int // where the last chunk is written
	n      int // bytes in all

	taken uint64 // bytes that were taken from the front, ever
}

// write appends p.
func (b *buffer) write(pool *chunkPool, p []byte) {
	for len(p) > 0 {
		n := copy(b.space(pool), p)
		b.commit(n)
		p = p[n:]
	}
}

// space returns memory to write to, which is never empty. commit then says how
// many bytes were written.
func (b *buffer) space(pool *chunkPool) []byte {
	if len(b.chunks) == 0 || b.w == chunkSize {
		b.chunks = append(b.chunks, pool.get())
		b.w = 0
	}
	return b.chunks[len(b.chunks)-1][b.w:]
}

func (b *buffer) commit(n int) {
	b.w += n
	b.n += n
}

// peek returns the bytes that lie together at the front.
func (b *buffer) peek() []byte {
	switch len(b.chunks) {
	case 0:
		return nil
	case 1:
		return b.chunks[0][b.r:b.w]
	}
	return b.chunks[0][b.r:]
}

// discard drops n bytes at the front, at most what peek returned.
func (b *buffer) discard(pool *chunkPool, n int) {
	b.r += n
	b.n -= n
	b.taken += uint64(n)
	if b.n == 0 {
		b.reset(pool)
	} else if b.r == chunkSize {
		pool.put(b.chunks[0])
		last := copy(b.chunks, b.chunks[1:])
		b.chunks[last] = nil
		b.chunks = b.chunks[:last]
		b.r = 0
	}
}

// read moves bytes to p and returns how many.
func (b *buffer) read(pool *chunkPool, p []byte) int {
	total := 0
	for len(p) > 0 && b.n > 0 {
		n := copy(p, b.peek())
		b.discard(pool, n)
		p = p[n:]
		total += n
	}
	return total
}

// reset drops everything.
func (b *buffer) reset(pool *chunkPool) {
	for i, c := range b.chunks {
		pool.put(c)
		b.chunks[i] = nil
	}
	b.chunks = b.chunks[:0]
	b.r, b.w, b.n = 0, 0, 0
}
