package h3http

import (
	"context"
	"os"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// Defaults of [Server].
const (
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
)

// headTimeout is the error of a request whose response does not begin in time. Like the error of
// http.Transport it is a [net.Error] and matches [context.DeadlineExceeded].
type headTimeout struct{}

func (headTimeout) Error() string   { return "h3http: timeout awaiting response headers" }
func (headTimeout) Timeout() bool   { return true }
func (headTimeout) Temporary() bool { return true }

// Is is for errors.Is.
func (headTimeout) Is(err error) bool { return err == context.DeadlineExceeded }

// setReadDeadline sets the deadline of read. The zero Time means none. The caller has locked x.
func (x *exchange) setReadDeadline(t time.Time) {
	if !x.closed {
		x.in.deadline.Set(&x.in.cond, t, func() {
			if !x.in.ended {
				x.c.tally.missed.read()
			}
		})
	}
}

// setWriteDeadline sets the deadline of write. If it passes while written bytes still wait, and
// abort is set, the stream is reset. The caller has locked x.
func (x *exchange) setWriteDeadline(t time.Time, abort bool) {
	if x.out.over() {
		return
	}
	x.out.deadline.Set(&x.out.cond, t, func() {
		if !x.out.ended {
			x.c.tally.missed.write()
		}
		if abort && !x.out.ended {
			x.cancelLocked(h3.RequestCancelled, os.ErrDeadlineExceeded)
		}
	})
}
