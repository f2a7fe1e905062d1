package h3http

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/deadline"
	"github.com/lazoquic/lazo/internal/fifo"
)

const (
	recvBuffer  = 128 << 10 // bytes of a body that wait for their reader
	firstBuffer = chunkSize // the same before the first Read: perhaps nobody wants them
	sendBuffer  = 64 << 10  // bytes of a body that wait for the loop
)

// An exchange is one request with its response, on one stream. Application
// goroutines read from and write to its buffers; the loop, to which the stream
// belongs, moves bytes between these and the stream (see pump.go). Nothing is read
// from a stream whose buffer is full, so a slow reader slows the peer down.
type exchange struct {
	c      *connection
	stream *h3.Stream    // the loop's; nil before it is open, and once it is released
	id     conn.StreamID // set with stream
	gone   bool          // the loop's: the peer has all that was sent, or wants no more of it
	queued bool          // guarded by c.mu: in c.dirty
	stall  stall         // of a Server

	mu   sync.Mutex
	in   inbound
	out  outbound
	dg   *datagrams // nil unless the stream was taken over
	req  *outgoing  // of a Transport; nil on a Server
	done bool       // the application is through with it

	canceled   bool // the loop is to cancel the stream, with code
	code       h3.ErrorCode
	cancelSent bool // the loop's: it has

	stopWatch func() bool // see watch

	failure error           // why the exchange, or a direction of it, did not complete
	onFail  func(err error) // see whenFailed
}

// inbound is what the peer sends: the request to a server, the response to a client.
type inbound struct {
	cond     sync.Cond
	buf      fifo.Buffer
	limit    int        // how much buf may hold
	stalled  bool       // the loop stopped reading since buf is full
	kept     int        // bytes of buf that outlive the connection: see drainIn
	ended    bool       // the loop reads no more: the end has come
	err      error      // what follows the bytes of buf: io.EOF after the end
	trailer  []h3.Field // before err is io.EOF
	deadline deadline.Deadline

	stop     bool         // the loop is to stop the peer, with stopCode
	stopCode h3.ErrorCode // see cancelIn

	head []h3.Field   // of a response
	info [][]h3.Field // 1xx responses that nobody has looked at yet
}

// outbound is what is sent to the peer.
type outbound struct {
	cond     sync.Cond
	sections [][]h3.Field // header sections to send
	open     bool         // the final one is among them, so the body may follow
	buf      fifo.Buffer
	fin      bool // the end comes after buf
	broken   bool // and is a reset, with resetCode: see breakOff
	trailer  []h3.Field
	ended    bool  // all of it was handed to the stream
	err      error // why no more can be sent
	deadline deadline.Deadline

	reset     bool         // the loop is to reset the stream, with resetCode
	resetCode h3.ErrorCode // see cancelOut
}

func newExchange(c *connection) *exchange {
	x := &exchange{c: c}
	x.in.cond.L = &x.mu
	x.out.cond.L = &x.mu
	x.in.limit = firstBuffer
	return x
}

// read reads from the body, and waits for it.
func (x *exchange) read(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in := &x.in
	in.limit = recvBuffer
	for {
		switch {
		case x.done:
			return 0, net.ErrClosed
		case in.deadline.Passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case in.buf.Len() > 0:
			n := in.buf.Read(x.c.pool, p)
			x.forgetKept(min(n, in.kept))
			x.unstall()
			return n, nil
		case in.err != nil:
			return 0, in.err
		}
		x.unstall()
		in.cond.Wait()
	}
}

// unstall makes the loop read again once half of the buffer is free.
func (x *exchange) unstall() {
	if x.in.stalled && x.in.buf.Len() <= x.in.limit/2 {
		x.in.stalled = false
		x.c.wake(x)
	}
}

// write appends p to the body, and waits for room. The loop takes it once push
// bytes have come together.
func (x *exchange) write(p []byte, push int) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := &x.out
	for {
		switch {
		case out.err != nil:
			return n, out.err
		case out.fin:
			return n, net.ErrClosed
		case out.deadline.Passed():
			return n, os.ErrDeadlineExceeded
		}
		k := min(len(p), sendBuffer-out.buf.Len())
		out.buf.Write(x.c.pool, p[:k])
		n += k
		if p = p[k:]; len(p) == 0 {
			if out.buf.Len() >= push {
				x.c.wake(x)
			}
			return n, nil
		}
		x.c.wake(x)
		out.cond.Wait()
	}
}

// hold appends p to the body without waking the loop, if limit bytes are enough for
// all that waits. It is for the time before the header is sent.
func (x *exchange) hold(p []byte, limit int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.err != nil || x.out.buf.Len()+len(p) > limit {
		return false
	}
	x.out.buf.Write(x.c.pool, p)
	return true
}

// held returns how many bytes wait to be sent, and the first of them.
func (x *exchange) held() (n int, first []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.buf.Len(), x.out.buf.Peek()
}

// maxSections is how many informational responses wait to be sent.
const maxSections = 8

// sendFields queues a header section. After the final one the body may follow. The
// loop takes it now if push, else with what is written next. An informational one
// waits until there is room: a peer that reads nothing would otherwise have them all
// kept.
func (x *exchange) sendFields(fields []h3.Field, final, push bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for !final && len(x.out.sections) >= maxSections && x.out.err == nil && !x.out.deadline.Passed() {
		x.c.wake(x)
		x.out.cond.Wait()
	}
	if x.out.open || x.out.err != nil || !final && x.out.deadline.Passed() {
		return
	}
	x.out.sections = append(x.out.sections, fields)
	x.out.open = final
	if push {
		x.c.wake(x)
	}
}

// push makes the loop take what was written, and returns the error of writing.
func (x *exchange) push() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.err == nil {
		x.c.wake(x)
	}
	return x.out.err
}

// closeWrite ends the body, with a trailer section if there is one.
func (x *exchange) closeWrite(trailer []h3.Field) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.err != nil {
		return x.out.err
	}
	if !x.out.fin {
		x.out.fin = true
		x.out.trailer = trailer
		x.c.wake(x)
	}
	return nil
}

// finish says that the application is through. The loop still delivers what was
// written if closeWrite was called, and then gives the stream back. It reports false if
// the application had been through before.
func (x *exchange) finish() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done {
		return false
	}
	x.done = true
	x.in.deadline.Stop()
	if x.in.kept > 0 {
		x.dropIn() // the loop will not
	}
	x.broadcast()
	if !x.out.fin && x.out.err == nil {
		x.cancelLocked(h3.InternalError, net.ErrClosed)
	} else {
		x.c.wake(x)
	}
	return true
}

// cancel abandons the exchange: the stream is reset and stopped with code, and
// whoever reads or writes gets err.
func (x *exchange) cancel(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancelLocked(code, err)
}

func (x *exchange) cancelLocked(code h3.ErrorCode, err error) {
	if x.canceled {
		return
	}
	x.dropIn()
	if x.in.ended && x.out.ended {
		return // nothing to cancel
	}
	x.canceled, x.code = true, code
	x.endIn(err)
	x.endOut(err)
	x.failed(err)
	x.c.wake(x)
}

// breakOff ends what is sent with a reset behind all that was written, which still arrives. If that
// is nothing, it is cancel.
func (x *exchange) breakOff(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := &x.out
	if x.canceled || !out.open || out.fin || out.err != nil {
		x.cancelLocked(code, err)
		return
	}
	out.fin, out.broken, out.resetCode = true, true, code
	x.in.stop, x.in.stopCode = !x.in.ended, code
	x.dropIn()
	x.endIn(err)
	x.failed(err)
	x.c.wake(x)
}

// cancelIn abandons what the peer sends.
func (x *exchange) cancelIn(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.canceled || x.in.ended && x.in.buf.Len() == 0 {
		return
	}
	x.in.stop, x.in.stopCode = !x.in.ended, code
	x.dropIn()
	x.in.err = err
	x.endIn(err)
	x.c.wake(x)
}

// cancelOut abandons what is sent to the peer.
func (x *exchange) cancelOut(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.canceled || x.out.fin || x.out.err != nil {
		return
	}
	x.out.reset, x.out.resetCode = true, code
	x.endOut(err)
	x.c.wake(x)
}

// fail ends the exchange because its connection has ended, or did before the exchange
// had a stream.
func (x *exchange) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.req != nil && !x.req.opened {
		err = &unprocessedError{err}
	}
	x.failLocked(err)
}

// failLocked ends the exchange, whose stream is gone.
func (x *exchange) failLocked(err error) {
	x.stream = nil
	x.unwatchLocked()
	x.leavePlace()
	x.endIn(err)
	x.endOut(err)
	x.failed(err)
}

// endIn makes err follow what is buffered, unless the end is known already.
func (x *exchange) endIn(err error) {
	if x.in.err == nil {
		x.in.err = err
	}
	x.in.ended = true
	x.in.stalled = false
	x.broadcast()
}

// endOut makes writing fail with err.
func (x *exchange) endOut(err error) {
	if x.out.err == nil && !x.out.ended {
		x.out.err = err
		x.out.buf.Reset(x.c.pool)
		x.out.sections, x.out.trailer = nil, nil
	}
	x.out.deadline.Stop()
	x.broadcast()
}

// broadcast wakes up all who wait for something of the exchange.
func (x *exchange) broadcast() {
	x.in.cond.Broadcast()
	x.out.cond.Broadcast()
	if x.dg != nil {
		x.dg.readable.Broadcast()
		x.dg.writable.Broadcast()
	}
}

func (x *exchange) failed(err error) {
	if x.failure != nil {
		return
	}
	x.unlimitHead()
	x.failure = err
	if x.onFail != nil {
		x.onFail(err)
	}
}

// whenFailed has f called, once, if the exchange or a direction of it ends otherwise
// than by completing. f must not block, nor use the exchange, which is locked.
func (x *exchange) whenFailed(f func(err error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onFail = f
	if x.failure != nil {
		f(x.failure)
	}
}

// setReadDeadline sets the deadline of read; the zero Time is none.
func (x *exchange) setReadDeadline(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.done {
		x.in.deadline.Set(&x.in.cond, t, func() {
			if !x.in.ended {
				x.c.missed.read()
			}
		})
	}
}

// setWriteDeadline sets the deadline of write. With abort, the stream is reset if
// it passes while something that was written still waits.
func (x *exchange) setWriteDeadline(t time.Time, abort bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.ended || x.out.err != nil {
		return
	}
	x.out.deadline.Set(&x.out.cond, t, func() {
		if !x.out.ended {
			x.c.missed.write()
		}
		if abort && !x.out.ended {
			x.cancelLocked(h3.InternalError, os.ErrDeadlineExceeded)
		}
	})
}

// watch cancels the exchange when ctx is done, until it is over or unwatch is called.
func (x *exchange) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopWatch = context.AfterFunc(ctx, func() { x.cancel(h3.RequestCancelled, context.Cause(ctx)) })
}

func (x *exchange) unwatch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unwatchLocked()
}

func (x *exchange) unwatchLocked() {
	if x.stopWatch != nil {
		x.stopWatch()
		x.stopWatch = nil
	}
}
