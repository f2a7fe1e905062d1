// Package qerr has the errors of connections.
package qerr

import (
	"fmt"
	"net"

	"github.com/quic-go/quic-go/internal/protocol"
)

// An ApplicationErrorCode is the code with which an application closes a connection.
type ApplicationErrorCode uint64

// A StreamErrorCode is the code with which an application ends a stream.
type StreamErrorCode uint64

// side names who ended something.
func side(remote bool) string {
	if remote {
		return "remote"
	}
	return "local"
}

// A TransportError ends a connection because QUIC or TLS found an error.
type TransportError struct {
	Remote       bool
	FrameType    uint64
	ErrorCode    TransportErrorCode
	ErrorMessage string

	cause error // if this side found the error and the cause is known
}

// NewTransportError returns a TransportError of this side that unwraps to cause.
func NewTransportError(code TransportErrorCode, message string, cause error) *TransportError {
	return &TransportError{ErrorCode: code, ErrorMessage: message, cause: cause}
}

// Error names the code and the side, and says why.
func (e *TransportError) Error() string {
	s := fmt.Sprintf("%s (%s)", e.ErrorCode, side(e.Remote))
	if e.FrameType != 0 {
		s += fmt.Sprintf(" (frame type: %#x)", e.FrameType)
	}
	why := e.ErrorMessage
	if e.Remote && e.ErrorCode.IsCryptoError() && why != "" {
		why = e.ErrorCode.Message() + ": " + why
	}
	if why == "" && e.cause != nil {
		why = e.cause.Error()
	}
	if why == "" {
		why = e.ErrorCode.Message()
	}
	if why == "" {
		return s
	}
	return s + ": " + why
}

// Unwrap returns net.ErrClosed and the cause.
func (e *TransportError) Unwrap() []error { return []error{net.ErrClosed, e.cause} }

// Is reports whether target is a TransportError with the same code, frame type and side.
func (e *TransportError) Is(target error) bool {
	t, ok := target.(*TransportError)
	return ok && t.ErrorCode == e.ErrorCode && t.FrameType == e.FrameType && t.Remote == e.Remote
}

// An ApplicationError ends a connection because an application closed it.
type ApplicationError struct {
	Remote       bool
	ErrorCode    ApplicationErrorCode
	ErrorMessage string
}

// Error names the code and the side, and says why.
func (e *ApplicationError) Error() string {
	s := fmt.Sprintf("Application error %#x (%s)", uint64(e.ErrorCode), side(e.Remote))
	if e.ErrorMessage != "" {
		s += ": " + e.ErrorMessage
	}
	return s
}

// Unwrap returns net.ErrClosed.
func (e *ApplicationError) Unwrap() error { return net.ErrClosed }

// Is reports whether target is an ApplicationError with the same code and side.
func (e *ApplicationError) Is(target error) bool {
	t, ok := target.(*ApplicationError)
	return ok && t.ErrorCode == e.ErrorCode && t.Remote == e.Remote
}

// An IdleTimeoutError says that nothing came from the peer for too long.
type IdleTimeoutError struct{}

// Error says so.
func (*IdleTimeoutError) Error() string { return "timeout: no recent network activity" }

// Timeout is part of net.Error.
func (*IdleTimeoutError) Timeout() bool { return true }

// Temporary is part of net.Error.
func (*IdleTimeoutError) Temporary() bool { return false }

// Unwrap returns net.ErrClosed.
func (*IdleTimeoutError) Unwrap() error { return net.ErrClosed }

// A HandshakeTimeoutError says that the handshake took too long.
type HandshakeTimeoutError struct{}

// Error says so.
func (*HandshakeTimeoutError) Error() string { return "timeout: handshake did not complete in time" }

// Timeout is part of net.Error.
func (*HandshakeTimeoutError) Timeout() bool { return true }

// Temporary is part of net.Error.
func (*HandshakeTimeoutError) Temporary() bool { return false }

// Unwrap returns net.ErrClosed.
func (*HandshakeTimeoutError) Unwrap() error { return net.ErrClosed }

// A VersionNegotiationError says that client and server have no version in common. Theirs is empty,
// because Lazo does not report the versions of the peer.
type VersionNegotiationError struct {
	Ours   []protocol.Version
	Theirs []protocol.Version
}

// Error names the versions.
func (e *VersionNegotiationError) Error() string {
	return fmt.Sprintf("no compatible QUIC version found (we support %s, server offered %s)", e.Ours, e.Theirs)
}

// Unwrap returns net.ErrClosed.
func (*VersionNegotiationError) Unwrap() error { return net.ErrClosed }

// A StatelessResetError says that the peer does not know the connection any more.
type StatelessResetError struct{}

// Error says so.
func (*StatelessResetError) Error() string { return "received a stateless reset" }

// Timeout is part of net.Error.
func (*StatelessResetError) Timeout() bool { return false }

// Temporary is part of net.Error.
func (*StatelessResetError) Temporary() bool { return true }

// Unwrap returns net.ErrClosed.
func (*StatelessResetError) Unwrap() error { return net.ErrClosed }
