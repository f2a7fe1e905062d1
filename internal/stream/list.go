package stream

import (
	"slices"

	"github.com/lazoquic/lazo/internal/memory"
)

// A slot is a place in a chunkList. It holds the memory of a chunk and its index in the stream.
type slot struct {
	index  uint64        // stream offset divided by ChunkSize
	mem    []byte        // ChunkSize bytes of the stream; if it is longer, those behind them, too
	lender memory.Lender // whose memory it is; nil if a Pool's. Nothing is written to what is lent
}

// A chunkList holds the chunks of a buffer in the order of the stream. Only chunks with bytes
// exist, so a byte far ahead costs one chunk. Before the first gap, a chunk is found by counting
// from the first one. The zero chunkList is empty and holds no memory.
type chunkList struct {
	slots    []slot // the slots before head are zero
	head     int
	borrowed int // how many chunks belong to no Pool
}

// held returns the number of chunks that belong to a Pool.
func (l *chunkList) held() int { return len(l.slots) - l.head - l.borrowed }

// first returns the first chunk; there must be one.
func (l *chunkList) first() *Chunk { return (*Chunk)(l.slots[l.head].mem) }

// find returns the place in l.slots of the chunk with the index, and whether it is there. If not,
// the place is where it would be.
func (l *chunkList) find(index uint64) (int, bool) {
	live := l.slots[l.head:]
	n := len(live)
	if n == 0 {
		return len(l.slots), false
	}
	if i := index - live[0].index; i < uint64(n) && live[i].index == index {
		return l.head + int(i), true
	}
	if index > live[n-1].index {
		return len(l.slots), false
	}
	if index < live[0].index {
		return l.head, false
	}
	i, ok := slices.BinarySearchFunc(live, index, func(s slot, index uint64) int {
		switch {
		case s.index < index:
			return -1
		case s.index > index:
			return 1
		}
		return 0
	})
	return l.head + i, ok
}

// get returns the chunk with the index, which must be there.
func (l *chunkList) get(index uint64) *Chunk {
	i, _ := l.find(index)
	return (*Chunk)(l.slots[i].mem)
}

// make returns the chunk with the index. It adds a new chunk if there is none.
func (l *chunkList) make(p *Pool, index uint64) *Chunk {
	i, ok := l.find(index)
	if ok {
		return (*Chunk)(l.slots[i].mem)
	}
	c := p.get()
	l.insert(p, i, slot{index: index, mem: c[:]})
	return c
}

// borrow adds a chunk of a Lender's memory behind all others.
func (l *chunkList) borrow(p *Pool, s slot) {
	s.lender.Lend()
	l.insert(p, len(l.slots), s)
	l.borrowed++
}

// release returns the chunk of s to where it came from. The slot is empty then.
func (l *chunkList) release(p *Pool, s *slot) {
	mem, lender := s.mem, s.lender
	*s = slot{}
	if lender == nil {
		p.put((*Chunk)(mem))
		return
	}
	l.borrowed--
	lender.Return()
}

// insert puts s at place i of l.slots.
func (l *chunkList) insert(p *Pool, i int, s slot) {
	if l.slots == nil {
		l.slots = p.getList()
	}
	if len(l.slots) == cap(l.slots) && l.head > len(l.slots)/2 {
		i -= l.head
		l.compact()
	}
	if i == len(l.slots) {
		l.slots = append(l.slots, s)
		return
	}
	l.slots = slices.Insert(l.slots, i, s)
}

// compact moves the chunks to the front, so that the list need not grow while half of it is unused.
// It runs at most once for every cap/2 chunks that are dropped.
func (l *chunkList) compact() {
	n := copy(l.slots, l.slots[l.head:])
	clear(l.slots[n:])
	l.slots, l.head = l.slots[:n], 0
}

// drop returns the chunks below index to p. If no chunk is left, it returns the list too.
func (l *chunkList) drop(p *Pool, index uint64) {
	for l.head < len(l.slots) && l.slots[l.head].index < index {
		l.release(p, &l.slots[l.head])
		l.head++
	}
	if l.head == len(l.slots) && l.slots != nil {
		p.putList(l.slots)
		*l = chunkList{}
	}
}

// cut returns the chunks to p that lie behind the offset end. At least one chunk must lie before
// it. If that is borrowed and has bytes behind end, too, it is copied: the next write goes there.
func (l *chunkList) cut(p *Pool, end uint64) {
	i := len(l.slots) - 1
	for ; l.slots[i].index*ChunkSize >= end; i-- {
		l.release(p, &l.slots[i])
	}
	l.slots = l.slots[:i+1]
	if s := &l.slots[i]; s.lender != nil && end%ChunkSize != 0 {
		own := p.get()
		copy(own[:], s.mem[:end%ChunkSize])
		index := s.index
		l.release(p, s)
		*s = slot{index: index, mem: own[:]}
		i--
	}
	// What other chunks have behind their ends is no longer of the stream.
	for ; i >= l.head && len(l.slots[i].mem) > ChunkSize; i-- {
		l.slots[i].mem = l.slots[i].mem[:ChunkSize]
	}
}

// dropAll returns all chunks, and the list, to p.
func (l *chunkList) dropAll(p *Pool) { l.drop(p, ^uint64(0)) }

// write copies b to the offset. It makes the chunks that are missing.
func (l *chunkList) write(p *Pool, off uint64, b []byte) {
	if n := len(l.slots); n > l.head && l.slots[n-1].index == off/ChunkSize { // as most do
		k := copy(l.slots[n-1].mem[off%ChunkSize:ChunkSize], b)
		off += uint64(k)
		b = b[k:]
	}
	for len(b) > 0 {
		c := l.make(p, off/ChunkSize)
		n := copy(c[off%ChunkSize:], b)
		off += uint64(n)
		b = b[n:]
	}
}

// read copies the bytes from the offset on to b. All must be there.
func (l *chunkList) read(b []byte, off uint64) {
	for i, _ := l.find(off / ChunkSize); len(b) > 0; i++ {
		n := copy(b, l.slots[i].mem[off%ChunkSize:ChunkSize])
		off += uint64(n)
		b = b[n:]
	}
}

// piece is SendBuffer.Piece.
func (l *chunkList) piece(off uint64, front int) (mem []byte, at int, shared bool) {
	i, _ := l.find(off / ChunkSize)
	at = int(off % ChunkSize)
	if at < front && i > l.head && len(l.slots[i-1].mem) > ChunkSize {
		i, at = i-1, at+ChunkSize // the memory of the chunk before goes on in this one
	}
	s := &l.slots[i]
	_, shared = s.lender.(memory.Forever)
	return s.mem, at, shared
}
