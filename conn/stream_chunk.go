package conn

import "github.com/lazoquic/lazo/internal/stream"

// Bytes on their way between a stream and another goroutine lie in chunks that change hands, where
// they would have to be copied once more.

// A Chunk is the memory of 4096 bytes of a stream, at a multiple of 4096.
type Chunk = stream.Chunk

// TakeChunk is Peek and Discard for bytes that outlive both: it returns the chunk that the stream
// has them in, c[from:], without a copy. c is the caller's from then on, and spare, whatever lies
// in it, is the connection's. It returns nil, and leaves spare alone, where fewer bytes lie
// together than are worth it, above all at the end of what is ready: Peek has them.
func (s *Stream) TakeChunk(spare *Chunk) (c *Chunk, from int) {
	if c, from = s.in.Take(&s.c.chunks, spare); c != nil {
		s.consumed(len(c) - from)
	}
	return c, from
}

// WriteChunk is Write for all of c, which is not copied: c is the connection's from then on, and
// the caller has the chunk that it returns. It returns nil, and leaves c alone, if there is no room
// or what was written so far does not end at a multiple of 4096 bytes: Write takes what can be
// taken, or has the error.
func (s *Stream) WriteChunk(c *Chunk) (spare *Chunk) {
	if s.out.End()%stream.ChunkSize != 0 || s.Available() < len(c) {
		return nil
	}
	spare = s.out.AppendChunk(&s.c.chunks, c)
	s.schedule()
	return spare
}
