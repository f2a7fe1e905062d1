package qerr

import (
	"errors"
	"os"

	"github.com/lazoquic/lazo/conn"
)

// A DeadlineError says that the deadline of a stream has passed.
type DeadlineError struct{}

// Error has the text that programs know.
func (DeadlineError) Error() string { return "deadline exceeded" }

// Timeout makes it a net.Error.
func (DeadlineError) Timeout() bool { return true }

// Temporary makes it a net.Error.
func (DeadlineError) Temporary() bool { return true }

// Unwrap returns [os.ErrDeadlineExceeded].
func (DeadlineError) Unwrap() error { return os.ErrDeadlineExceeded }

// Translated returns the error of this package for one of Lazo that has ended a connection.
// Other errors, and nil, stay as they are.
func Translated(err error) error {
	if err == os.ErrDeadlineExceeded {
		return DeadlineError{}
	}
	if e, ok := errors.AsType[*conn.ApplicationError](err); ok {
		return &ApplicationError{Remote: e.Remote, ErrorCode: ApplicationErrorCode(e.Code), ErrorMessage: e.Reason}
	}
	if e, ok := errors.AsType[*conn.TransportError](err); ok {
		t := NewTransportError(TransportErrorCode(e.Code), e.Reason, e.Err)
		t.Remote, t.FrameType = e.Remote, e.Frame
		if t.ErrorCode.IsCryptoError() {
			t.FrameType = 0 // quic-go sends none for an alert of TLS
			if t.ErrorMessage == t.ErrorCode.Message() {
				t.ErrorMessage = "" // nor its name, which Error says anyway
			}
		}
		return t
	}
	if e, ok := errors.AsType[*conn.UnreachableError](err); ok {
		return NewTransportError(InternalError, e.Err.Error(), e.Err)
	}
	switch {
	case errors.Is(err, conn.ErrIdleTimeout):
		return new(IdleTimeoutError)
	case errors.Is(err, conn.ErrHandshakeTimeout):
		return new(HandshakeTimeoutError)
	case errors.Is(err, conn.ErrStatelessReset):
		return new(StatelessResetError)
	}
	return err
}
