package loop

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
)

// mayWait panics if the caller is about to wait on the loop's goroutine, as a Handler or a function
// of Post might. All connections of the Loop would wait for ever, the caller's own too. Code that
// runs there has to use package conn instead.
//
// The check costs a load while the loop sleeps, or lets other goroutines run. That is most
// of the time. Otherwise it costs less than a microsecond.
func (l *Loop) mayWait(method string) {
	if !l.lending.away.Load() && l.atHome() {
		panic("loop: " + method + " was called on the goroutine of the Loop, for which it would wait: " +
			"a Handler must not block; it uses the conn.Conn that it was given")
	}
}

// atHome reports whether it is called on the loop's goroutine. Most goroutines have begun somewhere
// else, which costs less to find out than the number of a goroutine.
func (l *Loop) atHome() bool {
	if base := goroutineBase(); base != 0 && base != l.base.Load() {
		return false
	}
	return goroutineID() == l.home.Load()
}

// begin is the function of the loop's goroutine. It has one call, so that all goroutines of loops
// have one base, wherever they are in run.
//
//go:noinline
func (l *Loop) begin() { l.run() }

// goroutineBase returns the address in the first function of the calling goroutine, or in what
// calls that, to which the call returns that has led here. It returns 0 if the stack is too deep.
//
//go:noinline
func goroutineBase() uintptr {
	var pcs [24]uintptr
	n := runtime.Callers(0, pcs[:])
	if n < 2 || n == len(pcs) {
		return 0
	}
	return pcs[n-2] // the last one is that of runtime.goexit
}

// mayWait panics if the caller is about to wait on the goroutine of any Loop of the group.
func (g *Group) mayWait(method string) {
	for _, l := range g.loops {
		l.mayWait("Group." + method)
	}
}

// await waits for a token. It reports false if ctx is done first. Goroutines that wait with their
// connection at rest are many. So where ctx has no end, they do without the stack for a select: a
// goroutine begins with 2 KiB, and gives back little of what it has ever needed more.
func await(ctx context.Context, token <-chan struct{}) bool {
	done := ctx.Done()
	if done == nil {
		<-token
		return true
	}
	return awaitEither(token, done)
}

//go:noinline
func awaitEither(token, done <-chan struct{}) bool {
	select {
	case <-token:
		return true
	case <-done:
		return false
	}
}

func (s *streamState) mayWait(method string) { s.c.l.mayWait(method) }

// goroutineID returns the number of the calling goroutine. It stands in the first line of a stack
// trace, as "goroutine 7 [".
func goroutineID() uint64 {
	var b [64]byte
	_, s, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte(" "))
	s, _, _ = bytes.Cut(s, []byte(" "))
	id, _ := strconv.ParseUint(string(s), 10, 64)
	return id
}
