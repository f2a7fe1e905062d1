package loop

import (
	"bytes"
	"runtime"
	"strconv"
)

// mayWait panics if the caller is about to wait on the loop's goroutine, such as a Handler
// or a function of Post: all connections of the Loop, and this one too, would wait for
// ever. What is to be done then runs there anyway: use the connection itself.
//
// While the loop sleeps, and so mostly, this costs one load.
func (l *Loop) mayWait(method string) {
	if !l.mail.sleeping.Load() && goroutineID() == l.home.Load() {
		panic("loop: " + method + " was called on the goroutine of the Loop, for which it would wait: " +
			"a Handler must not block; it uses the conn.Conn that it was given")
	}
}

// mayWait is [Loop.mayWait] for methods that wait for any Loop of the group.
func (g *Group) mayWait(method string) {
	for _, l := range g.loops {
		l.mayWait("Group." + method)
	}
}

func (s *Stream) mayWait(method string) { s.c.l.mayWait(method) }

// goroutineID returns the number of the calling goroutine, which is in the first line of
// its stack trace, as "goroutine 7 [".
func goroutineID() uint64 {
	var b [64]byte
	_, s, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte(" "))
	s, _, _ = bytes.Cut(s, []byte(" "))
	id, _ := strconv.ParseUint(string(s), 10, 64)
	return id
}
