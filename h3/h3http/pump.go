package h3http

import (
	"errors"
	"io"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// This file has the side of a bodyPipe that runs on the loop's goroutine. The caller of each method
// has locked the pipe.

// pumpIn reads from s while there is room. If that brings the end, it returns io.EOF or the error
// that reads return.
func (p *bodyPipe) pumpIn(s *h3.Stream) (end error) { return p.pumpTo(s, p.recvRoom()) }

// pumpTo is pumpIn while the buffer holds less than limit bytes.
func (p *bodyPipe) pumpTo(s *h3.Stream, limit int) (end error) {
	in := &p.in
	if in.ended || in.stalled {
		return nil
	}
	before := in.buf.Len()
	for end == nil {
		b, err := s.Peek(1)
		if room := limit - in.buf.Len(); len(b) > 0 && room > 0 {
			p.receive(s, b, room)
			continue
		} else if len(b) > 0 {
			in.stalled, in.filled = true, true
			break
		}
		if later(err) {
			break
		}
		if err != nil && err != io.EOF {
			err = streamError(err)
		}
		end = err
	}
	if end != nil {
		in.end(end)
	} else if in.buf.Len() > before {
		in.cond.Broadcast()
	}
	return end
}

// drainIn takes everything that a connection which has ended because of err still holds for the
// reader: what was received and acknowledged stays readable. If there is no room for it, the rest
// is lost, and Read returns err at that place. It returns what pumpIn does.
func (p *bodyPipe) drainIn(s *h3.Stream, err error) (end error) {
	in, loop := &p.in, p.c.loop
	in.kept = remainsOf(in.buf.Len())
	if !loop.KeepRemains(in.kept) {
		in.kept = 0
		p.dropIn(err)
		in.err = err
	}
	for !in.ended && in.err == nil {
		before := in.buf.Len()
		more := remainsOf(before+chunkSize) - in.kept
		if !loop.KeepRemains(more) {
			in.err = err
			break
		}
		in.kept += more
		in.stalled = false
		end = p.pumpTo(s, before+chunkSize)
		p.forgetKept(in.kept - remainsOf(in.buf.Len()))
		if in.buf.Len() == before {
			break
		}
	}
	return end
}

// remainsOf returns how many bytes count in loop.KeepRemains for a buffer that holds n bytes: a
// chunk more, because the last one may not be full.
func remainsOf(n int) int {
	if n == 0 {
		return 0
	}
	return n + chunkSize
}

// forgetKept notes that n bytes were read or dropped, which drainIn may have kept.
func (p *bodyPipe) forgetKept(n int) {
	in := &p.in
	if in.kept == 0 {
		return
	}
	if in.buf.Len() == 0 {
		n = in.kept
	}
	in.kept -= n
	p.c.loop.ReleaseRemains(n)
}

// skipIn reads and drops the bytes that have come. If the body has arrived whole, its end then
// counts as read, and the peer need not be stopped.
func (p *bodyPipe) skipIn(s *h3.Stream) {
	p.in.buf.Reset(p.c.pool)
	for !p.in.ended {
		b, err := s.Peek(1)
		s.Discard(len(b))
		switch {
		case len(b) > 0:
		case later(err):
			return
		default:
			p.in.end(err)
		}
	}
}

// pumpOut writes as much to s as it takes. It returns an error if no more can be sent.
func (p *bodyPipe) pumpOut(s *h3.Stream) error {
	err := p.sendSections(s)
	if err == nil && p.out.open && !p.out.over() {
		err = p.sendContent(s)
	}
	if later(err) {
		return nil
	}
	return err
}

// sendSections sends the header sections. If nothing else is to come, it sends the end too.
func (p *bodyPipe) sendSections(s *h3.Stream) error {
	out := &p.out
	for len(out.sections) > 0 && out.err == nil {
		_, broken := p.aborts.endsBehind()
		final := out.open && len(out.sections) == 1
		end := final && out.fin && !broken && out.buf.Len() == 0 && len(out.trailer) == 0
		err := s.SendFields(out.sections[0], end)
		// A client can do without an informational response that it does not take.
		if err != nil && (final || !errors.Is(err, h3.ErrFieldsTooLarge)) {
			return err
		}
		if end {
			out.handedOver()
		}
		if out.sections = out.sections[1:]; len(out.sections) == maxSections/2 {
			out.cond.Broadcast()
		}
	}
	return nil
}

// sendContent sends the body and the end behind it.
func (p *bodyPipe) sendContent(s *h3.Stream) (err error) {
	out := &p.out
	for out.buf.Len() > 0 && err == nil {
		var n int
		if c := out.buf.First(); c.Lender != nil {
			n, err = s.WriteLent(c.Bytes(), c.Lender)
		} else {
			n, err = s.Write(c.Bytes())
		}
		out.buf.Discard(p.c.pool, n)
	}
	switch {
	case err != nil:
		out.limit = sendBuffer // the peer is slower than the writer
	case out.waiting && s.Available() >= out.limit/4*3: // frames take some of the room, too
		out.limit = min(2*out.limit, bulkSendBuffer)
	}
	if out.buf.Len() <= p.sendRoom()/2 {
		if out.waiting {
			p.c.yield() // the writer goes on now, and need not wake the loop
		}
		out.cond.Broadcast()
	}
	if err != nil || !out.fin {
		return err
	}
	if code, broken := p.aborts.endsBehind(); broken {
		s.ResetBehind(code)
	} else if len(out.trailer) > 0 {
		err = s.SendFields(out.trailer, true)
	} else {
		err = s.CloseWrite()
	}
	if err == nil {
		out.handedOver()
	}
	return err
}

// later reports whether an event will tell what err of a stream means: that the stream is readable
// or writable, or that the connection has ended.
func later(err error) bool {
	return errors.Is(err, conn.ErrWouldBlock) || errors.Is(err, conn.ErrClosed)
}

// stopped reports whether err means that the peer takes no more of a stream.
func stopped(err error) bool {
	_, ok := errors.AsType[*conn.StreamError](err)
	return ok
}
