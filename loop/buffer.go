package loop

import "sync"

// bufferSize is how many bytes of one direction of a Stream wait between the
// application and the state machine, which has buffers of its own.
const bufferSize = 256 << 10

// chunkSize is the size of a chunk of a chunkPool in bytes.
const chunkSize = 8 << 10

// minShared is the shortest slice that is not copied.
const minShared = 2 << 10

// A chunk is a piece of a buffer, in the list of which it stands.
type chunk struct {
	next   *chunk
	r, w   int // read and written so far
	b      []byte
	shared bool // b belongs to who wrote it, and does not change
}

// A chunkPool recycles chunks of all buffers of a Loop, on any goroutine.
type chunkPool struct{ own, shared sync.Pool }

func (p *chunkPool) get() *chunk {
	if c, ok := p.own.Get().(*chunk); ok {
		return c
	}
	return &chunk{b: make([]byte, chunkSize)}
}

// share returns a chunk that holds b.
func (p *chunkPool) share(b []byte) *chunk {
	c, ok := p.shared.Get().(*chunk)
	if !ok {
		c = &chunk{shared: true}
	}
	c.b, c.w = b, len(b)
	return c
}

func (p *chunkPool) put(c *chunk) {
	c.next, c.r, c.w = nil, 0, 0
	if c.shared {
		c.b = nil
		p.shared.Put(c)
	} else {
		p.own.Put(c)
	}
}

// A buffer is a queue of bytes. While it is empty it holds no memory. The zero
// buffer is empty.
type buffer struct {
	head, tail *chunk
	n          int
}

// write appends a copy of p.
func (b *buffer) write(pool *chunkPool, p []byte) {
	b.n += len(p)
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.b) {
			b.push(pool.get())
		}
		n := copy(b.tail.b[b.tail.w:], p)
		b.tail.w += n
		p = p[n:]
	}
}

// writeShared appends p itself.
func (b *buffer) writeShared(pool *chunkPool, p []byte) {
	if len(p) < minShared {
		b.write(pool, p)
		return
	}
	b.n += len(p)
	b.push(pool.share(p))
}

// push adds c to the end of the list.
func (b *buffer) push(c *chunk) {
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.next = c
	}
	b.tail = c
}

// front returns the oldest bytes, as many as lie together.
func (b *buffer) front() (p []byte, shared bool) {
	if b.head == nil {
		return nil, false
	}
	return b.head.b[b.head.r:b.head.w], b.head.shared
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
		front, _ := b.front()
		k := copy(p[n:], front)
		b.discard(pool, k)
		n += k
	}
	return n
}

// reset drops all bytes.
func (b *buffer) reset(pool *chunkPool) {
	for b.n > 0 {
		front, _ := b.front()
		b.discard(pool, len(front))
	}
}
