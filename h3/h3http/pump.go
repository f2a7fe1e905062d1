package h3http

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// This file has the side of an exchange that runs on the loop's goroutine.

// advance does what there is to do. It reports whether the loop needs the stream no more. The
// caller has locked x, which has its stream.
func (x *exchange) advance(now time.Time) (finished bool) {
	if !x.canceled {
		x.pumpIn()
		x.pumpOut() // this may cancel
	}
	if x.dg != nil && !x.canceled {
		x.pumpDatagrams(now)
	}
	if x.canceled {
		if !x.cancelSent {
			x.cancelSent = true
			x.stream.Cancel(x.code)
		}
		if x.dg != nil {
			x.dg.end(x.failure)
		}
		return true
	}
	if x.in.stop {
		x.in.stop = false
		x.stream.StopSending(x.in.stopCode)
	}
	if x.out.reset {
		x.out.reset = false
		x.stream.Reset(x.out.resetCode)
	}
	if x.dg != nil {
		x.endDatagrams()
	}
	if x.done {
		x.skipIn()
	}
	return (x.out.ended || x.out.err != nil) && (x.in.ended || x.done)
}

// delivered reports whether the peer has everything that was sent, or nobody waits for the rest.
// Handing it to the stream is not enough. The caller has locked x.
func (x *exchange) delivered() bool { return x.gone || x.canceled || x.out.err != nil }

// pumpIn reads from the stream while there is room. The caller has locked x.
func (x *exchange) pumpIn() {
	in := &x.in
	if in.ended || in.stalled {
		return
	}
	before := in.buf.Len()
	for !in.ended {
		if in.buf.Len() >= in.limit {
			in.stalled = true
			break
		}
		n, err := x.stream.Read(in.buf.Space(x.c.pool))
		in.buf.Commit(n)
		if err == nil {
			continue
		}
		if later(err) {
			break
		}
		x.inEnded(err)
	}
	if in.buf.Len() == 0 {
		in.buf.Reset(x.c.pool) // Space may have taken a chunk that holds nothing
	}
	if in.buf.Len() > before {
		in.cond.Broadcast()
	}
}

// drainIn takes everything that a connection which has ended because of err still holds for the
// reader: what was received and acknowledged stays readable. If there is no room for it, the rest
// is lost, and Read returns err at that place. The caller has locked x.
func (x *exchange) drainIn(err error) {
	in := &x.in
	if x.done || x.canceled || in.stop {
		return
	}
	if !x.c.loop.KeepRemains(in.buf.Len()) {
		x.dropIn()
		in.err = err
	}
	in.kept = in.buf.Len()
	for !in.ended && in.err == nil {
		if !x.c.loop.KeepRemains(chunkSize) {
			in.err = err
			break
		}
		in.limit, in.stalled = in.kept+chunkSize, false
		x.pumpIn()
		grown := in.buf.Len() - in.kept
		x.c.loop.ReleaseRemains(chunkSize - grown)
		in.kept = in.buf.Len()
		if grown == 0 {
			break
		}
	}
}

// forgetKept notes that n bytes that drainIn had kept were read or dropped.
func (x *exchange) forgetKept(n int) {
	if n > 0 {
		x.in.kept -= n
		x.c.loop.ReleaseRemains(n)
	}
}

// dropIn drops the buffered bytes that the peer sent.
func (x *exchange) dropIn() {
	x.in.buf.Reset(x.c.pool)
	x.forgetKept(x.in.kept)
}

// inEnded notes the end of what the peer sends: io.EOF or an error.
func (x *exchange) inEnded(err error) {
	if err != io.EOF {
		err = streamError(err)
		x.failed(err)
	}
	x.endIn(err)
}

// skipIn reads and drops the bytes that have come. If the body has arrived whole, its end then
// counts as read, and the peer need not be stopped. The caller has locked x.
func (x *exchange) skipIn() {
	x.in.buf.Reset(x.c.pool)
	for !x.in.ended {
		b, err := x.stream.Peek(1)
		x.stream.Discard(len(b))
		switch {
		case len(b) > 0:
		case later(err):
			return
		default:
			x.endIn(err)
		}
	}
}

// pumpOut writes as much to the stream as it takes. The caller has locked x.
func (x *exchange) pumpOut() {
	out := &x.out
	for len(out.sections) > 0 && out.err == nil {
		if !x.sendSection(out.sections[0]) {
			return
		}
		if out.sections = out.sections[1:]; len(out.sections) == maxSections/2 {
			out.cond.Broadcast()
		}
	}
	if !out.open || out.ended || out.err != nil {
		return
	}
	for out.buf.Len() > 0 {
		n, err := x.stream.Write(out.buf.Peek())
		out.buf.Discard(x.c.pool, n)
		if !x.sent(err) {
			break
		}
	}
	if out.buf.Len() <= sendBuffer/2 {
		out.cond.Broadcast()
	}
	if out.buf.Len() > 0 || !out.fin || out.err != nil {
		return
	}
	if out.broken {
		x.stream.ResetBehind(out.resetCode)
		x.outEnded()
	} else if len(out.trailer) > 0 {
		if x.sent(x.stream.SendFields(out.trailer, true)) {
			x.outEnded()
		}
	} else if x.sent(x.stream.CloseWrite()) {
		x.outEnded()
	}
}

// sendSection sends the next header section. If nothing else is to come, it sends the end too. It
// reports whether the section was sent.
func (x *exchange) sendSection(fields []h3.Field) bool {
	out := &x.out
	end := out.open && len(out.sections) == 1 && out.fin && !out.broken && out.buf.Len() == 0 && len(out.trailer) == 0
	if !x.sent(x.stream.SendFields(fields, end)) {
		return false
	}
	if end {
		x.outEnded()
	}
	return true
}

// sent handles the error of sending. It reports whether there was none.
func (x *exchange) sent(err error) bool {
	switch {
	case err == nil:
		return true
	case later(err):
	case stopped(err):
		// Nothing more can be sent. Receiving may go on: the peer may need no more of the request
		// and still answer.
		err = streamError(err)
		x.endOut(err)
		x.failed(err)
	default:
		// These fields cannot be sent, so the message cannot be completed.
		x.cancelLocked(h3.InternalError, err)
	}
	return false
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

// outEnded notes that everything that is to be sent was handed to the stream.
func (x *exchange) outEnded() {
	x.out.ended = true
	x.out.deadline.Stop()
	x.broadcast()
}

// gotFields takes a field section: trailers, or on a Transport a header section. The caller has
// locked x.
func (x *exchange) gotFields(e h3.Event) {
	in := &x.in
	fields := slices.Clone(e.Fields)
	if !x.half.gotHead(fields) {
		in.trailer = fields
	}
	if e.End {
		x.endIn(io.EOF)
	}
	x.broadcast()
}

// peerCanceled notes that the peer has reset its direction or stopped ours, or both, or that it has
// broken a rule of messages. The caller has locked x.
func (x *exchange) peerCanceled(e h3.Event) {
	if e.Err != nil {
		err := streamError(e.Err)
		x.dropIn()
		x.endIn(err)
		x.endOut(err)
		x.gone = true
		x.failed(err)
		return
	}
	// The stream tells which directions have ended.
	if !x.in.ended {
		x.in.stalled = false
		x.in.limit = max(x.in.limit, x.in.buf.Len()+chunkSize)
		x.pumpIn()
	}
	x.unwanted()
}

// unwanted checks whether the peer has stopped our direction. It acknowledges no more of that then.
// The caller has locked x.
func (x *exchange) unwanted() {
	if _, err := x.stream.Write(nil); stopped(err) {
		x.gone = true
		x.sent(err)
	}
}
