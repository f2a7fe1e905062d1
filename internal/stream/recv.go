package stream

// A RecvBuffer reassembles the bytes of one direction of a stream and holds
// them until they are read. The zero RecvBuffer is empty, at offset 0. It holds no chunk while it holds no byte.
type RecvBuffer struct{}

// Write stores b at offset off. What was received before, or read, is kept as it
// was (RFC 9000, Section 2.2, lets a receiver choose which of two versions to keep). b is copied.
// The caller has checked off+len(b) against flow control: it bounds memory.
func (r *RecvBuffer) Write(p *Pool, off uint64, b []byte) { panic("sketch") }

// Offset returns the read offset: how many bytes were discarded.
func (r *RecvBuffer) Offset() uint64 { panic("sketch") }

// Ready returns how many bytes lie in order behind the read offset.
func (r *RecvBuffer) Ready() int { panic("sketch") }

// Gaps returns how many separate ranges are held behind the first missing byte: the caller bounds it.
func (r *RecvBuffer) Gaps() int { panic("sketch") }

// Held returns the bytes of memory that the buffer holds in chunks.
func (r *RecvBuffer) Held() int { panic("sketch") }

// Peek returns the ready bytes at the read offset without consuming them: at least
// min(n, 1024, Ready) of them, and as many more as lie together in memory. The slice
// is valid until the next call of any method but Offset, Ready, Gaps, Held. Where the wanted bytes
// straddle two chunks they are copied to a scratch buffer that the Pool owns.
func (r *RecvBuffer) Peek(p *Pool, n int) []byte { panic("sketch") }

// Read copies ready bytes to b and consumes them.
func (r *RecvBuffer) Read(p *Pool, b []byte) int { panic("sketch") }

// Discard consumes n ready bytes, and returns chunks that are done with to p.
func (r *RecvBuffer) Discard(p *Pool, n int) { panic("sketch") }

// Reset drops all bytes, returns all chunks to p and leaves the zero RecvBuffer.
func (r *RecvBuffer) Reset(p *Pool) { panic("sketch") }
