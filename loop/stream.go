package loop

import (
	"cmp"
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/deadline"
)

// A Stream is a [net.Conn], and one direction of one for [conn.Uni]. One goroutine
// may read while another writes.
//
// Up to 256 KiB of each direction wait between the application and the connection, which has
// buffers of its own besides. They cost memory only while they wait.
type Stream struct {
	// A Stream is small, and its state serves other streams when this one is over: memory that is
	// new again and again is not in the caches of a CPU. state is nil then.
	state atomic.Pointer[streamState]
	c     *Conn
	id    conn.StreamID
	early bool // guarded by the mutex of the state
}

// lock locks the state of s, and returns it. It returns nil if the stream is over: both directions
// have ended, and it is closed. Methods then do what they would do on any closed stream.
func (s *Stream) lock() *streamState {
	st := s.state.Load()
	if st == nil {
		return nil
	}
	st.mu.Lock()
	if st.handle != s {
		st.mu.Unlock() // it serves another stream by now
		return nil
	}
	return st
}

// OnFinalSize has f called once with the number of bytes that the peer sends in all. f is called
// when the peer has ended or reset the stream, as soon as the loop learns that, which is at the
// latest when data before the end was taken from the connection. It is called before OnFinalSize
// returns if the size is known already, and never if the connection ends first. A later call
// replaces f; nil means none. f runs on the loop's goroutine, and must not block or use the
// Stream. OnFinalSize asks the loop and waits for it.
func (s *Stream) OnFinalSize(f func(size uint64)) {
	s.c.l.mayWait("OnFinalSize")
	s.c.l.Do(context.Background(), func(time.Time) {
		st := s.lock()
		if st == nil {
			return
		}
		st.rarely().size = f
		tell := st.finalSize()
		st.mu.Unlock()
		tell()
	})
}

// ID returns the stream's ID.
func (s *Stream) ID() conn.StreamID { return s.id }

// Early is [conn.Stream.Early].
func (s *Stream) Early() bool {
	if st := s.lock(); st != nil {
		defer st.mu.Unlock()
	}
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
	st := s.lock()
	if st == nil {
		return errStreamClosed
	}
	defer st.mu.Unlock()
	return st.setDeadline(which, t)
}

// CloseWrite sends FIN after what was written, and does not wait.
func (s *Stream) CloseWrite() error {
	st := s.lock()
	if st == nil {
		return errStreamClosed
	}
	defer st.mu.Unlock()
	return st.closeWrite()
}

// Context returns a context that is done when nothing more can be written: after Close,
// CloseWrite, Reset or ResetAt, when the peer stops the stream, and when the connection ends. If
// the stream only receives, it is done when the end or an error has come. context.Cause is the
// error that Write, or Read, returns. Its values are those of [Conn.Context].
func (s *Stream) Context() context.Context {
	st := s.lock()
	if st == nil {
		ctx, cancel := context.WithCancelCause(s.c.ctx)
		cancel(errStreamClosed)
		return ctx
	}
	defer st.mu.Unlock()
	r := st.rarely()
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancelCause(s.c.ctx)
		st.endContext()
	}
	return r.ctx
}

// OnWriteEnd has f called once when the context that Context returns is done, with its cause. It is
// called before OnWriteEnd returns if that is so already. A protocol that has contexts of its own
// for streams needs none of s then. s is locked meanwhile: f must not block, and must not use s.
func (s *Stream) OnWriteEnd(f func(err error)) {
	st := s.lock()
	if st == nil {
		f(errStreamClosed)
		return
	}
	defer st.mu.Unlock()
	st.ended = f
	st.endContext()
}

// Close ends both directions: CloseWrite, and StopSending with code 0 if the
// end has not been read. It does not wait. A stream that is not closed is a leak.
func (s *Stream) Close() error {
	st := s.lock()
	if st == nil {
		return errStreamClosed
	}
	defer st.mu.Unlock()
	return st.close()
}

// Reset abandons sending, as [conn.Stream.Reset] does. What was written and has not
// arrived may be lost.
func (s *Stream) Reset(code uint64) {
	if st := s.lock(); st != nil {
		defer st.mu.Unlock()
		st.reset(code)
	}
}

// ResetAt abandons sending, but the first size bytes still arrive: see
// [conn.Stream.ResetAt]. It waits until the connection has taken these.
func (s *Stream) ResetAt(code, size uint64) error {
	s.c.l.mayWait("Stream.ResetAt")
	st := s.lock()
	if st == nil {
		return errStreamClosed
	}
	done, err := st.resetAt(code, size)
	st.mu.Unlock()
	if err != nil {
		return err
	}
	return <-done
}

// StopSending abandons receiving, as [conn.Stream.StopSending] does. What was received
// and not read is lost.
func (s *Stream) StopSending(code uint64) { s.StopReading(code) }

// StopReading is StopSending. It returns how many bytes s had taken from the connection, but no
// Read will return. A protocol that gives its own credit for what is read needs this number.
func (s *Stream) StopReading(code uint64) (unread int) {
	st := s.lock()
	if st == nil {
		return 0
	}
	defer st.mu.Unlock()
	unread = st.in.buf.Len()
	if st.stopSending(code) {
		st.mark()
	}
	return unread
}

// SetRedundant is [conn.Stream.SetRedundant]: data that is written from now on takes every path of
// a connection with multipath, and comes as soon as the fastest of them carries it.
func (s *Stream) SetRedundant(redundant bool) {
	if st := s.lock(); st != nil {
		defer st.mu.Unlock()
		st.rarely().copies = &redundant
		st.mark()
	}
}

// SetPriority is [conn.Stream.SetPriority].
func (s *Stream) SetPriority(p conn.Priority) {
	if st := s.lock(); st != nil {
		defer st.mu.Unlock()
		st.rarely().prio = &p
		st.mark()
	}
}
