package h3http

import (
	"net/http"
	"os"
	"sync"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/deadline"
	"github.com/lazoquic/lazo/internal/fifo"
)

const (
	recvBuffer  = 128 << 10 // bytes of a body that may wait for their reader
	firstBuffer = chunkSize // the same before the first Read, because perhaps nobody reads
	sendBuffer  = 64 << 10  // bytes of a body that may wait for the loop

	// The same for a bulk transfer, in which one side takes all that the other one has left it, and
	// then waits. A larger buffer means fewer turns of the loop.
	bulkRecvBuffer = 512 << 10
	bulkSendBuffer = 256 << 10
)

// A bodyPipe carries the field sections and the content of an exchange, both ways, between the
// application and the loop. It does not know which side is the client, nor what becomes of the
// request. The application reads and writes here, and the loop moves bytes between the pipe and the
// stream (see pump.go). The loop reads nothing from a stream whose buffer is full, so a slow reader
// slows the peer down.
//
// mu guards the pipe and the rest of the exchange. If a method does not lock mu, its caller has
// locked mu.
type bodyPipe struct {
	c  *connection
	of *exchange // which the loop looks at after wake

	mu       sync.Mutex
	turn     uint64 // counts the requests that are over: see serverExchange
	sleepers int    // goroutines in wait
	in       inbound
	out      outbound
	aborts   aborts
	closed   bool // the application has finished with it
}

// An inbound is what the peer sends: the request to a server, or the response to a client.
type inbound struct {
	cond sync.Cond
	inboundState
}

// An inboundState is all of an inbound that is new with each request.
type inboundState struct {
	buf      fifo.Buffer
	limit    int        // how many bytes buf may hold
	stalled  bool       // the loop has stopped reading, because buf is full
	filled   bool       // that has happened since the reader last waited
	waiting  bool       // somebody waits in read
	kept     int        // what outlives the connection, in bytes: see drainIn
	ended    bool       // the end has come: the loop reads no more
	err      error      // the error after the bytes of buf; io.EOF at the end
	trailer  []h3.Field // complete before err is io.EOF
	deadline deadline.Deadline
}

// An outbound is what this side sends to the peer.
type outbound struct {
	cond sync.Cond
	outboundState
}

// An outboundState is all of an outbound that is new with each request.
type outboundState struct {
	limit    int           // how many bytes buf may hold
	waiting  bool          // somebody waits in write
	sections [][]h3.Field  // header sections to send
	first    [1][]h3.Field // the memory of sections; most messages have one
	open     bool          // the final section is among them, so the body may follow
	buf      fifo.Buffer
	fin      bool // the end comes after buf
	trailer  []h3.Field
	ended    bool  // everything was handed to the stream
	err      error // why no more can be sent
	deadline deadline.Deadline
}

func (p *bodyPipe) init(c *connection, of *exchange) {
	p.c, p.of = c, of
	p.in.cond.L = &p.mu
	p.out.cond.L = &p.mu
	p.in.limit = firstBuffer
	p.out.limit = sendBuffer
	p.out.sections = p.out.first[:0]
}

// clear makes the pipe that of no exchange, but for what late goroutines may look at. Nothing waits
// in it.
func (p *bodyPipe) clear() {
	p.in.buf.Reset(p.c.pool)
	p.out.buf.Reset(p.c.pool)
	p.in.inboundState, p.out.outboundState = inboundState{}, outboundState{}
	p.c, p.aborts, p.closed = nil, aborts{}, false
}

// wake makes the loop look at the exchange. It reports false if the connection has ended.
func (p *bodyPipe) wake() bool { return p.c.wake(p.of) }

// wait waits for cond, which is that of in or of out.
func (p *bodyPipe) wait(cond *sync.Cond) {
	p.sleepers++
	cond.Wait()
	p.sleepers--
}

// read reads from the body. It waits if there is nothing to read.
func (p *bodyPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readLocked(b)
}

func (p *bodyPipe) readLocked(b []byte) (int, error) {
	in := &p.in
	if in.limit < recvBuffer {
		in.limit, in.filled = recvBuffer, false
	}
	for {
		switch {
		case p.closed:
			return 0, errStreamClosed
		case in.deadline.Passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case in.buf.Len() > 0:
			n := in.buf.Read(p.c.pool, b)
			p.forgetKept(n)
			p.unstall()
			return n, nil
		case in.err != nil:
			return 0, in.err
		}
		in.waiting = true
		if in.filled { // the reader is faster than the loop
			in.filled = false
			in.limit = min(2*in.limit, bulkRecvBuffer)
		}
		p.unstall()
		p.wait(&in.cond)
		in.waiting = false
	}
}

// unstall makes the loop read again once half of the buffer is free.
func (p *bodyPipe) unstall() {
	if p.in.stalled && p.in.buf.Len() <= p.in.limit/2 {
		p.in.stalled = false
		p.wake()
	}
}

// write appends b to the body, and waits for room. The loop takes the bytes once at least push of
// them wait, or when there is no more room.
func (p *bodyPipe) write(b []byte, push int) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeLocked(b, push)
}

func (p *bodyPipe) writeLocked(b []byte, push int) (n int, err error) {
	out := &p.out
	for {
		if err := p.writeErr(); err != nil {
			return n, err
		}
		k := max(min(len(b), p.sendRoom()-out.buf.Len()), 0)
		p.append(b[:k])
		n += k
		if b = b[k:]; len(b) == 0 {
			if out.buf.Len() >= push {
				p.wake()
			}
			return n, nil
		}
		p.waitForRoom()
	}
}

// append appends a copy of b to the body. Much goes into blocks, which the stream does not copy.
func (p *bodyPipe) append(b []byte) {
	pool, buf := p.c.pool, &p.out.buf
	for len(b) >= blockSize/2 && pool.roomForBlock() {
		if n := min(buf.Spare(), len(b)); n > 0 {
			buf.Write(pool, b[:n])
			b = b[n:]
			continue
		}
		c := pool.block()
		n := copy(c.Memory, b)
		c.Wrote(n)
		buf.Push(pool, c)
		b = b[n:]
	}
	buf.Write(pool, b)
}

// writeErr returns why nothing can be written now.
func (p *bodyPipe) writeErr() error {
	if err := p.endErr(); err != nil {
		return err
	}
	if p.out.deadline.Passed() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// endErr returns why nothing can be written any more.
func (p *bodyPipe) endErr() error {
	switch out := &p.out; {
	case out.err != nil:
		return out.err
	case p.closed:
		return errStreamClosed
	case out.fin:
		return errWriteClosed
	}
	return nil
}

// waitForRoom waits until the loop has taken some of the body.
func (p *bodyPipe) waitForRoom() {
	p.wake()
	p.out.waiting = true
	p.wait(&p.out.cond)
	p.out.waiting = false
}

// writeBlock is write for the first n bytes of c, without a copy: c belongs to the pipe then. If it
// fails, c is still the caller's, who keeps the pipe locked.
func (p *bodyPipe) writeBlock(c *fifo.Chunk, n int) error {
	out := &p.out
	for {
		if err := p.writeErr(); err != nil {
			return err
		}
		// The loop says that there is room when half of it is free: a writer who wanted more than
		// that would ask the loop again and again.
		if waits, room := out.buf.Len(), p.sendRoom(); waits <= room/2 || waits+n <= room {
			c.Wrote(n)
			out.buf.Push(p.c.pool, c)
			p.wake()
			return nil
		}
		p.waitForRoom()
	}
}

// writeChunk is writeLocked for the first n bytes of c. If it does so without a copy, it reports
// that c is taken. A block with but a few bytes would be waste.
func (p *bodyPipe) writeChunk(c *fifo.Chunk, n, push int) (taken bool, written int, err error) {
	if n < blockSize/2 {
		written, err = p.writeLocked(c.Memory[:n], push)
		return false, written, err
	}
	if err = p.writeBlock(c, n); err != nil {
		return false, 0, err
	}
	return true, n, nil
}

// writeShared is writeLocked for bytes that never change. It copies none but a short rest.
func (p *bodyPipe) writeShared(b []byte, push int) (n int, err error) {
	for len(b)-n > push {
		c := p.c.pool.share(b[n:min(n+blockSize, len(b))])
		if err := p.writeBlock(c, len(c.Memory)); err != nil {
			p.c.pool.Put(c)
			return n, err
		}
		n += len(c.Memory)
	}
	k, err := p.writeLocked(b[n:], push)
	return n + k, err
}

// tryWrite appends b to the body, or nothing if there is no room.
func (p *bodyPipe) tryWrite(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.endErr(); err != nil {
		return err
	}
	if len(b) > p.sendRoom()-p.out.buf.Len() {
		return conn.ErrWouldBlock
	}
	p.out.buf.Write(p.c.pool, b)
	p.wake()
	return nil
}

// hold appends b to the body without waking the loop. It reports false if more than limit bytes
// would wait. It is for the time before the header is sent. The caller has locked the pipe.
func (p *bodyPipe) hold(b []byte, limit int) bool {
	if p.out.err != nil || p.closed || p.out.buf.Len()+len(b) > limit {
		return false
	}
	p.out.buf.Write(p.c.pool, b)
	return true
}

// contentType guesses the media type of the bytes that wait to be sent. It returns "" if there are
// none. The caller keeps the pipe locked, because the loop may give the memory of the bytes to
// others at any time.
func (p *bodyPipe) contentType() string {
	if p.out.buf.Len() == 0 {
		return ""
	}
	return http.DetectContentType(p.out.buf.Peek())
}

// maxSections is how many informational responses may wait to be sent.
const maxSections = 8

// sendFields queues a header section, which the loop takes now. After the final one the body may
// follow. An informational section waits until there is room. Without that, a peer that reads
// nothing would make this side keep all of them. The caller has locked the pipe.
func (p *bodyPipe) sendFields(fields []h3.Field, final bool) {
	out := &p.out
	for !final && len(out.sections) >= maxSections && out.err == nil && !out.deadline.Passed() {
		p.wake()
		p.wait(&out.cond)
	}
	if final || !out.deadline.Passed() {
		out.queue(fields, final)
		p.wake()
	}
}

// queue queues a header section, which the loop takes with what is written next. The caller has
// locked the pipe.
func (out *outbound) queue(fields []h3.Field, final bool) {
	if !out.open && out.err == nil {
		out.sections = append(out.sections, fields)
		out.open = final
	}
}

// push makes the loop take what was written. It returns the error of writing. The caller has locked
// the pipe.
func (p *bodyPipe) push() error {
	if p.out.err == nil {
		p.wake()
	}
	return p.out.err
}

// closeWrite ends the body, with a trailer section if there is one.
func (p *bodyPipe) closeWrite(trailer []h3.Field) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.out.close(trailer)
	if err == nil {
		p.wake()
	}
	return err
}
