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
	recvBuffer  = 128 << 10 // bytes of a body that may wait for their reader
	firstBuffer = chunkSize // the same before the first Read, because perhaps nobody reads
	sendBuffer  = 64 << 10  // bytes of a body that may wait for the loop
)

// An exchange is one request with its response, on one stream. The goroutines of the application
// read from its buffers and write to them. The stream belongs to the loop, which moves bytes
// between it and the buffers (see pump.go). The loop reads nothing from a stream whose buffer is
// full, so a slow reader slows the peer down.
type exchange struct {
	c      *connection
	stream *h3.Stream    // belongs to the loop; nil before it is open, and after its release
	id     conn.StreamID // set with stream
	// the peer has everything that was sent, or wants no more of it; belongs to the loop
	gone   bool
	queued bool  // it is in c.dirty; c.mu guards it
	stall  stall // used by a Server

	mu   sync.Mutex
	in   inbound
	out  outbound
	dg   *datagrams // nil unless the stream was taken over
	req  *outgoing  // used by a Transport; nil on a Server
	done bool       // the application has finished with it

	canceled   bool // the loop is to cancel the stream, with code
	code       h3.ErrorCode
	cancelSent bool // the loop has canceled it; belongs to the loop

	stopWatch func() bool // set by watch

	failure error           // why the exchange, or a direction of it, did not complete
	onFail  func(err error) // set by whenFailed
}

// An inbound is what the peer sends: the request to a server, or the response to a client.
type inbound struct {
	cond     sync.Cond
	buf      fifo.Buffer
	limit    int        // how many bytes buf may hold
	stalled  bool       // the loop has stopped reading, because buf is full
	kept     int        // how many bytes of buf outlive the connection: see drainIn
	ended    bool       // the end has come: the loop reads no more
	err      error      // the error after the bytes of buf; io.EOF at the end
	trailer  []h3.Field // complete before err is io.EOF
	deadline deadline.Deadline

	stop     bool         // the loop is to stop the peer, with stopCode
	stopCode h3.ErrorCode // set by cancelIn

	head []h3.Field   // the header section of a response
	info [][]h3.Field // 1xx responses that the application has not seen yet
}

// An outbound is what this side sends to the peer.
type outbound struct {
	cond     sync.Cond
	sections [][]h3.Field // header sections to send
	open     bool         // the final section is among them, so the body may follow
	buf      fifo.Buffer
	fin      bool // the end comes after buf
	broken   bool // the end is a reset, with resetCode: see breakOff
	trailer  []h3.Field
	ended    bool  // everything was handed to the stream
	err      error // why no more can be sent
	deadline deadline.Deadline

	reset     bool         // the loop is to reset the stream, with resetCode
	resetCode h3.ErrorCode // set by cancelOut
}

func newExchange(c *connection) *exchange {
	x := &exchange{c: c}
	x.in.cond.L = &x.mu
	x.out.cond.L = &x.mu
	x.in.limit = firstBuffer
	return x
}

// read reads from the body. It waits if there is nothing to read.
func (x *exchange) read(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in := &x.in
	in.limit = recvBuffer
	for {
		switch {
		case x.done:
			return 0, errStreamClosed
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

// write appends p to the body, and waits for room. The loop takes the bytes once push of them have
// come together.
func (x *exchange) write(p []byte, push int) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := &x.out
	for {
		switch {
		case out.err != nil:
			return n, out.err
		case x.done:
			return n, errStreamClosed
		case out.fin:
			return n, errWriteClosed
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

// hold appends p to the body without waking the loop. It reports false if more than limit bytes
// would wait. It is for the time before the header is sent.
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

// maxSections is how many informational responses may wait to be sent.
const maxSections = 8

// sendFields queues a header section. After the final one the body may follow. With push the loop
// takes it now, otherwise with what is written next. An informational section waits until there is
// room. Without that, a peer that reads nothing would make this side keep all of them.
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

// push makes the loop take what was written. It returns the error of writing.
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

// finish says that the application has finished with the exchange. If closeWrite was called, the
// loop still delivers what was written, and then releases the stream. It reports false if the
// application had finished before.
func (x *exchange) finish() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done {
		return false
	}
	x.done = true
	x.in.deadline.Stop()
	if x.in.kept > 0 {
		x.dropIn() // the loop will not do it
	}
	x.broadcast()
	if !x.out.fin && x.out.err == nil {
		x.cancelLocked(h3.InternalError, net.ErrClosed)
	} else {
		x.c.wake(x)
	}
	return true
}

// cancel abandons the exchange. The stream is reset and stopped with code. Calls that read or write
// return err.
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
		return // there is nothing to cancel
	}
	x.canceled, x.code = true, code
	x.endIn(err)
	x.endOut(err)
	x.failed(err)
	x.c.wake(x)
}

// breakOff ends sending with a reset behind everything that was written, which still arrives. If
// nothing was written, it cancels the exchange.
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

// cancelIn abandons receiving: the peer is asked to stop.
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

// cancelOut abandons sending: the stream is reset.
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

// fail ends the exchange because its connection has ended. The exchange may have had no stream yet.
func (x *exchange) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.req != nil && !x.req.opened {
		err = &unprocessedError{err}
	}
	x.failLocked(err)
}

// failLocked ends the exchange after its stream has gone.
func (x *exchange) failLocked(err error) {
	x.stream = nil
	x.unwatchLocked()
	x.leavePlace()
	x.endIn(err)
	x.endOut(err)
	x.failed(err)
}

// endIn makes reads return err after the buffered bytes, unless the end is known already.
func (x *exchange) endIn(err error) {
	if x.in.err == nil {
		x.in.err = err
	}
	x.in.ended = true
	x.in.stalled = false
	x.broadcast()
}

// endOut makes writes fail with err.
func (x *exchange) endOut(err error) {
	if x.out.err == nil && !x.out.ended {
		x.out.err = err
		x.out.buf.Reset(x.c.pool)
		x.out.sections, x.out.trailer = nil, nil
	}
	x.out.deadline.Stop()
	x.broadcast()
}

// broadcast wakes all goroutines that wait for the exchange.
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

// whenFailed makes the exchange call f once, if it or a direction of it does not complete. f must
// not block. It must not use the exchange, which is locked then.
func (x *exchange) whenFailed(f func(err error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onFail = f
	if x.failure != nil {
		f(x.failure)
	}
}

// setReadDeadline sets the deadline of read. The zero Time means none.
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

// setWriteDeadline sets the deadline of write. If it passes while written bytes still wait, and
// abort is set, the stream is reset.
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

// watch cancels the exchange when ctx is done. It watches until the exchange is over or unwatch is
// called.
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
