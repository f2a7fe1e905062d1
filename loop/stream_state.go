package loop

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/deadline"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/list"
)

// A streamState is the state of a Stream that is not over.
type streamState struct {
	c       *Conn
	handle  *Stream // nil while the state is that of no Stream
	arrival uint64  // how many streams of the peer had arrived, this one included

	mu      sync.Mutex
	waiting int32     // how many calls wait for changed
	dirty   bool      // in the mailbox
	pull    bool      // the loop moves received data to in.buf; false while a Handler may take over
	closed  bool      // Close was called
	queued  bool      // in Loop.ready; belongs to the loop's goroutine
	changed sync.Cond // Read and Write wait for it, and look themselves what has changed
	in      receiving
	out     sending
	rare    *rarities   // nil until needed
	ended   func(error) // of OnWriteEnd; nil when it was called

	// The fields below belong to the loop's goroutine, or to a borrower. To change s, it needs mu
	// as well.
	s     *conn.Stream            // nil once released
	place list.Item[*streamState] // in Conn.streams
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
func (s *streamState) rarely() *rarities {
	if s.rare == nil {
		s.rare = new(rarities)
	}
	return s.rare
}

// readLate reports whether the deadline of Read has passed. The caller holds s.mu.
func (s *streamState) readLate() bool { return s.rare != nil && s.rare.rd.Passed() }

// writeLate reports whether the deadline of Write has passed. The caller holds s.mu.
func (s *streamState) writeLate() bool { return s.rare != nil && s.rare.wd.Passed() }

// resetting returns the call of ResetAt that waits, or nil. The caller holds s.mu.
func (s *streamState) resetting() *resetAt {
	if s.rare == nil {
		return nil
	}
	return s.rare.at
}

// receiving is the receiving direction of a Stream.
type receiving struct {
	buf   fifo.Buffer
	err   error // the error after the last byte of buf; io.EOF at the end
	done  bool  // the connection has nothing more to read
	full  bool  // buf had no room for everything
	left  bool  // what lies ready is in the connection, and Read takes it from there: see leftovers
	move  bool  // the loop is to move them to buf nevertheless
	begun bool  // pull was set when the stream arrived
	wait  bool  // Read waits
	stop  bool  // the loop is to call StopSending
	// It has arrived, and no event has said yet that it is readable. It belongs to the loop's
	// goroutine.
	arriving bool
	code     uint64
	kept     int    // how many bytes count in Loop.remains for buf
	into     []byte // memory of a Read that waits; see deliver
	got      int32  // how many bytes deliver has brought there
	// 1 + the place in Loop.leftovers; 0 for none. It belongs to who has the Endpoint.
	listed int32
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

// streamCost is what a Stream takes by itself, in bytes, with its state and rarities.
const streamCost = 480

// countStreams counts n Streams more, or fewer. While new ones come as others end, the account
// stays as it is: to change that is what costs.
func (c *Conn) countStreams(n int) {
	c.unreleased += n
	if c.unreleased > c.counted || c.unreleased <= c.counted/2 {
		c.account.Hold((c.unreleased - c.counted) * streamCost)
		c.counted = c.unreleased
	}
}

// newStream makes the Stream of cs.
func newStream(c *Conn, cs *conn.Stream, local bool) *streamState {
	s := c.l.states.take()
	h := c.handles.next()
	h.c, h.id, h.early = c, cs.ID(), cs.Early()
	h.state.Store(s)
	s.mu.Lock() // of a Stream that was served before, calls may come at any time
	s.c, s.handle, s.s = c, h, cs
	if h.id.Dir() == conn.Uni {
		if local {
			s.in.err, s.in.done = errSendOnly, true
		} else {
			s.out.err, s.out.done = errReceiveOnly, true
		}
	}
	s.mu.Unlock()
	cs.UserData = s
	c.streams.PushFront(&s.place, s)
	c.countStreams(1)
	return s
}

// forget cuts s off from the connection. The caller holds s.mu, or no other goroutine knows s.
func (s *streamState) forget() {
	s.s.UserData = nil
	s.s = nil
	s.c.streams.Remove(&s.place)
	s.c.countStreams(-1)
}

// streamOf returns the Stream of an event. It returns nil if the event has no stream, or a stream
// of a Handler.
func streamOf(ev *conn.Event) *streamState {
	if ev.Stream == nil {
		return nil
	}
	s, _ := ev.Stream.UserData.(*streamState)
	return s
}

// handleEvent handles an event of the stream.
func (s *streamState) handleEvent(ev *conn.Event) {
	if ev.Kind == conn.EventStreamReadable { // serve does all that there is to do
		if !s.expected() {
			s.c.l.enqueue(s)
		}
		return
	}
	s.mu.Lock()
	switch ev.Kind {
	case conn.EventStreamWritable:
		s.out.full = false
	case conn.EventStreamStopped:
		s.noteEnd()
		s.failWrite(&conn.StreamError{ID: s.handle.id, Code: ev.Code, Remote: true})
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

// expected reports whether what makes s readable is what a stream has when it arrives, and is still
// left for Read.
func (s *streamState) expected() bool {
	if !s.in.arriving {
		return false
	}
	s.in.arriving = false
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.left
}

// release gives the connection back a stream of which nobody wants anything more. It reports
// whether it did. The caller holds s.mu.
func (s *streamState) release() bool {
	if !s.closed || !s.in.done || !s.out.done || s.out.reset {
		return false
	}
	cs, l := s.s, s.c.l
	s.forget()
	cs.Release()
	l.states.put(s)
	return true
}

// finalSize returns a call of the function of OnFinalSize, which does nothing if it is not time.
// The caller holds s.mu, and makes the call without it.
func (s *streamState) finalSize() (tell func()) {
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

// mark serves s at once, or puts it in the mailbox. The caller holds s.mu. If s is closed, it must
// not use s after that: see release.
func (s *streamState) mark() {
	// The function of OnFinalSize is for the loop's goroutine.
	if (s.rare == nil || s.rare.size == nil) && s.c.borrow() {
		l := s.c.l
		s.serveLocked()
		l.giveBack()
		return
	}
	s.post()
}

// post puts s in the mailbox. The caller holds s.mu.
func (s *streamState) post() {
	if !s.dirty {
		s.dirty = true
		s.c.l.mail.stream(s)
	}
}

// start lets the loop bring received data from now on.
func (s *streamState) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pull {
		s.pull = true
		s.post() // whoever accepts streams needs no stack to serve them
	}
}

// setDeadline moves a deadline. The caller holds s.mu.
func (s *streamState) setDeadline(which func(*rarities) **deadline.Deadline, t time.Time) error {
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

// closeWrite is Stream.CloseWrite. The caller holds s.mu.
func (s *streamState) closeWrite() error {
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

// endContext ends the context if it is time. The caller holds s.mu, and calls it after it has set
// an error.
func (s *streamState) endContext() {
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
func (s *streamState) finish() {
	defer s.endContext()
	s.out.fin, s.out.err = true, errWriteClosed
	s.c.deliveries.begin()
	s.changed.Broadcast()
}

// close is Stream.Close. The caller holds s.mu.
func (s *streamState) close() error {
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

// reset is Stream.Reset. The caller holds s.mu.
func (s *streamState) reset(code uint64) {
	if s.out.done || s.out.reset {
		return
	}
	s.out.reset, s.out.code = true, code
	if s.out.by != nil {
		s.out.by.ending = true
	}
	s.failWrite(&conn.StreamError{ID: s.handle.id, Code: code})
	s.mark()
}

// resetAt asks for what Stream.ResetAt does, and returns the channel for its error. The caller
// holds s.mu.
func (s *streamState) resetAt(code, size uint64) (done <-chan error, err error) {
	o := &s.out
	switch {
	case o.done || s.closed:
		err = o.err
	case s.resetting() != nil:
		err = errors.New("loop: ResetAt is under way")
	case size > o.buf.End():
		err = errors.New("loop: ResetAt beyond what was written")
	}
	if err != nil {
		return nil, err
	}
	at := &resetAt{code, size, make(chan error, 1)}
	s.rarely().at = at
	s.mark()
	return at.done, nil
}

// stopSending reports whether the loop is to call StopSending when it serves s. The caller holds
// s.mu.
func (s *streamState) stopSending(code uint64) (stop bool) {
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
		i.err = &conn.StreamError{ID: s.handle.id, Code: code}
		s.endContext()
	}
	s.changed.Broadcast()
	return stop
}
