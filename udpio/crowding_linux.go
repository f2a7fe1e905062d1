package udpio

import (
	"bytes"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lookAfter is how many parks there are from one look at the kernel's figures to the next. A
	// look takes about as long as three other system calls.
	lookAfter = 32

	// longWait is how long a thread that wakes waits for its CPU at most, on average, if the CPU
	// is not crowded.
	longWait = 15 * time.Microsecond

	// calmLooks is how many looks in a row must find no long wait until the CPU is not crowded.
	calmLooks = 64
)

// A crowding tells whether other processes keep the one thread of this process from its CPU. It
// belongs to the goroutine of a poller.
//
// Linux decides who runs when a thread wakes, or at a tick of the clock. A Go program with one CPU
// (GOMAXPROCS is 1) has one thread that wakes. If a busy process may stay on the CPU at that
// moment, the thread waits for the tick, some milliseconds. So does each request that comes alone.
// A second thread that wakes is another occasion to decide. The Go runtime has such a thread,
// sysmon. It sleeps while the program is idle, and wakes with each system call of which the runtime
// knows, such as all those of package net. Here that is done on a crowded CPU only, because it
// costs 5 µs of CPU time for each request. With more CPUs other threads wake anyway.
type crowding struct {
	parks  int        // since the last look
	left   int        // how many calm looks are left until the CPU is not crowded
	off    bool       // the kernel has no figures
	thread threadStat // at the last look
}

// A threadStat is what the kernel has counted for a thread since that began.
type threadStat struct {
	id   int
	wait time.Duration // for a CPU
	runs int           // how often it has got one
}

// park is called when the goroutine is about to park.
func (c *crowding) park() {
	if c.parks++; c.parks < lookAfter || c.off {
		return
	}
	c.parks = 0
	if runtime.GOMAXPROCS(0) > 1 {
		c.left = 0
		return
	}
	t, ok := readThreadStat()
	if c.off = !ok; ok {
		c.note(t)
	}
}

// note compares t with the last look. That says nothing if the goroutine has changed its thread.
func (c *crowding) note(t threadStat) {
	last := c.thread
	c.thread = t
	if runs := t.runs - last.runs; t.id == last.id && runs > 0 {
		if (t.wait-last.wait)/time.Duration(runs) > longWait {
			c.left = calmLooks
		} else if c.left > 0 {
			c.left--
		}
	}
}

// crowded reports whether the thread has waited long for its CPU a short time ago.
func (c *crowding) crowded() bool { return c.left > 0 }

// schedstat is a path as C has it.
const schedstat = "/proc/thread-self/schedstat\x00"

// readThreadStat reads the figures of this thread. It reports false if the kernel has none. It
// allocates nothing.
func readThreadStat() (t threadStat, ok bool) {
	at := unix.AT_FDCWD
	path := unsafe.Pointer(unsafe.StringData(schedstat))
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(path), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return t, false
	}
	var b [64]byte
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b)), uintptr(len(b)))
	syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	if errno != 0 {
		return t, false
	}
	t, ok = parseThreadStat(b[:n])
	t.id = unix.Gettid()
	return t, ok
}

// parseThreadStat reads three numbers: nanoseconds on a CPU, nanoseconds of waiting for one, and
// how often the thread ran.
func parseThreadStat(b []byte) (t threadStat, ok bool) {
	_, b, _ = bytes.Cut(b, []byte(" "))
	wait, b, _ := bytes.Cut(b, []byte(" "))
	runs, _, ended := bytes.Cut(b, []byte("\n"))
	ns, err1 := strconv.ParseInt(string(wait), 10, 64)
	n, err2 := strconv.Atoi(string(runs))
	return threadStat{wait: time.Duration(ns), runs: n}, ended && err1 == nil && err2 == nil
}
