package h3http

import (
	"errors"
	"fmt"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// A connectionError is the end of a connection as its exchanges see it. It does not tell whether
// the server had processed a request.
type connectionError struct{ err error }

func (e *connectionError) Error() string { return "h3http: connection ended: " + e.err.Error() }
func (e *connectionError) Unwrap() error { return e.err }

// ErrUnprocessed matches the error of a request that the server has not processed and will not
// process: it was not sent, was sent as early data that was rejected, or was refused as RFC 9114,
// Sections 4.1.1 and 5.2, describe. Whoever sends it again does not repeat it.
var ErrUnprocessed = errors.New("h3http: the request was not processed")

// An unprocessedError is the failure of a request that the server has not processed and will not
// process. So it can be sent again, whatever its method.
// RFC 9114, Section 4.1.1 [9]; RFC 9114, Section 5.4 [1].
type unprocessedError struct{ err error }

func (e *unprocessedError) Error() string { return e.err.Error() }
func (e *unprocessedError) Unwrap() error { return e.err }

// Is makes the error match [ErrUnprocessed].
func (e *unprocessedError) Is(target error) bool { return target == ErrUnprocessed }

// streamError returns err. If err is the error of a stream, it adds what that means in HTTP/3.
func streamError(err error) error {
	if errors.Is(err, conn.ErrEarlyDataRejected) {
		return &unprocessedError{err}
	}
	rejected := false // RFC 9114, Section 4.1.1
	if broken, ok := errors.AsType[*h3.Error](err); ok {
		rejected = broken.Code == h3.RequestRejected
	} else if se, ok := errors.AsType[*conn.StreamError](err); ok {
		code := h3.ErrorCode(se.Code)
		rejected = se.Remote && code == h3.RequestRejected
		err = fmt.Errorf("h3http: stream ended with %v: %w", code, err)
	}
	if rejected {
		return &unprocessedError{err}
	}
	return err
}

// errGoAway is the error of requests that have no stream when a server goes away.
var errGoAway = errors.New("h3http: server is going away")
