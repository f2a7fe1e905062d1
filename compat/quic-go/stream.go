package quic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A stream is what SendStream, ReceiveStream and Stream share. It wraps a stream of Lazo, and
// closes that after both directions have ended.
type stream struct {
	c     *Conn
	ls    *loop.Stream
	local bool // opened by this side

	reading sync.Mutex // held while Read or Peek waits
	count   int64      // bytes taken from ls; guarded by reading

	writing sync.Mutex // held while Write waits

	mu       sync.Mutex
	rerr     error // of Read from now on; nil while receiving goes on
	werr     error // of Write from now on; nil while sending goes on
	released bool  // ReleaseStreamCredit was called, or is not needed
	closed   bool  // ls is closed
	wasEnded bool  // Close came before CancelWrite

	closeFailed bool // Close has said that the stream was canceled

	written  uint64
	reliable uint64 // how many bytes SetReliableBoundary has marked
	final    func(int64)
	finalAt  int64 // the size if it is known, else -1
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

var (
	errNoReceiving = errors.New("quic: the stream does not receive")
	errNoSending   = errors.New("quic: the stream does not send")
)

func newStream(c *Conn, ls *loop.Stream, local bool) *stream {
	s := &stream{c: c, ls: ls, local: local, finalAt: -1}
	s.released = local || !c.cfg.RequireStreamCreditRelease
	if ls.ID().Dir() == conn.Uni {
		if local {
			s.rerr = errNoReceiving
		} else {
			s.werr = errNoSending
		}
	}
	return s
}

func (s *stream) id() StreamID { return StreamID(s.ls.ID()) }

// finish closes the stream of Lazo when both directions have ended. The caller holds s.mu.
func (s *stream) finish() {
	if s.rerr != nil && s.werr != nil && s.released && !s.closed {
		s.closed = true
		s.ls.Close()
	}
}

// ended reports whether err ends a direction, as opposed to a deadline.
func (s *stream) ended(err error) bool {
	var stopped *conn.StreamError
	return err == io.EOF || errors.As(err, &stopped) || errors.Is(err, conn.ErrClosed) || errors.Is(err, conn.ErrEarlyDataRejected)
}

// endRead translates err, and notes that receiving has ended with it, unless receiving has ended
// before. It returns the error with which receiving ended.
func (s *stream) endRead(err error) error {
	s.mu.Lock()
	if s.rerr == nil {
		s.rerr = err
		s.finish()
	}
	err = s.rerr
	s.mu.Unlock()
	return err
}

func (s *stream) readErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rerr
}

func (s *stream) read(p []byte) (n int, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.readErr(); err != nil {
		return 0, err
	}
	n, err = s.ls.Read(p)
	s.count += int64(n)
	if err == nil && n > 0 {
		// Some programs rely on io.EOF with the last bytes, and do not read again.
		if left, end := s.ls.Buffered(); left == 0 && end == io.EOF {
			err = io.EOF
		}
	}
	if err == nil {
		return n, nil
	}
	if ended := s.readErr(); ended != nil { // meanwhile: the stream of Lazo may be closed
		return n, ended
	}
	final := s.ended(err)
	if err == io.EOF {
		s.setFinal(s.count)
	}
	if err = s.c.explain(err); final {
		err = s.endRead(err)
	}
	return n, err
}

func (s *stream) peek(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.readErr(); err != nil {
		return 0, err
	}
	n, err = s.ls.Peek(p)
	if ended := s.readErr(); err != nil && ended != nil {
		return n, ended // CancelRead was called meanwhile
	}
	return n, s.c.explain(err)
}

func (s *stream) cancelRead(code StreamErrorCode) {
	if s.readErr() != nil {
		return
	}
	if err := s.c.ended(); err != nil {
		s.endRead(err)
		return
	}
	s.ls.StopSending(uint64(code))
	s.endRead(&StreamError{StreamID: s.id(), ErrorCode: code})
}

// endWrite notes that sending has ended with err, unless it has ended before. It returns the error
// with which sending ended.
func (s *stream) endWrite(err error) error {
	s.mu.Lock()
	if s.werr == nil {
		s.werr = err
		if s.cancel != nil {
			s.cancel(err)
		}
		s.finish()
	}
	err = s.werr
	s.mu.Unlock()
	return err
}

func (s *stream) writeErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.werr
}

// wrote notes how much a call of Lazo's stream has written, and translates its error.
func (s *stream) wrote(n int, err error) error {
	s.mu.Lock()
	s.written += uint64(n)
	closed := s.werr
	s.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case closed != nil: // meanwhile
		return closed
	case s.ended(err):
		return s.endWrite(s.c.explain(err))
	}
	return s.c.explain(err)
}

// maxUnsent is how many of the last bytes that Write has taken may wait for credit of the peer: as
// many as quic-go puts into a packet.
const maxUnsent = 1452

// write waits until all but maxUnsent bytes are sent, or can be.
func (s *stream) write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.writeSent(p)
}

// writeSent is write for a caller that holds s.writing.
func (s *stream) writeSent(p []byte) (int, error) {
	if err := s.writeErr(); err != nil {
		return 0, err
	}
	n, err := s.ls.WriteSent(p, maxUnsent)
	return n, s.wrote(n, err)
}

func (s *stream) tryWriteAll(p []byte) error {
	if !s.writing.TryLock() {
		return ErrWouldBlock
	}
	defer s.writing.Unlock()
	if err := s.writeErr(); err != nil {
		return err
	}
	err := s.ls.TryWrite(p)
	if errors.Is(err, conn.ErrWouldBlock) {
		return ErrWouldBlock
	}
	if err == nil {
		return s.wrote(len(p), nil)
	}
	return s.wrote(0, err)
}

// limitStep is how many bytes a limiter is asked for at once.
const limitStep = 16 << 10

func (s *stream) writeWithLimit(p []byte, limiter func(maxBytes int) int) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if limiter == nil {
		return s.writeSent(p)
	}
	for n < len(p) {
		if err := s.writeErr(); err != nil {
			return n, err
		}
		want := min(len(p)-n, limitStep)
		may := min(max(limiter(want), 0), want)
		k, err := s.writeSent(p[n : n+may])
		if n += k; err != nil {
			return n, err
		}
		if may < want {
			return n, ErrWriteLimitReached
		}
	}
	return n, nil
}

func (s *stream) closeWrite() error {
	if err := s.writeErr(); err != nil {
		return s.closeCanceled(err)
	}
	err := s.ls.CloseWrite()
	if err == nil {
		s.endWrite(ErrStreamClosed)
		return nil
	}
	return s.closeCanceled(s.wrote(0, err))
}

// closeCanceled returns the error of Close after sending has ended with err. Only the first Close
// of a stream that was canceled has one.
func (s *stream) closeCanceled(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, canceled := err.(*StreamError); !canceled || s.wasEnded || s.closeFailed {
		return nil
	}
	s.closeFailed = true
	return fmt.Errorf("close called for canceled stream %d", s.id())
}

func (s *stream) cancelWrite(code StreamErrorCode) {
	s.mu.Lock()
	err, reliable := s.werr, s.reliable
	s.mu.Unlock()
	switch err {
	case nil:
		if err := s.c.ended(); err != nil {
			s.endWrite(err)
			return
		}
		if reliable == 0 || s.ls.ResetAt(uint64(code), reliable) != nil {
			s.ls.Reset(uint64(code))
		}
		s.endWrite(&StreamError{StreamID: s.id(), ErrorCode: code})
	case ErrStreamClosed: // data that was sent may be lost now
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ls.Reset(uint64(code))
		s.werr, s.wasEnded = &StreamError{StreamID: s.id(), ErrorCode: code}, true
	}
}

// context returns a context that ends with sending.
func (s *stream) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		parent := s.c.ctx
		if s.werr != nil {
			parent = context.WithoutCancel(parent) // that may have ended since, for another reason
		}
		s.ctx, s.cancel = context.WithCancelCause(parent)
		if s.wasEnded {
			s.cancel(ErrStreamClosed)
		} else if s.werr != nil {
			s.cancel(s.werr)
		}
		s.ls.OnWriteEnd(s.lost)
	}
	return s.ctx
}

// lost ends the context when sending has failed for another reason than a call of this side, or
// than the end of the connection. With that the parent of the context ends. Lazo's stream is locked.
func (s *stream) lost(err error) {
	stopped, ok := errors.AsType[*conn.StreamError](err)
	if ok && stopped.Remote || errors.Is(err, conn.ErrEarlyDataRejected) {
		s.cancel(translated(err))
	}
}

func (s *stream) setPriority(urgency int8, incremental bool) {
	s.ls.SetPriority(conn.Priority{Urgency: min(max(urgency, 0), 7) - 3, Incremental: incremental})
}

func (s *stream) setReliableBoundary() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, canceled := s.werr.(*StreamError); !canceled {
		s.reliable = s.written
	}
}

func (s *stream) releaseCredit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	s.finish()
}

// setFinal notes the final size of the stream.
func (s *stream) setFinal(n int64) {
	s.mu.Lock()
	f := s.final
	if s.finalAt >= 0 {
		f = nil
	}
	s.finalAt, s.final = n, nil
	s.mu.Unlock()
	if f != nil {
		f(n)
	}
}

// onFinal sets what is called with the size of what was received. Lazo tells it when the peer has
// ended or reset the stream. A stream that was read to its end may not be there any more.
func (s *stream) onFinal(f func(int64)) {
	s.mu.Lock()
	at := s.finalAt
	if at < 0 {
		s.final = f
	}
	s.mu.Unlock()
	switch {
	case at >= 0 && f != nil:
		f(at)
	case at < 0:
		s.ls.OnFinalSize(func(n uint64) { s.setFinal(int64(n)) })
	}
}

// setReadDeadline does nothing on a stream that has ended.
func (s *stream) setReadDeadline(t time.Time) error {
	if s.readErr() == nil {
		s.ls.SetReadDeadline(t)
	}
	return nil
}

// setWriteDeadline does nothing on a stream that has ended.
func (s *stream) setWriteDeadline(t time.Time) error {
	if s.writeErr() == nil {
		s.ls.SetWriteDeadline(t)
	}
	return nil
}
