package h3http

import (
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/loop"
)

// What exchanges keep counts in the account of their connection: see [loop.Account]. Chunks of
// content count while they are in use, and so do received datagrams. The rest counts by exchange,
// and no longer than its stream lives.

// requestCost is what a request takes by itself while its handler runs, in bytes. That is the
// exchange, the http.Request and the stack of the handler.
const requestCost = 12 << 10

// fieldsCost returns how many bytes count for a field section that the peer has sent, with the
// http.Header that is made of it.
func fieldsCost(fields []h3.Field) (n int) {
	const overhead = 96 // an entry in the http.Header
	for _, f := range fields {
		n += len(f.Name) + len(f.Value) + overhead
	}
	return n + n/8 // memory comes in sizes that are up to an eighth larger
}

// charge counts n more bytes for the exchange while it has a stream, or fewer if n is negative. The
// caller has locked x, or no other goroutine knows it.
func (x *exchange) charge(n int) {
	if x.stream == nil {
		n = min(n, 0)
	}
	n = max(n, -x.cost)
	x.cost += n
	x.c.pool.account.Hold(n)
}

// settleCost gives up what an exchange needs for its stream, which is gone or goes. Received
// datagrams stay readable, and go on counting until they are received or dropped. The caller has
// locked x.
func (x *exchange) settleCost() {
	kept := 0
	if x.dg != nil {
		x.dropUnsent()
		kept = x.dg.in.bytes
	}
	x.charge(kept - x.cost)
}

// A source lends chunks of a chunkPool, and counts them in the account of a connection.
type source struct {
	*chunkPool
	account *loop.Account
}

var _ fifo.Source = (*source)(nil)

// Get implements [fifo.Source].
func (s *source) Get(offset uint64) *fifo.Chunk {
	s.account.Hold(chunkSize)
	return s.chunkPool.Get(offset)
}

// roomForBlock reports whether memory is not short, so that a block may be taken instead of a
// chunk.
func (s *source) roomForBlock() bool { return s.account.Room(blockSize, chunkSize) == blockSize }

// memory returns an empty chunk to read into: a block for a source that fills its memory, if there
// is room for one.
func (s *source) memory(bulk bool) *fifo.Chunk {
	if bulk && s.roomForBlock() {
		return s.block()
	}
	return s.Get(0)
}

// block returns an empty block, with the use of the caller. It counts until its last use ends.
func (s *source) block() *fifo.Chunk {
	s.account.Hold(blockSize)
	b, ok := s.blocks.Get().(*block)
	if !ok {
		b = newBlock()
	}
	b.Clear(0)
	b.pool = s
	b.uses.Store(1)
	return &b.Chunk
}

// Put implements [fifo.Source].
func (s *source) Put(list *fifo.Chunk) {
	n := 0
	for c := list; c != nil; c = c.Next {
		if c.Lender == nil {
			n += len(c.Memory)
		}
	}
	s.chunkPool.Put(list)
	s.account.Hold(-n)
}

// sendRoom returns how many bytes of the content may wait for the loop now. When memory is short,
// that is one chunk, so that each exchange goes on.
func (p *bodyPipe) sendRoom() int { return p.c.pool.account.Room(p.out.limit, chunkSize) }

// recvRoom returns how many bytes of the content may wait for their reader now. When memory is
// short, what the peer sends stays in the connection. If a reader waits for it, the reader gets one
// chunk.
func (p *bodyPipe) recvRoom() int {
	least := 0
	if p.in.waiting {
		least = chunkSize
	}
	return p.c.pool.account.Room(p.in.limit, least)
}
