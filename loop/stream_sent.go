package loop

import "os"

// aheadBytes is how many bytes WriteSent leaves to the connection which the peer's limits let go,
// but congestion control and pacing do not yet.
const aheadBytes = 64 << 10

// A sentWriter is what WriteSent keeps for its stream. The mutex of the Stream guards it.
type sentWriter struct {
	rest uint64 // as WriteSent was told
	// up to which offset the peer's limits and aheadBytes let bytes go, when last looked at
	goes uint64
	wait bool   // WriteSent waits until goes is near the end
	back int    // how many bytes the loop is to take back
	took int    // how many of these it has taken back
	sent uint64 // up to which offset bytes were sent, when sending ended
	// the loop is to note sent, before it resets the stream
	ending bool
}

// WriteSent is Write, but it waits until all of p can be sent, except the last rest bytes at most:
// the peer's flow control lets all but these go, and no more than 64 KiB wait for congestion
// control. If it fails, it takes back what was not sent. So n is how many bytes of p were sent, and
// the others are not sent later. Only one goroutine may write meanwhile.
func (s *Stream) WriteSent(p []byte, rest int) (n int, err error) {
	st := s.lock()
	if st == nil {
		return 0, errStreamClosed
	}
	defer st.mu.Unlock()
	return st.writeSent(p, rest)
}

// writeSent is Stream.WriteSent. The caller holds s.mu.
func (s *streamState) writeSent(p []byte, rest int) (n int, err error) {
	o := &s.out
	if o.by == nil {
		o.by = new(sentWriter)
	}
	w := o.by
	w.rest = uint64(max(rest, 0))
	start := o.buf.End()
	for {
		switch {
		case o.err == nil && s.writeLate():
			n -= s.takeBack(n)
			if o.err == nil {
				return n, os.ErrDeadlineExceeded
			}
			fallthrough // meanwhile
		case o.err != nil:
			return s.wasSent(start, n), o.err
		case len(p) == 0:
			return 0, nil
		}
		if n == 0 && len(p) > 0 && len(p) <= chunkSize {
			n = s.writeThrough(p, false)
		}
		if k := min(len(p)-n, s.writeRoom()-o.buf.Len()); k > 0 {
			o.buf.Write(&s.c.chunks, p[n:n+k])
			n += k
			w.wait = n == len(p)
			if !o.full {
				s.mark()
			}
		}
		switch {
		case n == len(p) && o.buf.End() <= w.goes+w.rest:
			w.wait = false
			return n, nil
		case n == len(p) && !w.wait:
			w.wait = true
			s.mark() // noteSent looks again
			continue
		case n < len(p) && o.buf.Len() < s.writeRoom():
			continue // it was served at once
		}
		s.mayWait("Stream.WriteSent")
		o.wait = n < len(p)
		if o.err == nil {
			s.wait()
		}
	}
}

// noteSent notes what was sent and what may be, and wakes the writer if that is enough. It runs
// where the connection may be used; the caller holds s.mu.
func (s *streamState) noteSent() {
	o := &s.out
	w := o.by
	if w == nil || o.done || !w.wait && o.buf.End() <= w.goes {
		return
	}
	sent, credit := s.s.Sent(), s.s.Credit()
	w.goes = sent + min(credit, aheadBytes)
	if !w.wait {
		return
	}
	end := o.buf.End()
	if end <= w.goes+w.rest {
		w.wait = false
		s.changed.Broadcast()
		s.c.l.wokeBorrower()
		return
	}
	if o.full { // EventStreamWritable comes anyway
		return
	}
	low := w.rest
	if end <= sent+credit+w.rest { // it waits for congestion control
		low = max(low, aheadBytes/2)
	}
	s.s.NotifyUnsent(int(low))
}

// takeBack takes back those of the last n bytes that were written which were never sent. It returns
// how many they are. The caller holds s.mu, and may wait for the loop.
func (s *streamState) takeBack(n int) int {
	o := &s.out
	w := o.by
	w.wait, o.wait = false, false
	if n == 0 || o.fin {
		return 0
	}
	w.back, w.took = n, 0
	s.mark()
	for w.back > 0 && !o.done {
		s.wait()
	}
	w.back = 0
	return w.took
}

// giveBack does what takeBack asks for. It runs where the connection may be used; the caller holds
// s.mu.
func (s *streamState) giveBack() {
	o := &s.out
	w := o.by
	if w == nil || w.back == 0 {
		return
	}
	if at := s.resetting(); at != nil { // what ResetAt waits for is sent nevertheless
		w.back = min(w.back, int(o.buf.End()-at.size))
	}
	w.took = o.buf.TakeBack(&s.c.chunks, w.back)
	if w.took < w.back {
		n := s.s.TakeBack(w.back - w.took)
		o.buf.Pass(-n)
		w.took += n
	}
	w.back = 0
	s.changed.Broadcast()
}

// noteEnd notes how much was sent when sending ends. It runs where the connection may be used, with
// s.mu held.
func (s *streamState) noteEnd() {
	w := s.out.by
	if w == nil || s.s == nil || s.out.done && !w.ending {
		return
	}
	w.sent = s.s.Sent()
	if w.ending {
		w.ending = false
		s.changed.Broadcast()
	}
}

// wasSent returns how many of n bytes from the offset start on were sent before sending ended. The
// caller holds s.mu, and may wait for the loop.
func (s *streamState) wasSent(start uint64, n int) int {
	o := &s.out
	w := o.by
	w.wait, o.wait = false, false
	if o.fin || n == 0 { // after CloseWrite or Close the rest is sent, too
		return n
	}
	for w.ending {
		s.wait()
	}
	return int(min(uint64(n), max(w.sent, start)-start))
}
