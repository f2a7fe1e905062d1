package loop

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
)

// A few bytes, and the end of a stream, go straight between the application and the connection, if
// the loop can be borrowed. So they need no memory on the way, and no turn of the loop.

// ask asks the loop for bytes that it has left in the connection until somebody wants them. The
// caller holds s.mu.
func (s *streamState) ask() {
	i := &s.in
	if s.pull && !i.full && !i.left {
		return
	}
	s.pull, i.full = true, false
	i.left, i.move = false, i.left
	s.mark()
}

// readLeft is Read for a few bytes that the loop has left in the connection. It reports false if
// there are none, or if only the loop can move them. If it reports true and has read nothing, then
// all of them were read before. The caller holds s.mu.
func (s *streamState) readLeft(p []byte) (n int, ok bool) {
	i := &s.in
	if !i.left || !s.c.borrow() {
		return 0, false
	}
	n, err := s.s.Read(p)
	if err == nil {
		_, err = s.s.Peek(1)
	}
	if err != nil {
		i.left = false
		s.c.l.leftovers.remove(s)
		s.endReceiving(err)
	}
	s.c.l.giveBack()
	return n, true
}

// deliver copies a few bytes that lie ready straight to the memory of a Read that waits. It reports
// false if they have to go elsewhere.
func (s *streamState) deliver(b []byte) bool {
	i := &s.in
	if len(i.into) == 0 || i.got > 0 || len(b) == 0 || len(b) > maxLeft || i.buf.Len() > 0 {
		return false
	}
	n := copy(i.into, b)
	s.s.Discard(n)
	i.got = int32(n)
	return true
}

// writeThrough writes to the connection what it takes of a few bytes, if none wait in s, and if the
// loop can be borrowed. The caller holds s.mu.
func (s *streamState) writeThrough(p []byte, shared bool) (n int) {
	o := &s.out
	if !s.direct() || !s.c.borrow() {
		return 0
	}
	var err error
	if shared {
		n, err = s.s.WriteShared(p)
	} else {
		n, err = s.s.Write(p)
	}
	o.full = errors.Is(err, conn.ErrWouldBlock)
	o.buf.Pass(n)
	s.noteSent()
	s.c.l.giveBack()
	return n
}

// endThrough is CloseWrite of the connection, under the same conditions. It reports whether it did
// that. The caller holds s.mu.
func (s *streamState) endThrough() bool {
	if !s.direct() || !s.c.borrow() {
		return false
	}
	s.sendFin()
	s.c.l.giveBack()
	return true
}

// direct reports whether what is written next may go to the connection at once. The caller holds
// s.mu.
func (s *streamState) direct() bool {
	o := &s.out
	return s.s != nil && !o.full && !o.done && !o.sent && o.buf.Len() == 0 && (s.rare == nil || s.rare.at == nil && s.rare.prio == nil && s.rare.copies == nil)
}
