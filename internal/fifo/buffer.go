// Package fifo holds bytes on their way between two goroutines, in the order in which they were
// written. They are the bytes of a stream between an application and a loop.
package fifo

import "github.com/lazoquic/lazo/internal/memory"

// A Chunk is a piece of memory with some of the bytes of a Buffer.
type Chunk struct {
	Next   *Chunk // the next one in the list
	Memory []byte
	r, w   int // Memory[r:w] was not read yet

	// Lender, if not nil, counts the uses of Memory. One is that of the Chunk's holder, who says
	// when it ends. It is [memory.Forever] for memory that never changes.
	Lender memory.Lender
}

// Bytes returns the bytes that were not read yet.
func (c *Chunk) Bytes() []byte { return c.Memory[c.r:c.w] }

// NewShared returns a Chunk for memory that never changes, which Fill gives it.
func NewShared() *Chunk { return &Chunk{Lender: memory.Forever{}} }

// Shared reports whether Memory never changes.
func (c *Chunk) Shared() bool { return c.Lender == memory.Forever{} }

// Clear makes c empty: the next byte goes to Memory[at].
func (c *Chunk) Clear(at int) { c.r, c.w = at, at }

// Wrote says that n bytes were written to Memory behind those that are there.
func (c *Chunk) Wrote(n int) { c.w += n }

// Fill gives c other memory. Its bytes from the index from on are to be read.
func (c *Chunk) Fill(memory []byte, from int) {
	c.Memory, c.r, c.w = memory, from, len(memory)
}

// A Source lends chunks to buffers. It chooses their size.
type Source interface {
	// Get returns an empty Chunk with memory of its own, for the bytes from an offset on.
	Get(offset uint64) *Chunk

	// Put takes back a list of chunks. Each of them may have got other memory.
	Put(list *Chunk)
}

// A Buffer is a queue of bytes. An empty Buffer holds no memory, except what Space has returned.
// All calls for one Buffer have the same Source. The zero Buffer is empty. It has no lock.
type Buffer struct {
	head, tail *Chunk
	n          int
	end        uint64 // how many bytes were appended in all
}

// Len returns how many bytes the Buffer holds.
func (b *Buffer) Len() int { return b.n }

// End returns how many bytes were appended in all.
func (b *Buffer) End() uint64 { return b.end }

// Taken returns how many bytes were taken from the front in all. Bytes that Reset has dropped
// count.
func (b *Buffer) Taken() uint64 { return b.end - uint64(b.n) }

// First returns the chunk with the oldest bytes, or nil if the Buffer is empty.
func (b *Buffer) First() *Chunk { return b.head }

// Peek returns the bytes that lie together at the front. They are valid until the next call.
func (b *Buffer) Peek() []byte {
	if b.head == nil {
		return nil
	}
	return b.head.Bytes()
}

// Write appends a copy of p.
func (b *Buffer) Write(src Source, p []byte) {
	for len(p) > 0 {
		n := copy(b.Space(src), p)
		b.Commit(n)
		p = p[n:]
	}
}

// Space returns memory to write to. It is never empty. Commit then says how many bytes were
// written. If that is 0 and the Buffer is empty, Reset gives the memory back.
func (b *Buffer) Space(src Source) []byte {
	if b.Spare() == 0 {
		b.push(src.Get(b.end))
	}
	return b.tail.Memory[b.tail.w:]
}

// Spare returns for how many bytes Space needs no new memory.
func (b *Buffer) Spare() int {
	if b.tail == nil {
		return 0
	}
	return len(b.tail.Memory) - b.tail.w
}

// Commit appends the first n bytes of the memory that Space returned.
func (b *Buffer) Commit(n int) {
	b.tail.w += n
	b.grow(n)
}

// Push appends the bytes of c without a copy: c itself becomes part of the Buffer. It must have
// bytes.
func (b *Buffer) Push(src Source, c *Chunk) {
	if b.n == 0 {
		b.Reset(src) // Space may have left a chunk
	}
	b.push(c)
	b.grow(c.w - c.r)
}

// TakeBack removes the last n bytes, or all if they are fewer. It returns how many it has removed:
// it is as if they had not been appended.
func (b *Buffer) TakeBack(src Source, n int) int {
	n = min(n, b.n)
	if n <= 0 {
		return 0
	}
	b.n -= n
	b.end -= uint64(n)
	if b.n == 0 {
		b.Reset(src)
		return n
	}
	c, left := b.head, b.n
	for ; left > c.w-c.r; c = c.Next {
		left -= c.w - c.r
	}
	c.w = c.r + left
	if c.Shared() {
		c.Memory = c.Memory[:c.w] // nothing is written behind that
	}
	if c.Next != nil {
		src.Put(c.Next)
		c.Next, b.tail = nil, c
	}
	return n
}

// Pass counts n bytes that were appended and taken at once: they went past the Buffer. If n is
// negative, that did not happen. The Buffer must be empty.
func (b *Buffer) Pass(n int) { b.end += uint64(n) }

func (b *Buffer) push(c *Chunk) {
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.Next = c
	}
	b.tail = c
}

func (b *Buffer) grow(n int) {
	b.n += n
	b.end += uint64(n)
}

// Discard removes the n oldest bytes, at most those that Peek returned.
func (b *Buffer) Discard(src Source, n int) {
	if n > 0 {
		b.head.r += n
		b.n -= n
		b.trim(src)
	}
}

// Read moves the oldest bytes to p. It returns how many.
func (b *Buffer) Read(src Source, p []byte) (n int) {
	for c := b.head; n < len(p) && b.n > 0; c = c.Next {
		k := copy(p[n:], c.Bytes())
		n += k
		c.r += k
		b.n -= k
	}
	b.trim(src)
	return n
}

// trim gives back the chunks at the front that have no bytes left.
func (b *Buffer) trim(src Source) {
	if b.n == 0 {
		b.Reset(src)
		return
	}
	first, last := b.head, (*Chunk)(nil)
	for c := first; c.r == c.w; c = c.Next {
		last = c
	}
	if last != nil {
		b.head, last.Next = last.Next, nil
		src.Put(first)
	}
}

// Reset drops all bytes.
func (b *Buffer) Reset(src Source) {
	if b.head != nil {
		src.Put(b.head)
	}
	b.head, b.tail, b.n = nil, nil, 0
}
