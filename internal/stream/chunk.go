// Package stream holds the bytes of streams: what was received out of order until
// it is read, and what was written until it is acknowledged. It serves STREAM
// and CRYPTO data alike, and knows no frames, limits or events.
package stream

// ChunkSize is the size of a chunk in bytes.
const ChunkSize = 4096

// A chunk is a piece of a buffer, aligned to ChunkSize in its stream.
type chunk struct {
	data [ChunkSize]byte
	next *chunk // in the free list
}

// A Pool is a free list of chunks, which belongs to one goroutine. The zero Pool is ready.
// It keeps at most maxFree chunks; more go to the garbage collector.
type Pool struct {
	free  *chunk
	nfree int
	used  int64
}

// Used returns how many bytes of chunks are lent out.
func (p *Pool) Used() int64 { return p.used }
