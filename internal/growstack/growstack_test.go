package growstack

import (
	"runtime/debug"
	"testing"
	"unsafe"
)

// deep uses at least n bytes of stack.
//
//go:noinline
func deep(n int) byte {
	var room [256]byte
	touch(room[:])
	if n <= len(room) {
		return room[0]
	}
	return room[0] + deep(n-len(room))
}

// moved reports whether the stack of a new goroutine moves while it calls deep(n), after grow.
func moved(grow func(), n int) bool {
	result := make(chan bool)
	go func() {
		grow()
		var x byte
		before := uintptr(unsafe.Pointer(&x))
		x = deep(n)
		result <- uintptr(unsafe.Pointer(&x)) != before
	}()
	return <-result
}

// TestGrow: what By4K makes room for, the goroutine can use without a copy of its stack.
func TestGrow(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection moves stacks that are too large
	const n = 3 << 10
	if moved(By4K, n) {
		t.Errorf("the stack moves while %d bytes of it come into use", n)
	}
	if !moved(func() {}, n) {
		t.Error("without By4K the stack does not move: this shows nothing")
	}
}

// BenchmarkGoroutine runs goroutines that use 3 KiB of stack.
func BenchmarkGoroutine(b *testing.B) {
	for name, grow := range map[string]func(){"bare": func() {}, "By4K": By4K} {
		b.Run(name, func(b *testing.B) {
			done := make(chan byte)
			for range b.N {
				go func() {
					grow()
					done <- deep(3 << 10)
				}()
				<-done
			}
		})
	}
}
