// Package growstack makes stacks of goroutines large in one step.
//
// A goroutine begins with 2 KiB of stack. Where it needs more, the runtime doubles that, and copies
// everything that is on the stack: frame by frame, to adjust pointers. A goroutine that lives for
// one request does so twice, always when its stack is full. It costs less to grow at once, while
// little is on the stack.
package growstack

// By4K makes room for 4 KiB more than the goroutine uses.
//
//go:noinline
func By4K() {
	var room [4 << 10]byte
	touch(room[:])
}

// By8K makes room for 8 KiB more than the goroutine uses.
//
//go:noinline
func By8K() {
	var room [8 << 10]byte
	touch(room[:])
}

// touch keeps the compiler from leaving room out.
//
//go:noinline
func touch(room []byte) { room[0] = 1 }
