package h3http

import (
	"io"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/list"
)

// An exchange is one request with its response, on one stream. It consists of a [bodyPipe], which
// carries the two messages, of a [requestLife], which says what becomes of the request, and of its
// datagrams once the stream was taken over. The stream belongs to the loop.
//
// An exchange is a part of a [clientExchange] or of a [serverExchange], which have what only a
// client or a server needs.
type exchange struct {
	bodyPipe
	life requestLife
	dg   *datagrams // nil unless the stream was taken over

	cost int // bytes that count for it beside its content; mu guards it

	half   half
	stream *h3.Stream           // belongs to the loop; nil before it is open, and after its release
	id     conn.StreamID        // set with stream
	place  list.Item[*exchange] // in connection.active

	// The lock of the connection guards these.
	queued  bool // it is in connection.dirty
	unheard bool // wake does nothing: the loop is through with it
}

// A half is the part of an exchange that belongs to a client or to a server.
type half interface {
	// service does what the exchange needs after an event, or after another goroutine has changed
	// it. It runs on the loop's goroutine.
	service(now time.Time)

	// gotHead takes a copy of a field section. It reports false if that is the trailer section. The
	// caller has locked the exchange.
	gotHead(fields []h3.Field) bool

	// consumed notes that the application needs no more of the content: it has read or closed it.
	// The caller has locked the exchange, and does nothing with it afterwards but unlock it.
	consumed()

	// stopWaiting stops everything that waits for the success of the exchange, which has failed
	// because of err. The caller has locked it.
	stopWaiting(err error)

	// lost notes that the exchange has lost its connection because of err, or never got a stream.
	// It returns the error for the application. The caller has locked the exchange.
	lost(err error) error
}

func (x *exchange) init(c *connection, h half) {
	x.bodyPipe.init(c, x)
	x.half = h
}

// advance does what there is to do. It reports whether the loop no longer needs the stream. It runs
// on the loop's goroutine. The caller has locked x, which has its stream.
func (x *exchange) advance(now time.Time) (finished bool) {
	if !x.aborts.canceled() {
		if x.dg != nil {
			x.pumpDatagrams(now) // in front of the end of the stream
		}
		x.noteEnd(x.pumpIn(x.stream))
		x.noteSent(x.pumpOut(x.stream)) // this may cancel
	}
	x.aborts.carryOut(x.stream)
	if x.aborts.canceled() {
		if x.dg != nil {
			x.dg.end(x.life.failure)
		}
		return true
	}
	if x.dg != nil {
		x.endDatagrams()
	}
	if x.closed {
		x.skipIn(x.stream)
	}
	return x.out.over() && (x.in.ended || x.closed)
}

// delivered reports whether the peer has everything that was sent, or nobody waits for the rest.
// Handing it to the stream is not enough. The caller has locked x.
func (x *exchange) delivered() bool {
	return x.life.gone || x.aborts.canceled() || x.out.err != nil
}

// noteEnd notes what pumpIn has returned.
func (x *exchange) noteEnd(end error) {
	if end != nil && end != io.EOF {
		x.failed(end)
	}
}

// noteSent notes an error of sending, if there is one.
func (x *exchange) noteSent(err error) {
	switch {
	case err == nil:
	case stopped(err):
		// Nothing more can be sent. Receiving may go on: the peer may need no more of the request
		// and still answer.
		err = streamError(err)
		x.failOut(err)
		x.failed(err)
	default:
		// These fields cannot be sent, so the message cannot be completed.
		x.cancelLocked(h3.InternalError, err)
	}
}

// gotFields takes a field section: trailers, or on a Transport a header section. The caller has
// locked x.
func (x *exchange) gotFields(e h3.Event) {
	in := &x.in
	x.charge(fieldsCost(e.Fields))
	if !x.half.gotHead(e.Fields) {
		in.trailer = slices.Clone(e.Fields)
	}
	if e.End {
		in.end(io.EOF)
	}
	in.cond.Broadcast()
}

// peerCanceled notes that the peer has reset its direction or stopped ours, or both, or that it has
// broken a rule of messages. The caller has locked x.
func (x *exchange) peerCanceled(e h3.Event) {
	if e.Err != nil {
		err := streamError(e.Err)
		x.dropIn(err)
		x.in.end(err)
		x.failOut(err)
		x.life.gone = true
		x.failed(err)
		return
	}
	// The stream tells which directions have ended.
	if !x.in.ended {
		x.noteEnd(x.pumpTo(x.stream, x.in.makeRoom()))
	}
	x.unwanted()
}

// unwanted checks whether the peer has stopped our direction. A peer that has done so need not
// acknowledge the rest. The caller has locked x.
func (x *exchange) unwanted() {
	if _, err := x.stream.Write(nil); stopped(err) {
		x.life.gone = true
		x.noteSent(err)
	}
}

// drain takes what a connection that has ended because of err still holds for the application. The
// caller has locked x.
func (x *exchange) drain(now time.Time, err error) {
	if x.closed || x.aborts.canceled() {
		return
	}
	x.noteEnd(x.drainIn(x.stream, err))
	x.drainDatagrams(now)
}
