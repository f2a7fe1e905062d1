package h3http

import (
	"sync"

	"github.com/lazoquic/lazo/internal/fifo"
)

// chunkSize is the size of the pieces of memory for bodies between a loop and an application. It is
// also the length of the longest DATA frame of what is written.
const chunkSize = 16 << 10

// blockSize is the size of the pieces of memory for what a response copies from a file. Larger
// pieces mean fewer reads and fewer turns of the loop.
const blockSize = 64 << 10

// A chunkPool keeps chunks, and datagrams, for reuse. All bodies of a Server or Transport share
// one, whatever their loops. A pool with a lock would make the loops wait for each other.
type chunkPool struct{ pool, taken, blocks, datagrams sync.Pool }

var _ fifo.Source = (*chunkPool)(nil)

// Get returns an empty chunk. What is written next goes to its start, whatever the offset, so that
// DATA frames are few.
func (p *chunkPool) Get(uint64) *fifo.Chunk {
	c, ok := p.pool.Get().(*fifo.Chunk)
	if !ok {
		c = &fifo.Chunk{Memory: make([]byte, chunkSize)}
	}
	c.Clear(0)
	return c
}

// block returns an empty chunk of blockSize.
func (p *chunkPool) block() *fifo.Chunk {
	c, ok := p.blocks.Get().(*fifo.Chunk)
	if !ok {
		c = &fifo.Chunk{Memory: make([]byte, blockSize)}
	}
	c.Clear(0)
	return c
}

// Put takes a list of chunks back.
func (p *chunkPool) Put(c *fifo.Chunk) {
	for c != nil {
		next := c.Next
		c.Next = nil
		switch len(c.Memory) {
		case takenSize:
			p.taken.Put(c)
		case blockSize:
			p.blocks.Put(c)
		default:
			p.pool.Put(c)
		}
		c = next
	}
}

// datagram returns a datagram, of which only the memory matters.
func (p *chunkPool) datagram() *datagram {
	if d, ok := p.datagrams.Get().(*datagram); ok {
		return d
	}
	return new(datagram)
}

// putDatagram takes a datagram back that nobody uses any more.
func (p *chunkPool) putDatagram(d *datagram) { p.datagrams.Put(d) }
