package h3http

import (
	"sync"
	"sync/atomic"

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
type chunkPool struct{ pool, taken, blocks, shared, datagrams sync.Pool }

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

// Put takes a list of chunks back.
func (p *chunkPool) Put(c *fifo.Chunk) {
	for c != nil {
		next := c.Next
		c.Next = nil
		switch {
		case c.Shared():
			c.Memory = nil
			p.shared.Put(c)
		case c.Lender != nil:
			c.Lender.Return() // the stream may still use it
		case len(c.Memory) == takenSize:
			p.taken.Put(c)
		default:
			p.pool.Put(c)
		}
		c = next
	}
}

// share returns an empty chunk whose memory is b, with bytes that never change.
func (p *chunkPool) share(b []byte) *fifo.Chunk {
	c, ok := p.shared.Get().(*fifo.Chunk)
	if !ok {
		c = fifo.NewShared()
	}
	c.Memory = b
	c.Clear(0)
	return c
}

// A block is a chunk of blockSize. It goes to the stream without a copy, so it is in use until the
// peer has acknowledged its bytes.
type block struct {
	fifo.Chunk
	uses atomic.Int32
	pool *source // that counts it now
}

func newBlock() *block {
	b := &block{Chunk: fifo.Chunk{Memory: make([]byte, blockSize)}}
	b.Lender = b
	return b
}

// Lend implements [conn.Lender].
func (b *block) Lend() { b.uses.Add(1) }

// Return implements [conn.Lender]. After the last use others may have the block.
func (b *block) Return() {
	if b.uses.Add(-1) == 0 {
		pool := b.pool
		b.pool = nil
		pool.blocks.Put(b)
		pool.account.Hold(-blockSize)
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
