package loop

import (
	"testing"
	"unsafe"
)

// TestHandles: the Streams of a connection are all different. The first one pays for no others, and
// one that is kept keeps the memory of few others.
func TestHandles(t *testing.T) {
	var h handles
	seen := make(map[*Stream]bool)
	next := func() {
		s := h.next()
		if seen[s] {
			t.Error("two Streams are one")
		}
		seen[s] = true
	}
	next()
	if n := cap(h.free); n != 0 {
		t.Errorf("the first Stream has paid for %d others", n)
	}
	for range 100 {
		next()
		if n := cap(h.free) + 1; n > maxHandles {
			t.Errorf("%d Streams share an allocation", n)
		}
	}
	if n := unsafe.Sizeof([maxHandles]Stream{}); n > 256 {
		t.Errorf("a Stream that is kept keeps %d bytes", n)
	}

	h = handles{}
	for range 7 { // 1, 2 and 4
		h.next()
	}
	if n := testing.AllocsPerRun(100, func() {
		for range maxHandles {
			h.next()
		}
	}); n != 1 {
		t.Errorf("%d Streams take %v allocations", maxHandles, n)
	}
}
