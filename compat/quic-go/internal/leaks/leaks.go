// Package leaks tells whether a test program ends with what it began with.
package leaks

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// maxHeap is how many bytes the heap may have in use at the end.
const maxHeap = 16 << 20

// have is what a program has.
type have struct {
	goroutines, descriptors int // files and sockets that are open; 0 where there is no /proc
}

func count() have {
	h := have{goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.descriptors = len(open)
	}
	return h
}

// atStart is what the program began with.
var atStart = count()

// Check waits until the program has no more goroutines and descriptors than at its start. It waits
// for things that end by themselves, such as a connection that drains, as long as patience. Then its
// error says what there is. A test has one goroutine that the program did not begin with, its own,
// and TestMain has none.
func Check(own int, patience time.Duration) error {
	// The runtime opens a descriptor or two when it first waits for a socket, and keeps them.
	const ofRuntime = 2
	var now have
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		now = count()
		if now.goroutines <= atStart.goroutines+own && now.descriptors <= atStart.descriptors+ofRuntime {
			break
		}
		if time.Now().After(end) {
			var stacks bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Errorf("%d goroutines and %d descriptors are left, and there were %d and %d:\n%s",
				now.goroutines, now.descriptors, atStart.goroutines, atStart.descriptors, &stacks)
		}
	}
	return nil
}

// CheckHeap returns an error if a program uses more of the heap than a test that has ended should.
func CheckHeap() error {
	runtime.GC()
	runtime.GC() // what finalizers have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > maxHeap {
		return fmt.Errorf("%d bytes of the heap are left in use", m.HeapAlloc)
	}
	return nil
}
