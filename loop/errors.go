package loop

import (
	"errors"
	"fmt"
	"net"

	"github.com/lazoquic/lazo/conn"
)

// Errors of calls that can never succeed again. Those of calls after a Close match net.ErrClosed.
var (
	errStopped      = fmt.Errorf("loop: stopped: %w", net.ErrClosed)
	errStreamClosed = fmt.Errorf("loop: use of closed stream (Close ends both directions, CloseWrite only sending): %w", net.ErrClosed)
	errWriteClosed  = fmt.Errorf("loop: write after CloseWrite: %w", net.ErrClosed)
	errHandled      = errors.New("loop: the connection has a Handler")
	errSendOnly     = errors.New("loop: read from a stream that only sends")
	errDir          = errors.New("loop: streams are conn.Bidi or conn.Uni")
	errReceiveOnly  = errors.New("loop: write to a stream that only receives")
)

// A StreamLimitError says that the peer allows no more streams of a direction now. It
// matches conn.ErrStreamLimit, and is a net.Error that is temporary.
type StreamLimitError struct{ Dir conn.Dir }

// Error names the direction.
func (e *StreamLimitError) Error() string {
	dir := "bidirectional"
	if e.Dir == conn.Uni {
		dir = "unidirectional"
	}
	return "loop: the peer allows no more " + dir + " streams now"
}

// Unwrap returns [conn.ErrStreamLimit].
func (*StreamLimitError) Unwrap() error { return conn.ErrStreamLimit }

// Timeout is part of net.Error.
func (*StreamLimitError) Timeout() bool { return false }

// Temporary is part of net.Error.
func (*StreamLimitError) Temporary() bool { return true }

// A closedError says why a connection has closed. It matches the error that package conn reported,
// and conn.ErrClosed. If this side closed the connection, it matches net.ErrClosed too.
type closedError struct {
	err   error
	local bool
}

// newClosedError wraps the error of [conn.EventClosed].
func newClosedError(err error) *closedError {
	if err == nil {
		err = conn.ErrClosed
	}
	var app *conn.ApplicationError
	local := errors.Is(err, conn.ErrClosed) || errors.As(err, &app) && !app.Remote
	return &closedError{err: err, local: local}
}

// Error is that of package conn, which says that the connection is closed, and why.
func (e *closedError) Error() string { return e.err.Error() }

// Unwrap lets errors.Is and errors.As find the parts.
func (e *closedError) Unwrap() []error {
	if e.local {
		return []error{e.err, conn.ErrClosed, net.ErrClosed}
	}
	return []error{e.err, conn.ErrClosed}
}
