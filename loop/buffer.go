package loop

import (
	"sync"

	"github.com/lazoquic/lazo/conn"
)

// bufferSize is how many bytes of one direction of a Stream wait between the
// application and the state machine, which has buffers of its own.
const bufferSize = 256 << 10

// minShared is the shortest slice that is not copied.
const minShared = 2 << 10

// A chunk is a piece of a buffer, in the list of which it stands.
type chunk struct {
	next *chunk
	r, w int // read and written so far
	b    []byte
	own  *conn.Chunk // what b is; nil if it belongs to who wrote it, and does not change
}

// bytes returns what is to be read.
func (c *chunk) bytes() []byte { return c.b[c.r:c.w] }

// maxFreeChunks bounds the memory that a chunkPool keeps, to 4 MiB.
const maxFreeChunks = 1024

// A chunkPool recycles chunks of all buffers of a Loop, on any goroutine.
type chunkPool struct {
	mu     sync.Mutex
	own    chunkStack
	shared chunkStack // without memory
}

type chunkStack struct {
	top *chunk
	n   int
}

func (s *chunkStack) pop() *chunk {
	c := s.top
	if c != nil {
		s.top, c.next = c.next, nil
		s.n--
	}
	return c
}

func (s *chunkStack) push(c *chunk) {
	if s.n < maxFreeChunks {
		c.next, s.top = s.top, c
		s.n++
	}
}

// get returns a chunk with memory of its own.
func (p *chunkPool) get() *chunk {
	p.mu.Lock()
	c := p.own.pop()
	p.mu.Unlock()
	if c == nil {
		own := new(conn.Chunk)
		c = &chunk{b: own[:], own: own}
	}
	return c
}

// share returns a chunk that holds b.
func (p *chunkPool) share(b []byte) *chunk {
	p.mu.Lock()
	c := p.shared.pop()
	p.mu.Unlock()
	if c == nil {
		c = new(chunk)
	}
	c.b, c.r, c.w = b, 0, len(b)
	return c
}

// put takes a list of chunks back.
func (p *chunkPool) put(c *chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c != nil {
		next := c.next
		if c.own != nil {
			p.own.push(c)
		} else {
			c.b = nil
			p.shared.push(c)
		}
		c = next
	}
}

// A buffer is a queue of bytes. While it is empty it holds no memory. The zero
// buffer is empty.
type buffer struct {
	head, tail *chunk
	n          int
	end        uint64 // bytes that were appended, ever
}

// write appends a copy of p. Chunks end where those of the connection do, so that full
// ones can go there without another copy.
func (b *buffer) write(pool *chunkPool, p []byte) {
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.b) {
			c := pool.get()
			c.r = int(b.end % uint64(len(c.b)))
			c.w = c.r
			b.push(c)
		}
		n := copy(b.tail.b[b.tail.w:], p)
		b.tail.w += n
		b.grow(n)
		p = p[n:]
	}
}

// writeShared appends p itself.
func (b *buffer) writeShared(pool *chunkPool, p []byte) {
	if len(p) < minShared {
		b.write(pool, p)
		return
	}
	b.grow(len(p))
	b.push(pool.share(p))
}

// add appends own[from:], in c, which has other memory of its own.
func (b *buffer) add(c *chunk, own *conn.Chunk, from int) {
	c.own, c.b, c.r, c.w = own, own[:], from, len(own)
	b.grow(len(own) - from)
	b.push(c)
}

// grow counts n bytes that were appended.
func (b *buffer) grow(n int) {
	b.n += n
	b.end += uint64(n)
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

// drop removes the n oldest bytes, at most those of the first chunk, and returns their chunk if it
// is done with.
func (b *buffer) drop(n int) *chunk {
	b.n -= n
	c := b.head
	if c.r += n; c.r < c.w {
		return nil
	}
	if b.head = c.next; b.head == nil {
		b.tail = nil
	}
	c.next = nil
	return c
}

// discard removes the n oldest bytes, at most those of the first chunk.
func (b *buffer) discard(pool *chunkPool, n int) {
	if n == 0 {
		return
	}
	if c := b.drop(n); c != nil {
		pool.put(c)
	}
}

// read moves the oldest bytes to p.
func (b *buffer) read(pool *chunkPool, p []byte) (n int) {
	var done *chunk
	for n < len(p) && b.n > 0 {
		k := copy(p[n:], b.head.bytes())
		n += k
		if c := b.drop(k); c != nil {
			c.next, done = done, c
		}
	}
	if done != nil {
		pool.put(done)
	}
	return n
}

// reset drops all bytes.
func (b *buffer) reset(pool *chunkPool) {
	if b.head != nil {
		pool.put(b.head)
	}
	b.head, b.tail, b.n = nil, nil, 0
}
