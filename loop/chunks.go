package loop

import (
	"sync"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
)

// bufferSize is how many bytes of one direction of a Stream wait between the application and the
// state machine. The state machine has buffers of its own besides.
//
// When memory is short, fewer bytes may wait: see Account.Room. One chunk may always wait to be
// written, so that each stream goes on. Received bytes stay in the connection, where flow control
// stops the peer. If a reader waits for them, it may take one chunk of them.
const bufferSize = 256 << 10

// chunkSize is the size of a chunk with memory of its own, in bytes.
const chunkSize = len(conn.Chunk{})

// minShared is the length of the shortest slice that is not copied.
const minShared = 2 << 10

// maxFreeChunks bounds the memory that a chunkPool keeps, to 4 MiB.
const maxFreeChunks = 1024

// A chunkPool recycles the chunks of all buffers of a Loop. Any goroutine may use it. Their memory
// is a [conn.Chunk], unless it is lent.
type chunkPool struct {
	mu   sync.Mutex
	own  chunkStack
	lent chunkStack // without memory
}

var _ fifo.Source = (*chunkPool)(nil)

type chunkStack struct {
	top *fifo.Chunk
	n   int
}

func (s *chunkStack) pop() *fifo.Chunk {
	c := s.top
	if c != nil {
		s.top, c.Next = c.Next, nil
		s.n--
	}
	return c
}

func (s *chunkStack) push(c *fifo.Chunk) {
	if s.n < maxFreeChunks {
		c.Next, s.top = s.top, c
		s.n++
	}
}

// Get returns an empty chunk. Chunks end where the chunks of the connection end, so a full one can
// go there without another copy.
func (p *chunkPool) Get(offset uint64) *fifo.Chunk {
	p.mu.Lock()
	c := p.own.pop()
	p.mu.Unlock()
	if c == nil {
		c = &fifo.Chunk{Memory: new(conn.Chunk)[:]}
	}
	c.Clear(int(offset % uint64(len(c.Memory))))
	return c
}

// lend returns a chunk that holds b itself.
func (p *chunkPool) lend(b []byte) *fifo.Chunk {
	p.mu.Lock()
	c := p.lent.pop()
	p.mu.Unlock()
	if c == nil {
		c = fifo.NewShared()
	}
	c.Fill(b, 0)
	return c
}

// Put takes back a list of chunks.
func (p *chunkPool) Put(c *fifo.Chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c != nil {
		next := c.Next
		if c.Lender != nil {
			c.Memory = nil
			p.lent.push(c)
		} else {
			p.own.push(c)
		}
		c = next
	}
}
