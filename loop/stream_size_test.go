package loop

import (
	"testing"
	"unsafe"
)

// TestStreamCost: the memory of a Stream is what is counted for it. With pointers
// of 32 bits it takes less. One byte more than 320 costs 32, because that is the next size that the
// allocator has.
func TestStreamCost(t *testing.T) {
	stream, state, rare := unsafe.Sizeof(Stream{}), unsafe.Sizeof(streamState{}), unsafe.Sizeof(rarities{})
	if stream > 32 {
		t.Errorf("a Stream has %d bytes, more than 32", stream)
	}
	if state > 320 {
		t.Errorf("the state of a Stream has %d bytes, more than 320", state)
	}
	if sum := stream + state + rare; sum > streamCost {
		t.Errorf("a Stream has %d bytes in all, more than streamCost, %d", sum, streamCost)
	}
}
