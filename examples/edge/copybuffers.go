package main

import "sync"

// copyBuffers are the buffers through which responses pass. Without them each response would get a
// new one, which is most of the memory that it takes.
type copyBuffers struct{ pool sync.Pool }

// copyBufferSize is that of httputil.ReverseProxy.
const copyBufferSize = 32 << 10

// Get is part of httputil.BufferPool.
func (c *copyBuffers) Get() []byte {
	if b, ok := c.pool.Get().(*[copyBufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, copyBufferSize)
}

// Put is part of httputil.BufferPool.
func (c *copyBuffers) Put(b []byte) { c.pool.Put((*[copyBufferSize]byte)(b)) }
