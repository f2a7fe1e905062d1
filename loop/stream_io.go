package loop

import (
	"errors"
	"io"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
)

// Read reads what has arrived, and waits if nothing has. After the last byte it returns io.EOF. If
// the peer resets the stream, Read returns what had been taken from the connection before, and then
// the [conn.StreamError].
func (s *Stream) Read(p []byte) (int, error) {
	st := s.lock()
	if st == nil {
		return 0, errStreamClosed
	}
	defer st.mu.Unlock()
	return st.read(p)
}

// read is Stream.Read. The caller holds s.mu.
func (s *streamState) read(p []byte) (int, error) {
	i := &s.in
	for {
		switch {
		case s.closed:
			return 0, errStreamClosed
		case s.readLate():
			return 0, os.ErrDeadlineExceeded
		case i.buf.Len() > 0:
			n := i.buf.Read(&s.c.chunks, p)
			s.forgetRemains(n)
			if i.full && i.buf.Len() <= bufferSize/2 {
				i.full = false
				s.mark()
			}
			return n, nil
		case i.err != nil:
			return 0, i.err
		case len(p) == 0:
			return 0, nil
		}
		if n, ok := s.readLeft(p); n > 0 {
			return n, nil
		} else if ok {
			continue
		}
		s.mayWait("Stream.Read")
		i.wait = true
		first := i.into == nil
		if first {
			i.into = p
		}
		s.ask()
		if i.wait {
			s.wait()
		}
		if first {
			n := int(i.got)
			i.into, i.got = nil, 0
			if n > 0 {
				return n, nil
			}
		}
	}
}

// endReceiving notes the error that follows the last byte, if err is one. The caller holds s.mu.
func (s *streamState) endReceiving(err error) {
	if err != nil && (err == io.EOF || !errors.Is(err, conn.ErrWouldBlock)) {
		s.in.err, s.in.done = err, true
		s.endContext()
	}
}

// Buffered returns how many bytes Read returns without waiting, and the error of Read after these
// bytes. The error is nil if it is not known yet, and io.EOF if they are the last bytes.
func (s *Stream) Buffered() (n int, err error) {
	st := s.lock()
	if st == nil {
		return 0, errStreamClosed
	}
	defer st.mu.Unlock()
	if st.closed {
		return 0, errStreamClosed
	}
	if st.in.left {
		st.ask()
	}
	return st.in.buf.Len(), st.in.err
}

// Write copies p, and waits while there is no room. If it fails, it returns how much of p it has
// taken. That much is sent unless the stream or the connection failed.
func (s *Stream) Write(p []byte) (int, error) { return s.write(p, false) }

// WriteShared is Write for data that never changes, such as a file in memory or what
// many peers are told: it is not copied before it goes into packets.
func (s *Stream) WriteShared(p []byte) (int, error) { return s.write(p, true) }

// TryWrite writes all of p if there is room for it now. Otherwise it writes nothing, and returns an
// error that matches conn.ErrWouldBlock. It does not wait, and ignores the deadline. Bytes that it
// has taken may still wait in the stream for credit of the peer.
func (s *Stream) TryWrite(p []byte) error {
	st := s.lock()
	if st == nil {
		return errStreamClosed
	}
	defer st.mu.Unlock()
	o := &st.out
	switch {
	case o.err != nil:
		return o.err
	case len(p) > st.writeRoom()-o.buf.Len():
		return conn.ErrWouldBlock
	}
	o.buf.Write(&s.c.chunks, p)
	if !o.full {
		st.mark()
	}
	return nil
}

func (s *Stream) write(p []byte, shared bool) (n int, err error) {
	st := s.lock()
	if st == nil {
		return 0, errStreamClosed
	}
	defer st.mu.Unlock()
	return st.write(p, shared)
}

// write is Stream.Write, or Stream.WriteShared. The caller holds s.mu.
func (s *streamState) write(p []byte, shared bool) (n int, err error) {
	o := &s.out
	for {
		switch {
		case o.err != nil:
			return n, o.err
		case s.writeLate():
			return n, os.ErrDeadlineExceeded
		}
		if n == 0 && len(p) > 0 && len(p) <= chunkSize {
			n = s.writeThrough(p, shared)
		}
		if k := min(len(p)-n, s.writeRoom()-o.buf.Len()); k > 0 {
			if shared && k >= minShared {
				o.buf.Push(&s.c.chunks, s.c.chunks.lend(p[n:n+k]))
			} else {
				o.buf.Write(&s.c.chunks, p[n:n+k])
			}
			n += k
			if !o.full {
				s.mark()
			}
		}
		if n == len(p) {
			return n, nil
		}
		if o.buf.Len() < s.writeRoom() {
			continue // it was served at once
		}
		s.mayWait("Stream.Write")
		o.wait = true
		s.wait()
	}
}

// serve moves bytes between the stream's buffers and the connection, and carries out what the
// application has asked for. It runs on the loop's goroutine; a borrower calls serveLocked.
func (s *streamState) serve() {
	s.mu.Lock()
	s.dirty = false
	tell := s.serveLocked()
	s.mu.Unlock()
	tell()
}

// serveLocked is serve for a caller that holds s.mu. The caller then calls tell without s.mu: see
// finalSize.
func (s *streamState) serveLocked() (tell func()) {
	if s.s == nil || s.c.c.Err() != nil { // see finish, which says more than package conn
		return func() {}
	}
	s.command()
	s.send()
	s.look()
	s.receive()
	tell = s.finalSize()
	s.release()
	return tell
}

// command carries out calls that wait for the loop.
func (s *streamState) command() {
	if r := s.rare; r != nil {
		if r.prio != nil {
			s.s.SetPriority(*r.prio)
			r.prio = nil
		}
		if r.copies != nil {
			s.s.SetRedundant(*r.copies)
			r.copies = nil
		}
	}
	if s.out.reset {
		s.out.reset = false
		s.s.Reset(s.out.code)
		s.noteEnd()
	}
	if s.in.stop && !s.in.done {
		s.s.StopSending(s.in.code)
		s.in.done = true
	}
	s.handle.early = s.s.Early()
}

// send moves written bytes to the connection.
func (s *streamState) send() {
	o := &s.out
	if o.done {
		return
	}
	s.giveBack()
	for o.buf.Len() > 0 && !o.full {
		n, err := writeChunk(s.s, o.buf.First())
		o.buf.Discard(&s.c.chunks, n)
		if errors.Is(err, conn.ErrWouldBlock) {
			o.full = true
		} else if err != nil {
			s.noteEnd()
			s.failWrite(err)
			return
		}
	}
	if at := s.resetting(); at != nil && o.buf.Taken() >= at.size {
		s.rare.at = nil
		err := s.s.ResetAt(at.code, at.size)
		at.done <- err
		if err == nil {
			s.noteEnd()
			s.failWrite(&conn.StreamError{ID: s.handle.id, Code: at.code})
			return
		}
	}
	if o.fin && !o.sent && o.buf.Len() == 0 {
		s.sendFin()
	}
	if o.wait && o.buf.Len() <= s.writeRoom()/2 {
		o.wait = false
		s.changed.Broadcast()
		s.c.l.wokeBorrower()
	}
	s.noteSent()
}

// sendFin hands the end to the connection.
func (s *streamState) sendFin() {
	s.out.sent = true
	if err := s.s.CloseWrite(); err != nil {
		s.failWrite(err)
	}
}

// writeChunk writes the bytes of c to a stream of the connection. It makes no copy if it can.
func writeChunk(s *conn.Stream, c *fifo.Chunk) (int, error) {
	p := c.Bytes()
	if c.Lender != nil {
		return s.WriteLent(p, c.Lender)
	}
	if len(p) == len(c.Memory) {
		if spare := s.WriteChunk((*conn.Chunk)(p)); spare != nil {
			c.Memory = spare[:]
			return len(p), nil
		}
	}
	return s.Write(p)
}

// receive moves bytes from the connection to the reader's buffer, unless there are but a few.
func (s *streamState) receive() {
	i := &s.in
	if i.done || i.stop || !s.pull {
		return
	}
	room := s.readRoom()
	for i.buf.Len() < room {
		if i.into == nil && s.take() {
			continue
		}
		b, err := s.s.Peek(1)
		if s.deliver(b) || i.into != nil && len(b) > maxLeft && s.take() {
			continue
		}
		if s.leave(len(b)) {
			break
		}
		if len(b) == 0 {
			i.move = false
			s.endReceiving(err)
			break
		}
		b = b[:min(len(b), room-i.buf.Len())]
		i.buf.Write(&s.c.chunks, b)
		s.s.Discard(len(b))
	}
	i.full = i.buf.Len() >= room && !i.done
	if i.wait && (i.buf.Len() > 0 || i.got > 0 || i.left || i.done) {
		i.wait = false
		s.changed.Broadcast()
		s.c.l.wokeBorrower()
	}
}

// readRoom returns how many bytes the reader's buffer may hold now.
func (s *streamState) readRoom() int {
	least := 0
	if s.in.wait {
		least = chunkSize
		if s.rare != nil {
			least = max(least, s.rare.least)
		}
	}
	return s.c.account.Room(bufferSize, least)
}

// writeRoom returns how many bytes the writer's buffer may hold now.
func (s *streamState) writeRoom() int { return s.c.account.Room(bufferSize, chunkSize) }

// take moves bytes from the connection to the reader's buffer without a copy, by an exchange of
// chunks. It reports false if there is no chunk that is worth it.
func (s *streamState) take() bool {
	l := s.c.l
	if l.spare == nil {
		l.spare = l.chunks.Get(0)
	}
	own, from := s.s.TakeChunk((*conn.Chunk)(l.spare.Memory))
	if own == nil {
		return false
	}
	l.spare.Fill(own[:], from)
	s.c.chunks.adopt()
	s.in.buf.Push(&s.c.chunks, l.spare)
	l.spare = nil
	return true
}

// drain takes over everything that a closed connection still holds for the reader, as far as
// Loop.KeepRemains has room. If there is none, the rest is lost, and Read returns err at that
// place.
func (s *streamState) drain(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &s.in
	s.pull, i.left = true, false
	if i.stop {
		i.done = true
	}
	if n := i.buf.Len(); n > 0 {
		s.keepRemains(n+chunkSize, err) // the last chunk may not be full
	}
	for !i.done {
		b, ended := s.s.Peek(1)
		if len(b) == 0 {
			if ended != nil && !errors.Is(ended, conn.ErrWouldBlock) && !errors.Is(ended, conn.ErrClosed) {
				i.err, i.done = ended, true
			}
			break
		}
		n := len(b)
		if i.kept == 0 {
			n += chunkSize
		}
		if !s.keepRemains(n, err) {
			break
		}
		i.buf.Write(&s.c.chunks, b)
		s.s.Discard(len(b))
	}
}

// keepRemains counts n bytes that drain keeps. If there is no room, nothing more is kept, and Read
// returns err at that place. The caller holds s.mu.
func (s *streamState) keepRemains(n int, err error) bool {
	i := &s.in
	if s.c.l.KeepRemains(n) {
		i.kept += n
		return true
	}
	if i.kept == 0 {
		i.buf.Reset(&s.c.chunks)
	}
	i.err, i.done = err, true
	return false
}

// forgetRemains notes that n bytes were read or dropped, which drain may have kept. The caller
// holds s.mu.
func (s *streamState) forgetRemains(n int) {
	i := &s.in
	if i.kept == 0 {
		return
	}
	if i.buf.Len() == 0 {
		n = i.kept
	}
	i.kept -= n
	s.c.l.remains.release(n)
}

// fail ends both directions with err. Read returns err after the bytes that were received.
func (s *streamState) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteEnd()
	s.failWrite(err)
	if !s.in.done {
		s.in.done = true
		if s.in.err == nil {
			s.in.err = err
		}
	}
	s.endContext()
	s.changed.Broadcast()
}

// failWrite ends sending, and makes Write return err. The caller holds s.mu.
func (s *streamState) failWrite(err error) {
	o := &s.out
	if o.err == nil {
		o.err = err
	}
	s.endContext()
	o.buf.Reset(&s.c.chunks)
	if _, ok := errors.AsType[*conn.StreamError](err); ok {
		err = nil // nobody waits for the rest of a stream that was reset or stopped
	}
	s.endWrite(err)
	s.changed.Broadcast()
}

// endWrite notes that sending has ended and that the connection need not wait for it. If lost is
// nil, everything has arrived or nobody waits for it. The caller holds s.mu.
func (s *streamState) endWrite(lost error) {
	o := &s.out
	if o.done {
		return
	}
	o.done = true
	if at := s.resetting(); at != nil {
		at.done <- o.err
		s.rare.at = nil
	}
	if o.fin {
		s.c.deliveries.end(lost)
	}
}
