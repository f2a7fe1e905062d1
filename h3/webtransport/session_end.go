package webtransport

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
)

// lingerTime is how long this side waits, after a session has ended, for the peer to end the
// CONNECT stream too.
const lingerTime = 3 * time.Second

// Draining returns a channel that is closed when the peer wants the session, and perhaps the
// connection, to end. Everything goes on working, but the application should finish and close the
// session.
func (s *Session) Draining() <-chan struct{} { return s.draining }

// Drain asks the peer to finish: see Draining.
func (s *Session) Drain() error {
	if err := s.ended(); err != nil {
		return err
	}
	return s.explain(s.write(dgram.AppendCapsule(nil, capsuleDrain, nil)))
}

// write writes a capsule.
func (s *Session) write(b []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.connect.Write(b)
	return err
}

// tryWrite writes capsules if there is room for them now, and reports whether it did. It does not
// wait.
func (s *Session) tryWrite(b []byte) bool {
	if !s.writing.TryLock() {
		return false
	}
	defer s.writing.Unlock()
	return s.connect.TryWrite(b) == nil
}

// gotDrain notes that the peer asks for the end of the session.
func (s *Session) gotDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drained {
		s.drained = true
		close(s.draining)
	}
}

// Close is CloseWithError with code 0 and no reason.
func (s *Session) Close() error { return s.CloseWithError(0, "") }

// CloseWithError ends the session, and tells the peer code and reason. The reason is text,
// shortened to 1024 bytes. Streams end even if their data has not all arrived. A session that has
// ended stays as it is, but its datagrams that were not received are dropped. It does not wait: see
// [Dialer.Close].
func (s *Session) CloseWithError(code uint32, reason string) error {
	reason = truncate(strings.ToValidUTF8(reason, "\uFFFD"))
	if !s.end(&SessionError{Code: code, Reason: reason}, nil) {
		s.dropDatagrams()
		return nil
	}
	s.abandonStreams()
	// draft-ietf-webtrans-http3-15, Section 6: the end of the stream follows at once. Then run
	// waits for the peer's end.
	s.connect.SetReadDeadline(time.Now().Add(lingerTime))
	err := s.write(appendClose(nil, code, reason))
	return errors.Join(err, s.connect.CloseWrite())
}

// abort ends the session because of what the peer did, by a reset of the CONNECT stream with code.
func (s *Session) abort(err error, code h3.ErrorCode) {
	if s.end(&SessionError{Err: err}, nil) {
		s.connect.Cancel(code)
		s.abandonStreams()
	}
}

// end notes that the session has ended. Datagrams in kept can still be received. It reports false
// if the session had ended before.
func (s *Session) end(err *SessionError, kept *keptDatagrams) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		kept.drop()
		return false
	}
	s.err, s.kept = err, kept
	s.cancel(err)
	return true
}

// endBehind is end because of what came on the CONNECT stream. Datagrams that came before can still
// be received. It must not run on the loop's goroutine.
func (s *Session) endBehind(err *SessionError) bool {
	return s.ended() == nil && s.end(err, s.keepDatagrams())
}

// dropDatagrams drops the datagrams that were kept.
func (s *Session) dropDatagrams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.drop()
}

// abandonStreams ends the streams of a session that has ended, and its calls of OpenStream. It must
// not run on the loop's goroutine.
func (s *Session) abandonStreams() {
	s.mu.Lock()
	streams := s.streams
	s.streams = nil
	for dir := range s.arrived {
		s.arrived[dir].streams = nil
	}
	s.mu.Unlock()
	for st := range streams {
		st.abandon()
	}
	s.m.handle.Loop().Post(func(time.Time) { s.m.open() })
}

// sessionCost is what counts for a session beside its request, in bytes: itself, a buffer for its
// capsules, and those of flow control that the loop handles at once.
const sessionCost = 2 << 10

// run reads capsules until the CONNECT stream ends.
func (s *Session) run() {
	hold := s.connect.Account().Hold
	hold(sessionCost)
	defer hold(-sessionCost)
	err := s.readCapsules()
	ended := s.endBehind(s.endError(err))
	switch {
	case ended && s.m.ended():
		// The streams have ended with the connection. They are not closed here, because what they
		// have received stays readable.
		s.m.handle.Loop().Post(func(time.Time) { s.m.open() })
	default:
		switch {
		case errors.Is(err, errMalformed):
			s.connect.Cancel(h3.MessageError)
		case errors.Is(err, ErrFlowControl):
			s.connect.Cancel(FlowControlError)
		}
		if ended {
			s.abandonStreams()
		}
		s.connect.Close()
	}
	s.m.handle.Loop().Post(func(time.Time) { s.m.remove(s) })
}

// readCapsules returns why no more capsules come. If the peer closed the session, this is a
// *SessionError, otherwise the error of reading.
func (s *Session) readCapsules() error {
	r := newCapsuleReader(s.connect)
	r.flow = s.flow != nil
	var limits []capsule
	for {
		c, err := r.next()
		if err != nil {
			return err
		}
		switch c.typ {
		case capsuleDrain:
			s.gotDrain()
		case capsuleClose:
			closed := &SessionError{Code: c.code, Reason: c.reason, Remote: true}
			if s.endBehind(closed) {
				s.abandonStreams()
			}
			s.connect.CloseWrite()
			s.connect.SetReadDeadline(time.Now().Add(lingerTime))
			if n, _ := r.r.Read(make([]byte, 1)); n > 0 {
				return malformed("data behind WT_CLOSE_SESSION")
			}
			return closed
		default:
			limits = r.limits(append(limits[:0], c))
			if err := s.handleLimits(limits); err != nil {
				return err
			}
		}
	}
}

// handleLimits has the loop handle capsules of flow control.
func (s *Session) handleLimits(limits []capsule) error {
	var broken error
	err := s.m.run(func() {
		for i := 0; i < len(limits) && broken == nil; i++ {
			broken = s.flow.handle(limits[i])
		}
	})
	return cmp.Or(err, broken)
}

// endError returns what the end of the CONNECT stream means for the session.
func (s *Session) endError(err error) *SessionError {
	if err == io.EOF {
		// draft-ietf-webtrans-http3-15, Section 6: this means the same as a close without an error.
		return &SessionError{Remote: true}
	}
	if se, ok := errors.AsType[*SessionError](err); ok {
		return se
	}
	if se, ok := errors.AsType[*conn.StreamError](err); ok {
		return &SessionError{Remote: se.Remote, Err: err}
	}
	return &SessionError{Err: err}
}
