package h3http

import (
	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/fifo"
)

// takenSize is the size of the pieces of memory for received content: that of the chunks in which a
// connection holds it, so that these can change hands.
const takenSize = len(conn.Chunk{})

// An incoming is a source for received content. Its chunks have the size takenSize.
type incoming source

var _ fifo.Source = (*incoming)(nil)

// Get implements [fifo.Source].
func (s *incoming) Get(uint64) *fifo.Chunk {
	s.account.Hold(takenSize)
	c, ok := s.taken.Get().(*fifo.Chunk)
	if !ok {
		c = &fifo.Chunk{Memory: new(conn.Chunk)[:]}
	}
	c.Clear(0)
	return c
}

// Put implements [fifo.Source].
func (s *incoming) Put(list *fifo.Chunk) { (*source)(s).Put(list) }

// receive moves what s has ready, which Peek returned as b, to the buffer, and at most room bytes.
// It makes no copy if they fill most of a chunk of the connection.
func (p *bodyPipe) receive(s *h3.Stream, b []byte, room int) {
	src := (*incoming)(p.c.pool)
	if len(b) >= takenSize*3/4 && len(b) <= room {
		c := src.Get(0)
		if own, from := s.TakeChunk((*conn.Chunk)(c.Memory)); own != nil {
			c.Fill(own[:], from)
			p.in.buf.Push(src, c)
			return
		}
		src.Put(c)
	}
	b = b[:min(len(b), room)]
	p.in.buf.Write(src, b)
	s.Discard(len(b))
}
