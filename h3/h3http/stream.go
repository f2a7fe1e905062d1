package h3http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A Stream is a request stream that was taken over. As a [net.Conn] it reads and
// writes the content of DATA frames; Datagrams are those of RFC 9297. Errors are
// those of package conn; after Close they match [net.ErrClosed], and those for
// time match [os.ErrDeadlineExceeded] or are the context's.
type Stream struct {
	x      *exchange
	ctx    context.Context
	cancel context.CancelCauseFunc // of ctx
	mute   bool                    // no header was sent, and none can be
}

var _ net.Conn = (*Stream)(nil)

// newStream takes over the stream of x.
func newStream(x *exchange) *Stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return newStreamLocked(x)
}

func newStreamLocked(x *exchange) *Stream {
	x.takeDatagrams()
	x.c.wake(x)
	ctx, cancel := context.WithCancelCause(x.c.handle.Context())
	x.life.whenFailed(cancel)
	return &Stream{x: x, ctx: ctx, cancel: cancel}
}

// TakeStream takes the stream from a handler. It sends the header, status 200
// unless WriteHeader was called. r.Body and w must not be used any more, and the
// handler may return; the stream lasts until Close. It unwraps w as
// [http.NewResponseController] does. The error matches [http.ErrNotSupported] if w is
// not of this package.
func TakeStream(w http.ResponseWriter) (*Stream, error) {
	r, err := responseOf(w)
	if err != nil {
		return nil, err
	}
	if err := r.FlushError(); err != nil {
		return nil, err
	}
	return r.take()
}

// TakeUnanswered is like TakeStream, but sends no header unless WriteHeader was called. If it was
// not, nothing can be written, and CloseWrite and Close reset the stream with H3_INTERNAL_ERROR.
// The error matches [http.ErrHijacked] if some of the body was written.
func TakeUnanswered(w http.ResponseWriter) (*Stream, error) {
	r, err := responseOf(w)
	switch {
	case err != nil:
		return nil, err
	case r.written > 0:
		return nil, fmt.Errorf("h3http: the body was begun: %w", http.ErrHijacked)
	case r.wroteHeader:
		return TakeStream(w)
	case r.taken || r.handlerDone:
		return nil, http.ErrHijacked
	}
	s, err := r.take()
	if err == nil {
		s.mute = true
	}
	return s, err
}

// take takes the stream from the handler.
func (w *response) take() (*Stream, error) {
	if !w.enter() {
		return nil, http.ErrHijacked
	}
	defer w.x.mu.Unlock()
	w.taken = true
	return newStreamLocked(&w.x.exchange), nil
}

// responseOf returns what w is or wraps.
func responseOf(w http.ResponseWriter) (*response, error) {
	for {
		switch t := w.(type) {
		case *response:
			return t, nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil, errNotH3
		}
	}
}

var errNotH3 = errors.Join(errors.New("h3http: TakeStream of a ResponseWriter of another package"), http.ErrNotSupported)

// Account returns the account of the stream's connection, which counts what a protocol above keeps:
// see [loop.Account].
func (s *Stream) Account() *loop.Account { return s.x.c.pool.account }

// ID returns the ID of the stream, which flows of datagrams go by.
func (s *Stream) ID() conn.StreamID { return s.x.id }

// Context returns a context that is done when a direction of the stream has failed or was given up,
// when s was closed or canceled, and when the connection has ended. Its values are those of
// [loop.Conn.Context].
func (s *Stream) Context() context.Context { return s.ctx }

// SetPriority sets the order in which this side sends: see [conn.Stream.SetPriority]. Streams of a
// server begin with what the client asked for. SetPriority waits for the loop.
func (s *Stream) SetPriority(p conn.Priority) {
	s.x.c.handle.Do(context.Background(), func(time.Time, *conn.Conn) {
		if s.x.stream != nil {
			s.x.stream.SetPriority(p)
		}
	})
}

// Read reads from the content of DATA frames. It returns io.EOF after the end.
func (s *Stream) Read(p []byte) (int, error) { return s.x.read(p) }

// Write sends p in DATA frames. It waits for room in the send buffer, not for delivery.
func (s *Stream) Write(p []byte) (int, error) {
	if s.mute {
		return 0, errMute
	}
	return s.x.write(p, 0)
}

// TryWrite sends all of p if there is room in the send buffer now. Otherwise it sends nothing, and
// returns an error that matches [conn.ErrWouldBlock]. It does not wait, and ignores the deadline.
func (s *Stream) TryWrite(p []byte) error {
	if s.mute {
		return errMute
	}
	return s.x.tryWrite(p)
}

// CloseWrite ends the sending direction after what was written, and does not wait.
func (s *Stream) CloseWrite() error {
	if s.mute {
		s.Reset(h3.InternalError)
		return nil
	}
	return s.x.closeWrite(nil)
}

// Close ends both directions: it calls CloseWrite, and stops what the peer still sends. It does
// not wait. A Stream that is not closed is a leak. Close returns an error if the connection has
// ended, so that what was written may be lost, and if s was closed before. It returns no error if
// only the peer has stopped the stream.
func (s *Stream) Close() error {
	if s.mute {
		s.Reset(h3.InternalError)
	}
	err, first := s.x.end()
	s.cancel(errStreamClosed)
	if !first {
		return errStreamClosed
	}
	if _, ended := errors.AsType[*connectionError](err); ended {
		return err
	}
	return nil
}

// Errors of calls after Close and CloseWrite. They name both, as for a Stream of package loop: a
// program that reads the answer after Close meant CloseWrite.
var (
	errStreamClosed = fmt.Errorf("h3http: use of closed stream (Close ends both directions, CloseWrite only sending): %w", net.ErrClosed)
	errMute         = errors.New("h3http: the response has no header")
	errWriteClosed  = fmt.Errorf("h3http: write after CloseWrite: %w", net.ErrClosed)
)

// Cancel abandons both directions: the stream is reset and stopped with code. Like
// Close it ends the use of s.
func (s *Stream) Cancel(code h3.ErrorCode) {
	s.x.cancel(code, net.ErrClosed)
	s.x.finish()
	s.cancel(errStreamClosed)
}

// StopSending abandons receiving: the peer is stopped with code (RFC 9114, Section
// 4.1.1), and Read fails with an error that matches [net.ErrClosed]. Sending goes on.
func (s *Stream) StopSending(code h3.ErrorCode) { s.x.cancelIn(code, net.ErrClosed) }

// Reset abandons sending: the stream is reset with code, and what was written
// and has not arrived may be lost. Write fails with an error that matches
// [net.ErrClosed]. Receiving goes on. After CloseWrite it has no effect.
func (s *Stream) Reset(code h3.ErrorCode) { s.x.cancelOut(code, net.ErrClosed) }

// CancelRead is StopSending.
//
// Deprecated: use [Stream.StopSending].
func (s *Stream) CancelRead(code h3.ErrorCode) { s.StopSending(code) }

// CancelWrite is Reset.
//
// Deprecated: use [Stream.Reset].
func (s *Stream) CancelWrite(code h3.ErrorCode) { s.Reset(code) }

// LocalAddr and RemoteAddr return the ends of the current path, each a *net.UDPAddr.
func (s *Stream) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(s.x.c.handle.LocalAddr())
}

// RemoteAddr returns the address of the peer.
func (s *Stream) RemoteAddr() net.Addr {
	return net.UDPAddrFromAddrPort(s.x.c.handle.RemoteAddr())
}

// SetDeadline sets the deadlines of Read and Write; the zero Time is none.
func (s *Stream) SetDeadline(t time.Time) error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.setReadDeadline(t)
	s.x.setWriteDeadline(t, false)
	return nil
}

// SetReadDeadline sets the deadline of Read.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.setReadDeadline(t)
	return nil
}

// SetWriteDeadline sets the deadline of Write.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.setWriteDeadline(t, false)
	return nil
}
