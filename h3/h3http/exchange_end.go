package h3http

import (
	"net"

	"github.com/lazoquic/lazo/h3"
)

// This file ends exchanges and their directions, and tells those who wait.

// A requestLife is what becomes of an exchange as a whole. The lock of the exchange guards it.
type requestLife struct {
	gone    bool            // the peer has everything that was sent, or wants no more of it
	failure error           // why the exchange, or a direction of it, did not complete
	onFail  func(err error) // set by whenFailed
}

// fail notes the first failure.
func (l *requestLife) fail(err error) {
	l.failure = err
	if l.onFail != nil {
		l.onFail(err)
	}
}

// whenFailed adds a function that fail calls. If that has been called already, f is called now.
func (l *requestLife) whenFailed(f func(err error)) {
	if l.failure != nil {
		f(l.failure)
		return
	}
	before := l.onFail
	if before == nil {
		l.onFail = f
		return
	}
	l.onFail = func(err error) {
		before(err)
		f(err)
	}
}

// finish says that the application has finished with the exchange. If closeWrite was called, the
// loop still delivers what was written, and then releases the stream. It reports false if the
// application had finished before.
func (x *exchange) finish() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.finishLocked()
}

// end is closeWrite and finish in one, so that nobody sees the exchange between them.
func (x *exchange) end() (err error, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.endLocked(nil)
}

func (x *exchange) endLocked(trailer []h3.Field) (err error, first bool) {
	err = x.out.close(trailer)
	return err, x.finishLocked()
}

func (x *exchange) finishLocked() bool {
	if !x.close() {
		return false
	}
	if x.dg != nil {
		x.dropReceived()
	}
	x.broadcast()
	if !x.out.fin && x.out.err == nil {
		x.cancelLocked(h3.InternalError, net.ErrClosed)
	} else {
		x.wake()
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
	if x.abandon(code, err) {
		x.failed(err)
		x.wake()
	}
}

// breakOff ends sending with a reset behind everything that was written, which still arrives. If
// nothing was written, it cancels the exchange.
func (x *exchange) breakOff(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.breakOut(code) {
		x.cancelLocked(code, err)
		return
	}
	x.abandonIn(code, err)
	x.failed(err)
	x.wake()
}

// cancelIn abandons receiving: the peer is asked to stop.
func (x *exchange) cancelIn(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancelInLocked(code, err)
}

func (x *exchange) cancelInLocked(code h3.ErrorCode, err error) {
	if x.aborts.canceled() || x.in.ended && x.in.buf.Len() == 0 {
		return
	}
	x.abandonIn(code, err)
	x.wake()
}

// cancelOut abandons sending: the stream is reset.
func (x *exchange) cancelOut(code h3.ErrorCode, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.abandonOut(code, err) {
		x.wake()
	}
}

// giveUp abandons the exchange at once, and what was handed to the stream as well. It runs on the
// loop's goroutine. The caller has locked x.
func (x *exchange) giveUp(code h3.ErrorCode, err error) {
	x.aborts.abandon(x.stream, code)
	x.dropIn(err)
	x.in.end(err)
	x.failOut(err)
	x.failed(err)
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
	x.settleCost()
	x.in.end(err)
	x.failOut(err)
	x.failed(err)
	if x.dg != nil {
		x.dg.end(x.life.failure)
	}
}

// failed notes that the exchange, or a direction of it, did not complete because of err.
func (x *exchange) failed(err error) {
	if x.life.failure == nil {
		x.half.stopWaiting(err)
		x.life.fail(err)
		x.broadcast()
	}
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

// whenFailed makes the exchange call f once, if it or a direction of it does not complete. f must
// not block. It must not use the exchange, which is locked then.
func (x *exchange) whenFailed(f func(err error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.life.whenFailed(f)
}
