package stream

import "github.com/lazoquic/lazo/internal/rangeset"

// maxPeek is how many bytes of several chunks Peek copies together, at most.
const maxPeek = 1024

// A RecvBuffer reassembles the bytes of one direction of a stream and holds them until they are
// read. The zero RecvBuffer is empty, at offset 0. It holds no chunk while it holds no byte.
type RecvBuffer struct {
	read    uint64       // bytes below this offset were discarded
	end     uint64       // the offset of the first missing byte
	ahead   rangeset.Set // ranges that were received behind end
	chunks  chunkList
	scratch *Chunk // bytes that Peek copied together, until the first of its chunks has been read
}

// Write stores b at offset off. What was received before, or read, is kept as it was (RFC 9000,
// Section 2.2, lets a receiver choose which of two versions to keep). The RFC allows closing too,
// but telling costs a comparison of every retransmission, and what was read is gone. b is copied.
// The caller has checked off+len(b) against flow control: it bounds memory.
func (r *RecvBuffer) Write(p *Pool, off uint64, b []byte) {
	if off < r.end {
		known := r.end - off
		if known >= uint64(len(b)) {
			return
		}
		b = b[known:]
		off = r.end
	}
	if len(b) == 0 {
		return
	}
	if r.ahead.Len() > 0 || off > r.end {
		r.writeAhead(p, off, b)
		return
	}
	r.chunks.write(p, off, b)
	r.end += uint64(len(b))
}

// writeAhead is Write for bytes before or behind which others are missing. b is not empty, and does
// not start below r.end.
func (r *RecvBuffer) writeAhead(p *Pool, off uint64, b []byte) {
	start, end := off, off+uint64(len(b))
	for i := r.ahead.Search(off); off < end; i++ {
		known := rangeset.Range{Start: end, End: end}
		if i < r.ahead.Len() {
			known = r.ahead.At(i)
		}
		if known.Start > off {
			n := min(known.Start, end) - off
			r.chunks.write(p, off, b[:n])
		}
		b = b[min(known.End-off, uint64(len(b))):]
		off = known.End
	}
	before := r.ahead.Bytes()
	r.ahead.Add(start, end)
	if r.ahead.Min() == r.end {
		r.end = r.ahead.At(0).End
		r.ahead.RemoveFirst(1)
	}
	p.count(r.ahead.Bytes() - before)
}

// Offset returns the read offset: how many bytes were discarded.
func (r *RecvBuffer) Offset() uint64 { return r.read }

// Ready returns how many bytes lie in order behind the read offset.
func (r *RecvBuffer) Ready() int { return int(r.end - r.read) }

// Gaps returns how many separate ranges are held behind the first missing byte: the caller bounds
// it.
func (r *RecvBuffer) Gaps() int { return r.ahead.Len() }

// Held returns the bytes of memory that the buffer holds in chunks.
func (r *RecvBuffer) Held() int {
	n := r.chunks.held()
	if r.scratch != nil {
		n++
	}
	return n * ChunkSize
}

// Bytes returns what the holder of the Pool has counted: Held, and what gaps take.
func (r *RecvBuffer) Bytes() int { return r.Held() + r.ahead.Bytes() }

// Peek returns the ready bytes at the read offset without consuming them: at least
// min(n, 1024, Ready) of them, and as many more as lie together in memory. The slice
// is valid until the next call of any method of r but Offset, Ready, Gaps, Held.
// Where the wanted bytes straddle two chunks they are copied to one more chunk.
func (r *RecvBuffer) Peek(p *Pool, n int) []byte {
	ready := r.Ready()
	if ready == 0 {
		return nil
	}
	at := int(r.read % ChunkSize)
	together := min(ready, ChunkSize-at)
	if want := min(n, maxPeek, ready); want > together {
		return r.bringTogether(p, want)
	}
	return r.chunks.first()[at : at+together : at+together]
}

// bringTogether copies n bytes that straddle chunks to the scratch chunk.
func (r *RecvBuffer) bringTogether(p *Pool, n int) []byte {
	if r.scratch == nil {
		r.scratch = p.get()
	}
	b := r.scratch[:n:n]
	r.chunks.read(b, r.read)
	return b
}

// Read copies ready bytes to b and consumes them.
func (r *RecvBuffer) Read(p *Pool, b []byte) int {
	n := min(len(b), r.Ready())
	r.chunks.read(b[:n], r.read)
	r.Discard(p, n)
	return n
}

// Take consumes the ready bytes of the first chunk and returns the chunk, in which they lie from at
// to the end. The buffer keeps spare in its place. Take returns nil if more bytes may come into the
// chunk, or if the ready ones are less than half of it.
func (r *RecvBuffer) Take(p *Pool, spare *Chunk) (c *Chunk, at int) {
	at = int(r.read % ChunkSize)
	if at > ChunkSize/2 || r.Ready() < ChunkSize-at {
		return nil, 0
	}
	first := &r.chunks.slots[r.chunks.head]
	c, first.mem = (*Chunk)(first.mem), spare[:]
	r.Discard(p, ChunkSize-at)
	return c, at
}

// Discard consumes n ready bytes, and returns chunks that are done with to p.
// It panics if n is not in [0, Ready].
func (r *RecvBuffer) Discard(p *Pool, n int) {
	if uint64(n) > r.end-r.read {
		panic("stream: discarding bytes that are not ready")
	}
	before := r.read / ChunkSize
	r.read += uint64(n)
	if r.read == r.end || r.read/ChunkSize != before {
		r.dropRead(p)
	}
}

// dropRead returns the chunks to p that hold no unread bytes.
func (r *RecvBuffer) dropRead(p *Pool) {
	if r.scratch != nil {
		p.put(r.scratch)
		r.scratch = nil
	}
	switch {
	case r.read < r.end:
		r.chunks.drop(p, r.read/ChunkSize)
	case r.ahead.Len() > 0:
		r.chunks.drop(p, r.ahead.Min()/ChunkSize)
	default:
		r.chunks.dropAll(p)
	}
}

// Reset drops all bytes, returns all chunks to p and leaves the zero RecvBuffer.
func (r *RecvBuffer) Reset(p *Pool) {
	r.chunks.dropAll(p)
	if r.scratch != nil {
		p.put(r.scratch)
	}
	p.count(-r.ahead.Bytes())
	*r = RecvBuffer{}
}
