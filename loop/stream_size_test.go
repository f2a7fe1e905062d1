package loop

import (
	"testing"
	"unsafe"
)

// TestStreamCost: the memory of a Stream is what is counted for it. With pointers
// of 32 bits it takes less. One byte more than 288 costs 32, because that is the next size that the
// allocator has.
func TestStreamCost(t *testing.T) {
	stream, rare := unsafe.Sizeof(Stream{}), unsafe.Sizeof(rarities{})
	if stream > 288 {
		t.Errorf("a Stream has %d bytes, more than 288", stream)
	}
	if stream+rare > streamCost {
		t.Errorf("a Stream has %d bytes, and its rarities have %d: more than streamCost, %d", stream, rare, streamCost)
	}
}
