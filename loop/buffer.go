package loop

import "sync"

// bufferSize is how many bytes of one direction of a Stream wait between the
// application and the state machine, which has buffers of its own.
const bufferSize = 256 << 10

// A chunk is a piece of a buffer, in the list of which it stands.
type chunk struct {
	next *chunk
	r, w int // read and written so far
	b    [8<<10 - 32]byte
}

// A chunkPool recycles chunks of all buffers of a Loop, on any goroutine.
type chunkPool struct{ pool sync.Pool }

func (p *chunkPool) get() *chunk {
	if c, ok := p.pool.Get().(*chunk); ok {
		return c
	}
	return new(chunk)
}

func (p *chunkPool) put(c *chunk) {
	c.next, c.r, c.w = nil, 0, 0
	p.pool.Put(c)
}

// A buffer is a queue of bytes. While it is empty it holds no memory. The zero
// buffer is empty.
type buffer struct {
	head, tail *chunk
	n          int
}

// write appends p.
func (b *buffer) write(pool *chunkPool, p []byte) {
	b.n += len(p)
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.b) {
			c := pool.get()
			if b.tail == nil {
				b.head = c
			} else {
				b.tail.next = c
			}
			b.tail = c
		}
		n := copy(b.tail.b[b.tail.w:], p)
		b.tail.w += n
		p = p[n:]
	}
}

// front returns the oldest bytes, as many as lie together.
func (b *buffer) front() []byte {
	if b.head == nil {
		return nil
	}
	return b.head.b[b.head.r:b.head.w]
}

// discard removes the n oldest bytes, which front returned.
func (b *buffer) discard(pool *chunkPool, n int) {
	if n == 0 {
		return
	}
	b.n -= n
	c := b.head
	if c.r += n; c.r < c.w {
		return
	}
	if b.head = c.next; b.head == nil {
		b.tail = nil
	}
	pool.put(c)
}

// read moves the oldest bytes to p.
func (b *buffer) read(pool *chunkPool, p []byte) (n int) {
	for n < len(p) && b.n > 0 {
		k := copy(p[n:], b.front())
		b.discard(pool, k)
		n += k
	}
	return n
}

// reset drops all bytes.
func (b *buffer) reset(pool *chunkPool) {
	for b.n > 0 {
		b.discard(pool, len(b.front()))
	}
}
