package stream

// A SendBuffer holds the bytes of one direction of a stream from when they are
// written until they are acknowledged. The zero SendBuffer is empty, at offset 0.
// It holds no chunk while it holds no byte.
//
// Bytes are unsent, in flight, lost or acknowledged.
type SendBuffer struct{}

// Append copies b behind what was written.
func (s *SendBuffer) Append(p *Pool, b []byte) { panic("sketch") }

// End returns the offset behind the last byte written.
func (s *SendBuffer) End() uint64 { panic("sketch") }

// Sent returns the offset of the first byte that was never sent.
func (s *SendBuffer) Sent() uint64 { panic("sketch") }

// Unsent returns how many bytes were never sent: End - Sent.
func (s *SendBuffer) Unsent() int { panic("sketch") }

// Held returns the bytes of memory that the buffer holds in chunks.
func (s *SendBuffer) Held() int { panic("sketch") }

// NextLost returns the first range of bytes that is lost; n is 0 if none is.
func (s *SendBuffer) NextLost() (off uint64, n int) { panic("sketch") }

// CopyTo copies bytes from offset off on to b, which must hold written and not yet
// acknowledged bytes only: off >= the lowest unacknowledged offset, off+len(b) <= End.
func (s *SendBuffer) CopyTo(b []byte, off uint64) { panic("sketch") }

// MarkSent notes that the bytes of [off, off+n) are in flight: the next unsent
// ones, or lost ones.
func (s *SendBuffer) MarkSent(off uint64, n int) { panic("sketch") }

// Ack notes that [off, off+n) arrived. Chunks that hold nothing else return to p.
// Acknowledging bytes twice, also ones that count as lost, is fine. In-order acknowledgement is the fast path.
func (s *SendBuffer) Ack(p *Pool, off uint64, n int) { panic("sketch") }

// Lose notes that [off, off+n) is lost, but for what was acknowledged meanwhile.
func (s *SendBuffer) Lose(off uint64, n int) { panic("sketch") }

// Acked reports whether all bytes below off are acknowledged.
func (s *SendBuffer) Acked(off uint64) bool { panic("sketch") }

// Rewind makes every byte unsent again, as after Retry or a rejection of early data (nothing may be acknowledged).
func (s *SendBuffer) Rewind() { panic("sketch") }

// Reset drops all bytes, returns all chunks to p and leaves the zero SendBuffer.
func (s *SendBuffer) Reset(p *Pool) { panic("sketch") }
