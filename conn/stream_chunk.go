package conn

import "github.com/lazoquic/lazo/internal/stream"

// Bytes on their way between a stream and another goroutine lie in chunks. The chunks change hands,
// which saves a copy.

// A Chunk holds 4096 bytes of a stream, which begin at a multiple of 4096.
type Chunk = stream.Chunk

// TakeChunk is Peek and Discard for bytes that outlive both. It returns the chunk in which the
// stream has them, c[from:], without a copy. From then on c is the caller's, and spare is the
// connection's, whatever it holds. If too few bytes lie together, above all at the end of what is
// ready, it returns nil and leaves spare alone. Peek has those bytes.
func (s *Stream) TakeChunk(spare *Chunk) (c *Chunk, from int) {
	s.c.e.rec.call(callTakeChunk, uint64(s.serial))
	if c, from = s.in.Take(&s.c.chunks, spare); c != nil {
		s.consumed(len(c) - from)
		s.c.e.rec.data(c[from:], nil)
		return c, from
	}
	s.c.e.rec.data(nil, nil)
	return nil, from
}

// WriteChunk is Write for all of c, without a copy. From then on c is the connection's, and the
// chunk that it returns is the caller's. If there is no room, or what was written so far does not
// end at a multiple of 4096 bytes, it returns nil and leaves c alone. Write then takes what can be
// taken, or returns the error.
func (s *Stream) WriteChunk(c *Chunk) (spare *Chunk) {
	if s.out.End()%stream.ChunkSize != 0 || s.Available() < len(c) {
		return nil
	}
	s.c.e.rec.bytes(callWriteChunk, c[:], uint64(s.serial))
	spare = s.out.AppendChunk(&s.c.chunks, c)
	s.written(len(c))
	return spare
}
