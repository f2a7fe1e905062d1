package quic

import (
	"errors"
	"fmt"
	"net"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go/internal/qerr"
)

// Errors that end a connection.
type (
	// TransportError ends a connection because QUIC or TLS found an error.
	TransportError = qerr.TransportError
	// ApplicationError ends a connection because an application closed it.
	ApplicationError = qerr.ApplicationError
	// VersionNegotiationError says that client and server have no version in common.
	VersionNegotiationError = qerr.VersionNegotiationError
	// StatelessResetError says that the peer does not know the connection any more.
	StatelessResetError = qerr.StatelessResetError
	// IdleTimeoutError says that nothing came from the peer for too long.
	IdleTimeoutError = qerr.IdleTimeoutError
	// HandshakeTimeoutError says that the handshake took too long.
	HandshakeTimeoutError = qerr.HandshakeTimeoutError
)

// Codes of errors.
type (
	// TransportErrorCode is an error code of QUIC.
	TransportErrorCode = qerr.TransportErrorCode
	// ApplicationErrorCode is the code with which an application closes a connection.
	ApplicationErrorCode = qerr.ApplicationErrorCode
	// StreamErrorCode is the code with which an application ends a stream.
	StreamErrorCode = qerr.StreamErrorCode
)

// The error codes of QUIC (RFC 9000, Section 20.1).
const (
	NoError                   = qerr.NoError
	InternalError             = qerr.InternalError
	ConnectionRefused         = qerr.ConnectionRefused
	FlowControlError          = qerr.FlowControlError
	StreamLimitError          = qerr.StreamLimitError
	StreamStateError          = qerr.StreamStateError
	FinalSizeError            = qerr.FinalSizeError
	FrameEncodingError        = qerr.FrameEncodingError
	TransportParameterError   = qerr.TransportParameterError
	ConnectionIDLimitError    = qerr.ConnectionIDLimitError
	ProtocolViolation         = qerr.ProtocolViolation
	InvalidToken              = qerr.InvalidToken
	ApplicationErrorErrorCode = qerr.ApplicationErrorErrorCode
	CryptoBufferExceeded      = qerr.CryptoBufferExceeded
	KeyUpdateError            = qerr.KeyUpdateError
	AEADLimitReached          = qerr.AEADLimitReached
	NoViablePathError         = qerr.NoViablePathError
)

// Errors of calls.
var (
	// Err0RTTRejected says that the server did not accept the early data of this client: see
	// [Conn.NextConnection].
	Err0RTTRejected = errors.New("0-RTT rejected")
	// ErrWouldBlock is returned by TryWriteAll when there is no room.
	ErrWouldBlock = errors.New("operation would block")
	// ErrWriteLimitReached is returned by WriteWithLimit when its limiter stops it.
	ErrWriteLimitReached = errors.New("write limit reached")
	// ErrStreamClosed is returned by writes after Close.
	ErrStreamClosed = errors.New("stream closed")
	// ErrPathClosed is returned by a Path after its Close.
	ErrPathClosed = errors.New("path closed")
	// ErrPathNotValidated is returned by Path.Switch before Probe.
	ErrPathNotValidated = errors.New("path not yet validated")
	// ErrServerClosed is returned by Accept after Close of the listener.
	ErrServerClosed = errServerClosed{}
	// ErrTransportClosed is returned by every call after Transport.Close.
	ErrTransportClosed = &errTransportClosed{}
)

type errServerClosed struct{}

func (errServerClosed) Error() string { return "quic: server closed" }
func (errServerClosed) Unwrap() error { return net.ErrClosed }

// An errTransportClosed matches ErrTransportClosed, and the error because of which the transport
// closed.
type errTransportClosed struct{ err error }

func (e *errTransportClosed) Error() string {
	if e.err == nil {
		return "quic: transport closed"
	}
	return "quic: transport closed: " + e.err.Error()
}

func (e *errTransportClosed) Unwrap() []error { return []error{net.ErrClosed, e.err} }

func (*errTransportClosed) Is(target error) bool {
	_, ok := target.(*errTransportClosed)
	return ok
}

// A StreamError ends one direction of a stream, by CancelRead or CancelWrite of one side.
type StreamError struct {
	StreamID  StreamID
	ErrorCode StreamErrorCode
	Remote    bool
}

// Error names the stream, the side and the code.
func (e *StreamError) Error() string {
	by := "local"
	if e.Remote {
		by = "remote"
	}
	return fmt.Sprintf("stream %d canceled by %s with error code %d", e.StreamID, by, e.ErrorCode)
}

// Is reports whether target is an equal StreamError.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && *t == *e
}

// A DatagramTooLargeError says that a datagram does not fit the path, and how long one may be.
type DatagramTooLargeError struct {
	MaxDatagramPayloadSize int64
}

// Error says so.
func (*DatagramTooLargeError) Error() string { return "DATAGRAM frame too large" }

// Is reports whether target is an equal DatagramTooLargeError.
func (e *DatagramTooLargeError) Is(target error) bool {
	t, ok := target.(*DatagramTooLargeError)
	return ok && *t == *e
}

// A StreamLimitReachedError says that the peer allows no more streams now.
type StreamLimitReachedError struct{}

// Error says so.
func (StreamLimitReachedError) Error() string { return "too many open streams" }

// translated returns the error of this package for an error of Lazo, or nil for nil. It returns
// other errors unchanged, such as io.EOF and those of contexts.
func translated(err error) error {
	if e, ok := errors.AsType[*conn.StreamError](err); ok {
		return &StreamError{StreamID: StreamID(e.ID), ErrorCode: StreamErrorCode(e.Code), Remote: e.Remote}
	}
	if errors.Is(err, conn.ErrEarlyDataRejected) {
		return Err0RTTRejected
	}
	return qerr.Translated(err)
}
