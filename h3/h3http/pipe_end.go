package h3http

import (
	"io"

	"github.com/lazoquic/lazo/h3"
)

// This file ends the directions of a bodyPipe. The caller of each method has locked the pipe.

// end makes reads return err after the buffered bytes, unless the end is known already.
func (in *inbound) end(err error) {
	if in.err == nil {
		in.err = err
	}
	in.ended = true
	in.stalled = false
	in.cond.Broadcast()
}

// makeRoom lets the loop read once more, whatever the reader has left in the buffer. It returns how
// many bytes the buffer may hold then.
func (in *inbound) makeRoom() (limit int) {
	in.stalled = false
	return max(in.limit, in.buf.Len()+chunkSize)
}

// opened says that the header section, and with end the whole message, was handed to the stream.
func (out *outbound) opened(end bool) { out.open, out.fin, out.ended = true, end, end }

// close ends the body, with a trailer section if there is one. The loop does not know yet.
func (out *outbound) close(trailer []h3.Field) error {
	if out.err == nil && !out.fin {
		out.fin, out.trailer = true, trailer
	}
	return out.err
}

// handedOver notes that everything that is to be sent was handed to the stream.
func (out *outbound) handedOver() {
	out.ended = true
	out.deadline.Stop()
	out.cond.Broadcast()
}

// over reports whether the loop has nothing more to hand to the stream.
func (out *outbound) over() bool { return out.ended || out.err != nil }

// failOut makes writes fail with err, and drops what waits to be sent.
func (p *bodyPipe) failOut(err error) {
	out := &p.out
	if !out.over() {
		out.err = err
		out.buf.Reset(p.c.pool)
		out.sections, out.trailer = nil, nil
	}
	out.deadline.Stop()
	out.cond.Broadcast()
}

// dropIn drops the buffered bytes that the peer sent. If there are any, reads return err from now
// on, also where the peer has sent everything: a body of which a part is lost must not look whole.
func (p *bodyPipe) dropIn(err error) {
	if p.in.buf.Len() > 0 && p.in.err == io.EOF {
		p.in.err = err
	}
	p.in.buf.Reset(p.c.pool)
	p.forgetKept(0)
}

// close says that the application has finished with the pipe. It reports false if it had before.
func (p *bodyPipe) close() bool {
	if p.closed {
		return false
	}
	p.closed = true
	p.in.deadline.Stop()
	if p.in.kept > 0 {
		p.dropIn(errStreamClosed) // the loop will not do it
	}
	return true
}

// abandon ends both directions: the stream is to be reset and stopped with code. It reports false
// if there is nothing to abandon.
func (p *bodyPipe) abandon(code h3.ErrorCode, err error) bool {
	if p.aborts.canceled() {
		return false
	}
	p.dropIn(err)
	if p.in.ended && p.out.ended {
		return false
	}
	p.aborts.cancel(code)
	p.in.end(err)
	p.failOut(err)
	return true
}

// abandonIn ends receiving: the peer is to be stopped with code, and reads return err.
func (p *bodyPipe) abandonIn(code h3.ErrorCode, err error) {
	if !p.in.ended {
		p.aborts.stopReceiving(code)
	}
	p.dropIn(err)
	p.in.err = err
	p.in.end(err)
}

// abandonOut ends sending: the stream is to be reset with code. It reports false if nothing more is
// to be sent, or nothing can be.
func (p *bodyPipe) abandonOut(code h3.ErrorCode, err error) bool {
	if p.aborts.canceled() || p.out.fin || p.out.err != nil {
		return false
	}
	p.aborts.resetSending(code)
	p.failOut(err)
	return true
}

// breakOut ends sending with a reset behind everything that was written, which still arrives. It
// reports false if nothing was written, or if sending has ended.
func (p *bodyPipe) breakOut(code h3.ErrorCode) bool {
	out := &p.out
	if p.aborts.canceled() || !out.open || out.fin || out.err != nil {
		return false
	}
	out.fin = true
	p.aborts.resetBehind(code)
	return true
}
