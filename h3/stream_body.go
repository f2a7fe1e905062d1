package h3

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
)

// seekData goes on to bytes of the body. At trailers it returns ErrWouldBlock, because they come as
// an event first.
func (s *Stream) seekData() error {
	err := s.seek()
	if err == nil && s.place == inFields {
		s.push(eventWork)
		return conn.ErrWouldBlock
	}
	return err
}

// Read reads the body in order, across its frames. It returns [conn.ErrWouldBlock] if no data is
// ready, and an [EventReadable] follows; io.EOF at the end of the message, when trailers have been
// reported; and a [conn.StreamError] after a cancellation by either side. What is not read holds
// the peer back.
func (s *Stream) Read(p []byte) (int, error) {
	n := copy(p, s.joined)
	s.joined = s.joined[:copy(s.joined, s.joined[n:])]
	for n < len(p) {
		err := s.seekData()
		if err == nil {
			var k int
			k, err = s.qs.Read(p[n:][:min(uint64(len(p)-n), s.left)])
			if k > 0 {
				n += k
				s.left -= uint64(k)
				continue
			}
			err = s.cut(err)
		}
		if n == 0 {
			return 0, s.arm(err)
		}
		break
	}
	return n, nil
}

// TakeChunk is Peek and Discard for bytes that outlive both: see [conn.Stream.TakeChunk]. It takes
// only a chunk whose bytes belong to one frame. Peek has the others.
func (s *Stream) TakeChunk(spare *conn.Chunk) (c *conn.Chunk, from int) {
	if len(s.joined) > 0 || s.recvErr != nil || s.place != inData {
		return nil, 0
	}
	const size = uint64(len(conn.Chunk{}))
	if s.left < size-s.qs.Offset()%size {
		return nil, 0
	}
	if c, from = s.qs.TakeChunk(spare); c != nil {
		s.left -= size - uint64(from)
	}
	return c, from
}

// arm makes the next data raise an event if err says that there is none now.
func (s *Stream) arm(err error) error {
	if errors.Is(err, conn.ErrWouldBlock) {
		s.armed = true
	}
	return err
}

// Peek returns bytes of the body without consuming them, with the contract of [conn.Stream.Peek]:
// at least n bytes, n up to 1024, if so many are ready. Otherwise it returns those that are ready,
// with the error that Read would return after them.
func (s *Stream) Peek(n int) ([]byte, error) {
	n = min(max(n, 1), maxPeek)
	if len(s.joined) == 0 {
		if err := s.seekData(); err != nil {
			return nil, s.arm(err)
		}
		b, err := s.qs.Peek(int(min(uint64(n), s.left)))
		b = b[:min(uint64(len(b)), s.left)]
		if len(b) >= n {
			return b, nil
		}
		if uint64(len(b)) < s.left {
			return b, s.arm(s.cut(err))
		}
		s.join(b) // the frame ends here, and the caller asks for more
	}
	for len(s.joined) < n {
		err := s.seekData()
		if err == nil {
			missing := min(uint64(n-len(s.joined)), s.left)
			var b []byte
			b, err = s.qs.Peek(int(missing))
			if len(b) > 0 {
				s.join(b[:min(uint64(len(b)), missing)])
				continue
			}
			err = s.cut(err)
		}
		return s.joined, s.arm(err)
	}
	return s.joined, nil
}

// join appends b to the bytes of earlier frames. B is what the stream below has next.
func (s *Stream) join(b []byte) {
	s.joined = append(s.joined, b...)
	s.account()
	s.qs.Discard(len(b))
	s.left -= uint64(len(b))
}

// Discard consumes n bytes, at most what Peek returned.
func (s *Stream) Discard(n int) {
	if len(s.joined) > 0 {
		if n > len(s.joined) {
			panic("h3: Discard of more than Peek returned")
		}
		s.joined = s.joined[:copy(s.joined, s.joined[n:])]
		return
	}
	if uint64(n) > s.left {
		panic("h3: Discard of more than Peek returned")
	}
	s.qs.Discard(n)
	s.left -= uint64(n)
}
