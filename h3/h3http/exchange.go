package h3http

import (
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
//
// An exchange is a part of a [clientExchange] or of a [serverExchange], which have what only a
// client or a server needs.
type exchange struct {
	half   half
	c      *connection
	stream *h3.Stream    // belongs to the loop; nil before it is open, and after its release
	id     conn.StreamID // set with stream
	// the peer has everything that was sent, or wants no more of it; belongs to the loop
	gone   bool
	queued bool // it is in c.dirty; c.mu guards it

	mu   sync.Mutex
	in   inbound
	out  outbound
	dg   *datagrams // nil unless the stream was taken over
	done bool       // the application has finished with it

	canceled   bool // the loop is to cancel the stream, with code
	code       h3.ErrorCode
	cancelSent bool // the loop has canceled it; belongs to the loop

	failure error           // why the exchange, or a direction of it, did not complete
	onFail  func(err error) // set by whenFailed
}

// A half is the part of an exchange that belongs to a client or to a server.
type half interface {
	// service does what the exchange needs after an event, or after another goroutine has changed
	// it. It runs on the loop's goroutine.
	service(now time.Time)

	// gotHead takes a field section. It reports false if that is the trailer section. The caller
	// has locked the exchange.
	gotHead(fields []h3.Field) bool

	// stopWaiting stops everything that waits for the success of the exchange, which has failed.
	// The caller has locked it.
	stopWaiting()

	// lost notes that the exchange has lost its connection because of err, or never got a stream.
	// It returns the error for the application. The caller has locked the exchange.
	lost(err error) error
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

func (x *exchange) init(c *connection, h half) {
	x.c, x.half = c, h
	x.in.cond.L = &x.mu
	x.out.cond.L = &x.mu
	x.in.limit = firstBuffer
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
	return x.closeWriteLocked(trailer)
}

func (x *exchange) closeWriteLocked(trailer []h3.Field) error {
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
