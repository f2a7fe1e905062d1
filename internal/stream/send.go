package stream

import (
	"github.com/lazoquic/lazo/internal/memory"
	"github.com/lazoquic/lazo/internal/rangeset"
)

// A SendBuffer holds the bytes of one direction of a stream from when they are
// written until they are acknowledged. The zero SendBuffer is empty, at offset 0.
// It holds no chunk while it holds no byte.
//
// Bytes are unsent, in flight, lost or acknowledged: below base all are acknowledged,
// from sent on all are unsent; between, those in acked are acknowledged,
// those in lost are lost, and the others are in flight.
type SendBuffer struct {
	base   uint64 // base <= sent <= end
	sent   uint64
	end    uint64
	acked  rangeset.Set // ranges above base and below sent
	lost   rangeset.Set // ranges from base on and below sent, apart from acked
	chunks chunkList    // the bytes from base to end
	sets   int          // bytes of memory that acked and lost held at the last count
}

// countSets reports to the Pool how much memory acked and lost hold.
func (s *SendBuffer) countSets(p *Pool) {
	if n := s.acked.Bytes() + s.lost.Bytes(); n != s.sets {
		p.count(n - s.sets)
		s.sets = n
	}
}

// Append copies b behind what was written.
func (s *SendBuffer) Append(p *Pool, b []byte) {
	s.chunks.write(p, s.end, b)
	s.end += uint64(len(b))
}

// AppendLent is Append, but keeps those parts of b that are whole chunks instead of copying them.
// Each is a use, which l counts, until it is acknowledged or dropped. Meanwhile it must not change,
// and is the buffer's alone unless l is [memory.Forever].
func (s *SendBuffer) AppendLent(p *Pool, b []byte, l memory.Lender) {
	head := min(int(-s.end%ChunkSize), len(b))
	s.Append(p, b[:head])
	b = b[head:]
	tail := len(b) % ChunkSize
	for whole := b[:len(b)-tail]; len(whole) > 0; whole = whole[ChunkSize:] {
		s.chunks.borrow(p, slot{s.end / ChunkSize, whole, l})
		s.end += ChunkSize
	}
	s.Append(p, b[len(b)-tail:])
}

// AppendChunk appends all of c, which is the buffer's from then on, and returns another
// chunk for it. End must be a multiple of ChunkSize.
func (s *SendBuffer) AppendChunk(p *Pool, c *Chunk) *Chunk {
	s.chunks.insert(p, len(s.chunks.slots), slot{index: s.end / ChunkSize, mem: c[:]})
	s.end += ChunkSize
	return p.get()
}

// End returns the offset behind the last byte written.
func (s *SendBuffer) End() uint64 { return s.end }

// Sent returns the offset of the first byte that was never sent.
func (s *SendBuffer) Sent() uint64 { return s.sent }

// Unsent returns how many bytes were never sent: End - Sent.
func (s *SendBuffer) Unsent() int { return int(s.end - s.sent) }

// Held returns the bytes of memory that the buffer holds in chunks of the Pool.
func (s *SendBuffer) Held() int { return s.chunks.held() * ChunkSize }

// Bytes returns what the holder of the Pool has counted: Held, and what gaps in the
// acknowledgements took at the last Ack or Lose.
func (s *SendBuffer) Bytes() int { return s.Held() + s.sets }

// TakeBack drops the last n of the bytes that were never sent, or all of these if they are fewer.
// It returns how many it has dropped.
func (s *SendBuffer) TakeBack(p *Pool, n int) int {
	n = min(n, s.Unsent())
	if n <= 0 {
		return 0
	}
	s.end -= uint64(n)
	if s.base == s.end {
		s.chunks.dropAll(p)
	} else {
		s.chunks.cut(p, s.end)
	}
	return n
}

// NextLost returns the first range of bytes that is lost; n is 0 if none is.
func (s *SendBuffer) NextLost() (off uint64, n int) {
	if s.lost.Len() == 0 {
		return 0, 0
	}
	r := s.lost.At(0)
	return r.Start, int(r.End - r.Start)
}

// CopyTo copies bytes from offset off on to b, which must hold written and not yet
// acknowledged bytes only: off >= the lowest unacknowledged offset, off+len(b) <= End.
func (s *SendBuffer) CopyTo(b []byte, off uint64) { s.chunks.read(b, off) }

// Piece returns memory in which the byte at off lies at the index at, which is front or more if
// that can be, and behind it what follows in the stream, to the end of mem or of the stream. If
// shared, others read it. Otherwise the caller may change it if it restores it before the next call
// of any method. For off the rule of CopyTo holds.
func (s *SendBuffer) Piece(off uint64, front int) (mem []byte, at int, shared bool) {
	return s.chunks.piece(off, front)
}

// MarkSent notes that the bytes of [off, off+n) are in flight: the next unsent
// ones, or lost ones. It panics if bytes would be left out or were never written.
func (s *SendBuffer) MarkSent(off uint64, n int) {
	end := off + uint64(n)
	if s.lost.Len() > 0 {
		s.lost.Remove(off, end)
	}
	if end <= s.sent {
		return
	}
	if off > s.sent || end > s.end {
		panic("stream: sending bytes out of order")
	}
	s.sent = end
}

// Ack notes that [off, off+n) arrived. Chunks that hold nothing else return to p.
// Acknowledging bytes twice, also ones that count as lost, is fine; ones that were never
// sent, or not since Rewind, are left out.
func (s *SendBuffer) Ack(p *Pool, off uint64, n int) {
	end := min(off+uint64(n), s.sent)
	if end <= s.base {
		return
	}
	if s.lost.Len() > 0 {
		s.lost.Remove(off, end)
	}
	if off > s.base {
		s.acked.Add(off, end)
		s.countSets(p)
		return
	}
	before := s.base / ChunkSize
	s.base = end
	if s.acked.Len() > 0 {
		s.joinAcked()
	}
	s.countSets(p)
	switch {
	case s.base == s.end:
		s.chunks.dropAll(p)
	case s.base/ChunkSize != before:
		s.chunks.drop(p, s.base/ChunkSize)
	}
}

// joinAcked moves base, which was raised, over the ranges behind it that were acknowledged.
func (s *SendBuffer) joinAcked() {
	s.acked.Remove(0, s.base)
	if s.acked.Len() > 0 && s.acked.Min() == s.base {
		s.base = s.acked.At(0).End
		s.acked.RemoveFirst(1)
	}
}

// Lose notes that [off, off+n) is lost, but for what was acknowledged meanwhile
// or is unsent since Rewind.
func (s *SendBuffer) Lose(p *Pool, off uint64, n int) {
	end := min(off+uint64(n), s.sent)
	off = max(off, s.base)
	for i := s.acked.Search(off); i < s.acked.Len() && off < end; i++ {
		r := s.acked.At(i)
		s.lost.Add(off, min(r.Start, end))
		off = r.End
	}
	s.lost.Add(off, end)
	s.countSets(p)
}

// Acked reports whether all bytes below off are acknowledged.
func (s *SendBuffer) Acked(off uint64) bool { return s.base >= off }

// Acknowledged returns the offset below which all bytes are acknowledged.
func (s *SendBuffer) Acknowledged() uint64 { return s.base }

// Unacked returns the first part of [off, off+n) that is not acknowledged; its n is 0 if all of it
// is.
func (s *SendBuffer) Unacked(off uint64, n int) (uint64, int) {
	end := off + uint64(n)
	off = max(off, s.base)
	for i := s.acked.Search(off); i < s.acked.Len() && off < end; i++ {
		r := s.acked.At(i)
		if r.Start > off {
			end = min(end, r.Start)
			break
		}
		off = r.End
	}
	return off, int(max(end, off) - off)
}

// Rewind makes every byte unsent again, as after Retry or a rejection of early data (nothing may be
// acknowledged).
func (s *SendBuffer) Rewind() {
	s.sent = s.base
	s.lost.Reset()
}

// Reset drops all bytes, returns all chunks to p and leaves the zero SendBuffer.
func (s *SendBuffer) Reset(p *Pool) {
	s.chunks.dropAll(p)
	p.count(-s.sets)
	*s = SendBuffer{}
}
