package h3http

import (
	"net"

	"github.com/lazoquic/lazo/h3"
)

// This file ends exchanges and their directions, and tells those who wait.

// finish says that the application has finished with the exchange. If closeWrite was called, the
// loop still delivers what was written, and then releases the stream. It reports false if the
// application had finished before.
func (x *exchange) finish() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.finishLocked()
}

// close is closeWrite and finish in one, so that nobody sees the stream between them.
func (x *exchange) close() (err error, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err = x.closeWriteLocked(nil)
	return err, x.finishLocked()
}

func (x *exchange) finishLocked() bool {
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
	x.failLocked(x.half.lost(err))
}

// failLocked ends the exchange after its stream has gone.
func (x *exchange) failLocked(err error) {
	x.stream = nil
	x.endIn(err)
	x.endOut(err)
	x.failed(err)
	if x.dg != nil {
		x.dg.end(x.failure)
	}
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
	x.half.stopWaiting()
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
