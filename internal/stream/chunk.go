// Package stream holds the bytes of streams. Received bytes stay until they are read, in order or
// not. Written bytes stay until they are acknowledged. It serves STREAM and CRYPTO data alike, and
// knows no frames, limits or events.
package stream

import "github.com/lazoquic/lazo/internal/memory"

// ChunkSize is the size of a chunk in bytes.
const ChunkSize = 4096

// Bounds of what a Pool keeps for reuse. It keeps 8 MiB of chunks, or as many as are lent out, if
// that is more. It also keeps 1.5 MiB of the lists in which buffers hold their chunks.
const (
	maxFreeChunks = 2048
	maxFreeLists  = 64
	maxFreeSlots  = 512 // capacity of a list that is worth keeping
)

// minSlots is the capacity of a new list.
const minSlots = 4

// A Chunk is a piece of a buffer, aligned to ChunkSize in its stream. It holds
// no pointer, and exactly fills a size class of the allocator.
type Chunk [ChunkSize]byte

// A Pool is a free list of chunks, which belongs to one goroutine. The zero Pool is ready.
// It keeps at most maxFreeChunks, or as many as are lent out; more go to the garbage collector.
type Pool struct {
	free   []*Chunk
	lists  [][]slot
	used   int64
	parent *Pool           // the Pool whose chunks it lends
	holder *memory.Account // the account of those who use the chunks
}

// For returns a Pool that lends the chunks of p and counts them in the account holder.
func (p *Pool) For(holder *memory.Account) Pool { return Pool{parent: p, holder: holder} }

// Used returns how many bytes of chunks are lent out.
func (p *Pool) Used() int64 { return p.used }

// Free returns how many bytes of chunks are kept for reuse.
func (p *Pool) Free() int64 { return int64(len(p.free)) * ChunkSize }

// Trim lets go of chunks that are kept for reuse, until they take no more than n bytes.
func (p *Pool) Trim(n int64) {
	if keep := max(n, 0) / ChunkSize; keep < int64(len(p.free)) {
		clear(p.free[keep:])
		p.free = p.free[:keep]
	}
}

// count counts bytes that a buffer holds beside its chunks.
func (p *Pool) count(n int) {
	if p.holder != nil {
		p.holder.Charge(int64(n))
	}
}

// get lends a chunk. It still has the bytes of its last user.
func (p *Pool) get() *Chunk {
	p.used += ChunkSize
	if p.parent != nil {
		p.count(ChunkSize)
		return p.parent.get()
	}
	n := len(p.free) - 1
	if n < 0 {
		return new(Chunk)
	}
	c := p.free[n]
	p.free[n] = nil
	p.free = p.free[:n]
	return c
}

// put takes a chunk back.
func (p *Pool) put(c *Chunk) {
	p.used -= ChunkSize
	if p.parent != nil {
		p.count(-ChunkSize)
		p.parent.put(c)
		return
	}
	// All chunks that are lent out may come back, and be wanted again soon. If they are kept, a
	// window that shrinks and grows makes no work for the garbage collector.
	if n := len(p.free); n < max(maxFreeChunks, int(p.used/ChunkSize)) {
		p.free = append(p.free, c)
	} else if n > maxFreeChunks {
		p.free[n-1] = nil
		p.free = p.free[:n-1]
	}
}

// getList lends an empty list of slots.
func (p *Pool) getList() []slot {
	if p.parent != nil {
		return p.parent.getList()
	}
	n := len(p.lists) - 1
	if n < 0 {
		return make([]slot, 0, minSlots)
	}
	l := p.lists[n]
	p.lists[n] = nil
	p.lists = p.lists[:n]
	return l
}

// putList takes back a list whose slots are all zero.
func (p *Pool) putList(l []slot) {
	if p.parent != nil {
		p.parent.putList(l)
		return
	}
	if cap(l) <= maxFreeSlots && len(p.lists) < maxFreeLists {
		p.lists = append(p.lists, l[:0])
	}
}
