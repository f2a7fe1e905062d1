package http3

import (
	"errors"
	"fmt"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/qerr"
)

// An ErrCode is an error code of HTTP/3 (RFC 9114, Section 8.1).
type ErrCode quic.ApplicationErrorCode

// Error codes.
const (
	ErrCodeNoError                  ErrCode = 0x100
	ErrCodeGeneralProtocolError     ErrCode = 0x101
	ErrCodeInternalError            ErrCode = 0x102
	ErrCodeStreamCreationError      ErrCode = 0x103
	ErrCodeClosedCriticalStream     ErrCode = 0x104
	ErrCodeFrameUnexpected          ErrCode = 0x105
	ErrCodeFrameError               ErrCode = 0x106
	ErrCodeExcessiveLoad            ErrCode = 0x107
	ErrCodeIDError                  ErrCode = 0x108
	ErrCodeSettingsError            ErrCode = 0x109
	ErrCodeMissingSettings          ErrCode = 0x10a
	ErrCodeRequestRejected          ErrCode = 0x10b
	ErrCodeRequestCanceled          ErrCode = 0x10c
	ErrCodeRequestIncomplete        ErrCode = 0x10d
	ErrCodeMessageError             ErrCode = 0x10e
	ErrCodeConnectError             ErrCode = 0x10f
	ErrCodeVersionFallback          ErrCode = 0x110
	ErrCodeDatagramError            ErrCode = 0x33
	ErrCodeQPACKDecompressionFailed ErrCode = 0x200
)

// known reports whether the code has a name.
func (e ErrCode) known() bool {
	return e >= ErrCodeNoError && e <= ErrCodeVersionFallback || e == ErrCodeDatagramError || e == ErrCodeQPACKDecompressionFailed
}

// String returns the name of the code.
func (e ErrCode) String() string {
	if !e.known() {
		return fmt.Sprintf("unknown error code: %#x", uint64(e))
	}
	if e == ErrCodeRequestIncomplete {
		return "H3_INCOMPLETE_REQUEST" // the name that quic-go has for it
	}
	return h3.ErrorCode(e).String()
}

// An Error says how a stream or the connection has ended. It wraps a *quic.StreamError or a
// *quic.ApplicationError.
type Error struct {
	Remote       bool
	ErrorCode    ErrCode
	ErrorMessage string

	err error
}

// Error returns the name of the code, and the message if there is one.
func (e *Error) Error() string {
	s := fmt.Sprintf("H3 error (%#x)", uint64(e.ErrorCode))
	if e.ErrorCode.known() {
		s = e.ErrorCode.String()
	}
	if !e.Remote {
		s += " (local)"
	}
	if e.ErrorMessage != "" {
		s += ": " + e.ErrorMessage
	}
	return s
}

// Is reports whether target is an Error of the same side with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Remote == e.Remote && t.ErrorCode == e.ErrorCode
}

// Unwrap returns the error of QUIC.
func (e *Error) Unwrap() error { return e.err }

// unknownStream is the ID of a stream of which nobody has told it.
const unknownStream quic.StreamID = -1

// streamError returns the error for a direction of a stream that has ended.
func streamError(id quic.StreamID, code quic.StreamErrorCode, remote bool) error {
	return &Error{
		Remote: remote, ErrorCode: ErrCode(code),
		err: &quic.StreamError{StreamID: id, ErrorCode: code, Remote: remote},
	}
}

// explain translates an error of Lazo, or of package quic.
func explain(err error) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	if e, ok := errors.AsType[*conn.StreamError](err); ok {
		return streamError(quic.StreamID(e.ID), quic.StreamErrorCode(e.Code), e.Remote)
	}
	if e, ok := errors.AsType[*h3.Error](err); ok { // the peer has sent a malformed message
		return &Error{ErrorCode: ErrCode(e.Code), ErrorMessage: e.Reason, err: err}
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok {
		return &Error{Remote: e.Remote, ErrorCode: ErrCode(e.ErrorCode), err: e}
	}
	switch {
	case errors.Is(err, h3http.ErrNoCachedConn):
		return ErrNoCachedConn
	case errors.Is(err, conn.ErrEarlyDataRejected):
		return quic.Err0RTTRejected
	}
	err = qerr.Translated(err)
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return &Error{Remote: e.Remote, ErrorCode: ErrCode(e.ErrorCode), ErrorMessage: e.ErrorMessage, err: e}
	}
	return err
}

// overQUIC returns the error of QUIC that explain has explained.
func overQUIC(err error) error {
	if e, ok := err.(*Error); ok && e.err != nil {
		return e.err
	}
	return err
}
