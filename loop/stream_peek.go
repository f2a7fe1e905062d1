package loop

import (
	"errors"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
)

// maxPeek is how many bytes [conn.Stream.Peek] joins.
const maxPeek = 1024

// A peeking is a Peek that waits for bytes which stay in the connection.
type peeking struct {
	want int // how many bytes; 0 if nobody waits
	head []byte
	err  error // why no more than head came
}

// Peek copies to p what Read would return next, without consuming it. It waits until there is
// enough to fill p, which may have 256 KiB at most. If it returns less, the error is the one that
// follows these bytes, or that of the deadline. One goroutine may peek at a time, and none may read
// meanwhile.
func (s *Stream) Peek(p []byte) (int, error) {
	st := s.lock()
	if st == nil {
		return 0, errStreamClosed
	}
	defer st.mu.Unlock()
	return st.peek(p)
}

// peek is Stream.Peek. The caller holds s.mu.
func (s *streamState) peek(p []byte) (int, error) {
	i := &s.in
	if len(p) > bufferSize {
		return 0, errors.New("loop: Peek of more than 256 KiB")
	}
	if len(p) > maxPeek && !s.pull && !s.closed { // mark may give back the state of a closed stream
		s.pull = true
		s.mark()
	}
	w := &s.rarely().peek
	s.rare.least = len(p)
	defer func() { s.rare.least = 0 }()
	for asked := false; ; asked = true {
		switch {
		case s.closed:
			return 0, errStreamClosed
		case s.readLate():
			return 0, os.ErrDeadlineExceeded
		case i.buf.Len() >= len(p) || i.err != nil:
			n := copyFront(&i.buf, p)
			if n < len(p) {
				return n, i.err
			}
			return n, nil
		case !s.pull && asked && w.want == 0:
			n := copy(p, w.head)
			if n < len(p) {
				return n, w.err
			}
			return n, nil
		}
		s.mayWait("Stream.Peek")
		if s.pull {
			i.wait = true
			s.ask()
			if !i.wait {
				continue
			}
		} else if w.want == 0 {
			w.want = len(p)
			s.mark()
			if w.want == 0 {
				continue
			}
		}
		s.wait()
	}
}

// copyFront copies the oldest bytes of a buffer to p.
func copyFront(b *fifo.Buffer, p []byte) (n int) {
	for c := b.First(); c != nil && n < len(p); c = c.Next {
		n += copy(p[n:], c.Bytes())
	}
	return n
}

// look serves a Peek of a stream whose data stays in the connection.
func (s *streamState) look() {
	if s.rare == nil || s.rare.peek.want == 0 || s.pull {
		return
	}
	w := &s.rare.peek
	b, err := s.s.Peek(w.want)
	if len(b) < w.want && (err == nil || errors.Is(err, conn.ErrWouldBlock)) {
		return
	}
	w.head, w.err = append(w.head[:0], b[:min(len(b), w.want)]...), err
	w.want = 0
	s.changed.Broadcast()
	s.c.l.wokeBorrower()
}
