package loop

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/deadline"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/list"
)

// A Stream is a [net.Conn], and one direction of one for [conn.Uni]. One goroutine
// may read while another writes.
//
// Up to 256 KiB of each direction wait between the application and the connection, which has
// buffers of its own besides. They cost memory only while they wait.
type Stream struct {
	c       *Conn
	id      conn.StreamID
	arrival uint64 // how many streams of the peer had arrived, this one included

	mu      sync.Mutex
	dirty   bool // in the mailbox
	pull    bool // the loop moves received data to in.buf; false while a Handler may take over
	closed  bool // Close was called
	early   bool
	queued  bool      // in Loop.ready; belongs to the loop's goroutine
	changed sync.Cond // Read and Write wait for it, and look themselves what has changed
	in      receiving
	out     sending
	rare    *rarities   // nil until needed
	ended   func(error) // of OnWriteEnd; nil when it was called

	// The fields below belong to the loop's goroutine, or to a borrower. To change s, it needs mu
	// as well.
	s     *conn.Stream       // nil once released
	place list.Item[*Stream] // in Conn.streams
}

// rarities are what most Streams do without. A Stream costs less the smaller it is: a program that
// serves many has them in a cache.
type rarities struct {
	rd, wd *deadline.Deadline // nil until set
	prio   *conn.Priority     // set by SetPriority; the loop is to apply it
	copies *bool              // set by SetRedundant, likewise
	ctx    context.Context    // nil until somebody asks for it
	cancel context.CancelCauseFunc
	size   func(uint64) // of OnFinalSize; nil when it was called
	peek   peeking
	least  int      // how many bytes a Peek waits for
	at     *resetAt // the loop is to call ResetAt
}

// rarely returns s.rare, and makes it first if need be. The caller holds s.mu.
func (s *Stream) rarely() *rarities {
	if s.rare == nil {
		s.rare = new(rarities)
	}
	return s.rare
}

// readLate reports whether the deadline of Read has passed. The caller holds s.mu.
func (s *Stream) readLate() bool { return s.rare != nil && s.rare.rd.Passed() }

// writeLate reports whether the deadline of Write has passed. The caller holds s.mu.
func (s *Stream) writeLate() bool { return s.rare != nil && s.rare.wd.Passed() }

// resetting returns the call of ResetAt that waits, or nil. The caller holds s.mu.
func (s *Stream) resetting() *resetAt {
	if s.rare == nil {
		return nil
	}
	return s.rare.at
}

// receiving is the receiving direction of a Stream.
type receiving struct {
	buf    fifo.Buffer
	err    error // the error after the last byte of buf; io.EOF at the end
	done   bool  // the connection has nothing more to read
	full   bool  // buf had no room for everything
	left   bool  // a few bytes are in the connection, and Read takes them from there: see leftovers
	move   bool  // the loop is to move them to buf nevertheless
	listed bool  // in Loop.leftovers
	wait   bool  // Read waits
	stop   bool  // the loop is to call StopSending
	code   uint64
	kept   int // how many bytes count in Loop.remains for buf
}

// sending is the sending direction of a Stream.
type sending struct {
	buf   fifo.Buffer
	err   error // the error of Write
	full  bool  // the connection takes no more until EventStreamWritable
	wait  bool  // Write waits
	fin   bool  // CloseWrite was called
	sent  bool  // FIN was handed to the connection
	done  bool  // nothing is left to do: acknowledged, reset, or no such direction
	reset bool  // the loop is to call Reset
	code  uint64
	by    *sentWriter // nil until WriteSent is called
}

// A resetAt is a call of ResetAt that waits.
type resetAt struct {
	code, size uint64
	done       chan error // has room for one
}

// streamCost is what a Stream takes by itself, in bytes: 288, and the rest for rarities.
const streamCost = 448

// newStream makes the Stream of cs.
func newStream(c *Conn, cs *conn.Stream, local bool) *Stream {
	s := &Stream{c: c, id: cs.ID(), early: cs.Early(), s: cs}
	s.changed.L = &s.mu
	if s.id.Dir() == conn.Uni {
		if local {
			s.in.err, s.in.done = errSendOnly, true
		} else {
			s.out.err, s.out.done = errReceiveOnly, true
		}
	}
	cs.UserData = s
	c.streams.PushFront(&s.place, s)
	c.account.Hold(streamCost)
	return s
}

// forget cuts s off from the connection. The caller holds s.mu, or no other goroutine knows s.
func (s *Stream) forget() {
	s.s.UserData = nil
	s.s = nil
	s.c.streams.Remove(&s.place)
	s.c.account.Hold(-streamCost)
}

// streamOf returns the Stream of an event. It returns nil if the event has no stream, or a stream
// of a Handler.
func streamOf(ev *conn.Event) *Stream {
	if ev.Stream == nil {
		return nil
	}
	s, _ := ev.Stream.UserData.(*Stream)
	return s
}

// handle handles an event of the stream.
func (s *Stream) handle(ev *conn.Event) {
	s.mu.Lock()
	switch ev.Kind {
	case conn.EventStreamWritable:
		s.out.full = false
	case conn.EventStreamStopped:
		s.noteEnd()
		s.failWrite(&conn.StreamError{ID: s.id, Code: ev.Code, Remote: true})
	case conn.EventStreamAcked:
		s.endWrite(nil)
	}
	tell := s.finalSize()
	over := s.release()
	s.mu.Unlock()
	tell()
	if !over {
		s.c.l.enqueue(s)
	}
}

// release gives the connection back a stream of which nobody wants anything more. It reports
// whether it did. The caller holds s.mu.
func (s *Stream) release() bool {
	if !s.closed || !s.in.done || !s.out.done || s.out.reset {
		return false
	}
	cs := s.s
	s.forget()
	cs.Release()
	return true
}

// OnFinalSize has f called once with the number of bytes that the peer sends in all. f is called
// when the peer has ended or reset the stream, as soon as the loop learns that, which is at the
// latest when data before the end was taken from the connection. It is called before OnFinalSize
// returns if the size is known already, and never if the connection ends first. A later call
// replaces f; nil means none. f runs on the loop's goroutine, and must not block or use the
// Stream. OnFinalSize asks the loop and waits for it.
func (s *Stream) OnFinalSize(f func(size uint64)) {
	s.mayWait("OnFinalSize")
	s.c.l.Do(context.Background(), func(time.Time) {
		s.mu.Lock()
		s.rarely().size = f
		tell := s.finalSize()
		s.mu.Unlock()
		tell()
	})
}

// finalSize returns a call of the function of OnFinalSize, which does nothing if it is not time.
// The caller holds s.mu, and makes the call without it.
func (s *Stream) finalSize() (tell func()) {
	if s.rare == nil || s.rare.size == nil || s.s == nil {
		return func() {}
	}
	size, known := s.s.FinalSize()
	if !known {
		return func() {}
	}
	f := s.rare.size
	s.rare.size = nil
	return func() { f(size) }
}

// mark serves s at once, or puts it in the mailbox. The caller holds s.mu.
func (s *Stream) mark() {
	// The function of OnFinalSize is for the loop's goroutine.
	if (s.rare == nil || s.rare.size == nil) && s.c.borrow() {
		s.serveLocked()
		s.c.l.giveBack()
		return
	}
	s.post()
}

// post puts s in the mailbox. The caller holds s.mu.
func (s *Stream) post() {
	if !s.dirty {
		s.dirty = true
		s.c.l.mail.stream(s)
	}
}

// start lets the loop bring received data from now on.
func (s *Stream) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pull {
		s.pull = true
		s.post() // whoever accepts streams needs no stack to serve them
	}
}

// ID returns the stream's ID.
func (s *Stream) ID() conn.StreamID { return s.id }

// Early is [conn.Stream.Early].
func (s *Stream) Early() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.early
}

// Conn returns the connection of the stream.
func (s *Stream) Conn() *Conn { return s.c }

// LocalAddr returns the address of this side of the connection, a *net.UDPAddr.
func (s *Stream) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.c.LocalAddr()) }

// RemoteAddr returns the address of the peer, a *net.UDPAddr.
func (s *Stream) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(s.c.RemoteAddr()) }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (s *Stream) SetDeadline(t time.Time) error {
	return cmp.Or(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline makes Read return os.ErrDeadlineExceeded from t on. This includes a Read that
// waits already. The zero Time means never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	return s.setDeadline(func(r *rarities) **deadline.Deadline { return &r.rd }, t)
}

// SetWriteDeadline makes Write return os.ErrDeadlineExceeded from t on. This includes a Write that
// waits already; bytes that it has taken by then are sent. The zero Time means never.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(func(r *rarities) **deadline.Deadline { return &r.wd }, t)
}

func (s *Stream) setDeadline(which func(*rarities) **deadline.Deadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStreamClosed
	}
	d := which(s.rarely())
	if *d == nil {
		*d = new(deadline.Deadline)
	}
	(*d).Set(&s.changed, t, nil)
	return nil
}

// CloseWrite sends FIN after what was written, and does not wait.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStreamClosed
	}
	if s.out.fin {
		return nil
	}
	if s.out.err != nil {
		return s.out.err
	}
	s.finish()
	if !s.out.full && !s.endThrough() {
		s.mark()
	}
	return nil
}

// Context returns a context that is done when nothing more can be written: after Close,
// CloseWrite, Reset or ResetAt, when the peer stops the stream, and when the connection ends. If
// the stream only receives, it is done when the end or an error has come. context.Cause is the
// error that Write, or Read, returns. Its values are those of [Conn.Context].
func (s *Stream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rarely()
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancelCause(s.c.ctx)
		s.endContext()
	}
	return r.ctx
}

// OnWriteEnd has f called once when the context that Context returns is done, with its cause. It is
// called before OnWriteEnd returns if that is so already. A protocol that has contexts of its own
// for streams needs none of s then. s is locked meanwhile: f must not block, and must not use s.
func (s *Stream) OnWriteEnd(f func(err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = f
	s.endContext()
}

// endContext ends the context if it is time. The caller holds s.mu, and calls it after it has set
// an error.
func (s *Stream) endContext() {
	cancelled := s.rare != nil && s.rare.cancel != nil
	if !cancelled && s.ended == nil {
		return
	}
	err := s.out.err
	if err == errReceiveOnly {
		err = s.in.err
	}
	if err == nil {
		return
	}
	if cancelled {
		s.rare.cancel(err)
	}
	if f := s.ended; f != nil {
		s.ended = nil
		f(err)
	}
}

// finish makes the loop send FIN when it serves s. The caller holds s.mu.
func (s *Stream) finish() {
	defer s.endContext()
	s.out.fin, s.out.err = true, errWriteClosed
	s.c.deliveries.begin()
	s.changed.Broadcast()
}

// Close ends both directions: CloseWrite, and StopSending with code 0 if the
// end has not been read. It does not wait. A stream that is not closed is a leak.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStreamClosed
	}
	s.closed = true
	if r := s.rare; r != nil {
		r.rd.Stop()
		r.wd.Stop()
	}
	if !s.out.fin && s.out.err == nil {
		s.finish()
	}
	s.stopSending(0)
	s.in.err, s.out.err = errStreamClosed, errStreamClosed
	s.endContext()
	s.changed.Broadcast()
	if i, o := &s.in, &s.out; i.stop && !i.done || o.fin && !o.sent || i.done && o.done {
		s.mark()
	}
	return nil
}

// Reset abandons sending, as [conn.Stream.Reset] does. What was written and has not
// arrived may be lost.
func (s *Stream) Reset(code uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.done && !s.out.reset {
		s.out.reset, s.out.code = true, code
		if s.out.by != nil {
			s.out.by.ending = true
		}
		s.failWrite(&conn.StreamError{ID: s.id, Code: code})
		s.mark()
	}
}

// ResetAt abandons sending, but the first size bytes still arrive: see
// [conn.Stream.ResetAt]. It waits until the connection has taken these.
func (s *Stream) ResetAt(code, size uint64) error {
	s.mayWait("Stream.ResetAt")
	s.mu.Lock()
	o := &s.out
	var err error
	switch {
	case o.done || s.closed:
		err = o.err
	case s.resetting() != nil:
		err = errors.New("loop: ResetAt is under way")
	case size > o.buf.End():
		err = errors.New("loop: ResetAt beyond what was written")
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	at := &resetAt{code, size, make(chan error, 1)}
	s.rarely().at = at
	s.mark()
	s.mu.Unlock()
	return <-at.done
}

// StopSending abandons receiving, as [conn.Stream.StopSending] does. What was received
// and not read is lost.
func (s *Stream) StopSending(code uint64) { s.StopReading(code) }

// StopReading is StopSending. It returns how many bytes s had taken from the connection, but no
// Read will return. A protocol that gives its own credit for what is read needs this number.
func (s *Stream) StopReading(code uint64) (unread int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unread = s.in.buf.Len()
	if s.stopSending(code) {
		s.mark()
	}
	return unread
}

// stopSending reports whether the loop is to call StopSending when it serves s. The caller holds
// s.mu.
func (s *Stream) stopSending(code uint64) (stop bool) {
	i := &s.in
	if i.err == errSendOnly {
		return false
	}
	i.buf.Reset(&s.c.chunks)
	s.forgetRemains(0)
	if !i.done && !i.stop {
		i.stop, i.code = true, code
		stop = true
	}
	if !s.closed { // Close wakes the loop itself
		i.err = &conn.StreamError{ID: s.id, Code: code}
		s.endContext()
	}
	s.changed.Broadcast()
	return stop
}

// SetRedundant is [conn.Stream.SetRedundant]: data that is written from now on takes every path of
// a connection with multipath, and comes as soon as the fastest of them carries it.
func (s *Stream) SetRedundant(redundant bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rarely().copies = &redundant
	s.mark()
}

// SetPriority is [conn.Stream.SetPriority].
func (s *Stream) SetPriority(p conn.Priority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rarely().prio = &p
	s.mark()
}
