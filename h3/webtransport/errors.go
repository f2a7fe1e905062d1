package webtransport

import (
	"errors"
	"fmt"
	"net"
	"unicode/utf8"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// A SessionError says why a session has ended. All calls of the session and of its streams return
// it from then on. After Close of this side it matches [net.ErrClosed].
type SessionError struct {
	Code   uint32 // the code of the application that closed the session
	Reason string // at most 1024 bytes
	Remote bool   // the peer closed it
	Err    error  // what broke the session, if nobody closed it
}

// Error returns what the fields say.
func (e *SessionError) Error() string {
	who := "closed"
	if e.Remote {
		who = "closed by peer"
	}
	switch {
	case e.Err != nil:
		return "webtransport: session lost: " + e.Err.Error()
	case e.Reason == "":
		return fmt.Sprintf("webtransport: session %s with code %d", who, e.Code)
	}
	return fmt.Sprintf("webtransport: session %s with code %d: %s", who, e.Code, e.Reason)
}

// Unwrap returns e.Err.
func (e *SessionError) Unwrap() error { return e.Err }

// Is makes an error of this side's Close match [net.ErrClosed].
func (e *SessionError) Is(target error) bool {
	return target == net.ErrClosed && !e.Remote && e.Err == nil
}

// A StreamError says that a direction of a stream was abandoned: by Reset or
// StopSending, of either side.
type StreamError struct {
	Code   uint32       // the code of the application
	HTTP   h3.ErrorCode // if not 0, the code on the wire, which no application can have given
	Remote bool         // the peer ended it
}

// Error returns what the fields say.
func (e *StreamError) Error() string {
	who := "here"
	if e.Remote {
		who = "by peer"
	}
	switch e.HTTP {
	case 0:
		return fmt.Sprintf("webtransport: stream abandoned %s with code %d", who, e.Code)
	case SessionGone:
		return "webtransport: stream ended with its session"
	case BufferedStreamRejected:
		return "webtransport: stream came too early for its session"
	}
	return fmt.Sprintf("webtransport: stream abandoned %s with %v", who, e.HTTP)
}

// streamError returns err with the code that the application knows.
func streamError(err error) error {
	if _, ok := err.(*SessionError); ok {
		return err // a *SessionError stays, even if it wraps a StreamError
	}
	se, ok := errors.AsType[*conn.StreamError](err)
	if !ok {
		return err
	}
	e := &StreamError{Remote: se.Remote}
	if code, ok := fromHTTP(se.Code); ok {
		e.Code = code
	} else {
		e.HTTP = h3.ErrorCode(se.Code)
	}
	return e
}

// maxReason is how many bytes the reason of a close may have
// (draft-ietf-webtrans-http3-15, Section 6).
const maxReason = 1024

// truncate returns s. If s is too long for a reason, it is cut between two characters.
func truncate(s string) string {
	if len(s) <= maxReason {
		return s
	}
	n := maxReason
	for n > maxReason-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

var errDir = errors.New("webtransport: streams are conn.Bidi or conn.Uni")
