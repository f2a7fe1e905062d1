package h3http

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// This file is the side of an exchange that runs on the loop's goroutine.

// advance does what there is to do, and reports whether the stream is of no more use
// to the loop. x is locked and has its stream.
func (x *exchange) advance(now time.Time) (finished bool) {
	if x.canceled {
		if !x.cancelSent {
			x.cancelSent = true
			x.stream.Cancel(x.code)
		}
		return true
	}
	x.pump()
	if x.dg != nil {
		x.pumpDatagrams(now)
	}
	if !x.out.ended && x.out.err == nil {
		return false
	}
	if x.done && !x.in.ended {
		if x.skipIn(); !x.in.ended {
			x.stream.Cancel(x.c.stopCode)
			x.in.ended = true
		}
	}
	return x.in.ended
}

// pump moves bytes both ways between the buffers and the stream, as far as it goes.
// x is locked.
func (x *exchange) pump() {
	x.pumpIn()
	x.pumpOut()
}

// pumpIn reads from the stream while there is room. x is locked.
func (x *exchange) pumpIn() {
	in := &x.in
	if in.ended || in.stalled {
		return
	}
	before := in.buf.n
	for !in.ended {
		if in.buf.n >= in.limit {
			in.stalled = true
			break
		}
		n, err := x.stream.Read(in.buf.space(x.c.pool))
		in.buf.commit(n)
		if in.none && n > 0 {
			x.cancelLocked(h3.MessageError, errNoBody)
			return
		}
		if err == nil {
			continue
		}
		if errors.Is(err, conn.ErrWouldBlock) {
			break // an EventReadable follows
		}
		x.inEnded(err)
	}
	if in.buf.n == 0 {
		in.buf.reset(x.c.pool) // space may have taken a chunk
	}
	if in.buf.n > before {
		in.cond.Broadcast()
	}
}

// inEnded notes the end of what the peer sends, which is io.EOF or an error.
func (x *exchange) inEnded(err error) {
	if err != io.EOF {
		err = streamError(err)
		x.failed(err)
	}
	x.endIn(err)
}

// skipIn reads what is there and drops it, so that a body that has arrived whole
// need not be stopped. x is locked.
func (x *exchange) skipIn() {
	x.in.buf.reset(x.c.pool)
	for !x.in.ended {
		b, err := x.stream.Peek(1)
		x.stream.Discard(len(b))
		if err == nil || len(b) > 0 {
			continue
		}
		if errors.Is(err, conn.ErrWouldBlock) {
			return
		}
		x.endIn(err)
	}
}

// pumpOut writes to the stream what it takes. x is locked.
func (x *exchange) pumpOut() {
	out := &x.out
	if err := x.pumpSections(); err != nil {
		x.outFailed(err)
		return
	}
	if !out.open || out.ended || out.err != nil {
		return
	}
	for out.buf.n > 0 {
		n, err := x.stream.Write(out.buf.peek())
		out.buf.discard(x.c.pool, n)
		if errors.Is(err, conn.ErrWouldBlock) {
			break // an EventWritable follows
		}
		if err != nil {
			x.outFailed(err)
			return
		}
	}
	if out.buf.n <= sendBuffer/2 {
		out.cond.Broadcast()
	}
	if out.buf.n > 0 || !out.fin {
		return
	}
	var err error
	if len(out.trailer) > 0 {
		err = x.stream.SendFields(out.trailer, true)
	} else {
		err = x.stream.CloseWrite()
	}
	if err != nil {
		x.outFailed(err)
		return
	}
	x.outEnded()
}

// pumpSections sends the header sections, and with the last one the end if nothing
// else is to come.
func (x *exchange) pumpSections() error {
	out := &x.out
	for i, fields := range out.sections {
		last := i == len(out.sections)-1
		end := last && out.open && out.fin && out.buf.n == 0 && len(out.trailer) == 0
		if err := x.stream.SendFields(fields, end); err != nil {
			return err
		}
		if end {
			x.outEnded()
		}
	}
	out.sections = nil
	return nil
}

// outEnded notes that the stream has all that there is to send.
func (x *exchange) outEnded() {
	x.out.ended = true
	x.out.deadline.stop()
}

// outFailed notes that nothing more can be sent. What the peer sends may go on: it
// may have enough of the request and still answer.
func (x *exchange) outFailed(err error) {
	err = streamError(err)
	x.endOut(err)
	x.failed(err)
}

// peerCanceled notes that the peer has reset its direction, stopped ours, or both:
// asking the stream tells which. x is locked.
func (x *exchange) peerCanceled() {
	if !x.in.ended {
		x.in.stalled = false
		x.in.limit = max(x.in.limit, x.in.buf.n+chunkSize)
		x.pumpIn()
	}
	if !x.out.ended && x.out.err == nil {
		if _, err := x.stream.Write(nil); err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			x.outFailed(err)
		}
	}
}

// gotTrailer takes the trailer section of the peer, after which nothing follows.
func (x *exchange) gotTrailer(fields []h3.Field) {
	x.in.trailer = slices.Clone(fields)
}
