package qerr

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
)

// Translated returns the error of this package for one of Lazo that has ended a connection.
// Other errors, and nil, stay as they are.
func Translated(err error) error {
	if e, ok := errors.AsType[*conn.ApplicationError](err); ok {
		return &ApplicationError{Remote: e.Remote, ErrorCode: ApplicationErrorCode(e.Code), ErrorMessage: e.Reason}
	}
	if e, ok := errors.AsType[*conn.TransportError](err); ok {
		t := NewTransportError(TransportErrorCode(e.Code), e.Reason, e.Err)
		t.Remote, t.FrameType = e.Remote, e.Frame
		if t.ErrorCode.IsCryptoError() {
			t.FrameType = 0 // quic-go sends none for an alert of TLS
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
