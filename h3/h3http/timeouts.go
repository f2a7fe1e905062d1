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

// timeout returns d. If d is zero it returns the default, and if d is negative 0, which means none.
func timeout(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return max(d, 0)
}

// lingerTime returns how long a connection without requests stays after GOAWAY. In that time the
// client should close it. Only the client knows when its application has read all responses, and
// many clients drop what they hold when the server closes. The time is long enough for a GOAWAY
// that is lost at first. It is also long enough to reject requests that cross the GOAWAY, so that
// the client knows that it may repeat them.
func lingerTime(rtt time.Duration) time.Duration {
	return min(max(3*rtt, 3*time.Second), 10*time.Second)
}

// due reports whether the time at has come. The zero Time never comes.
func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// earlier returns the earlier of two times. The zero Time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// headTimeout is the error of a request whose response does not begin in time. Like the error of
// http.Transport it is a [net.Error] and matches [context.DeadlineExceeded].
type headTimeout struct{}

func (headTimeout) Error() string   { return "h3http: timeout awaiting response headers" }
func (headTimeout) Timeout() bool   { return true }
func (headTimeout) Temporary() bool { return true }

// Is is for errors.Is.
func (headTimeout) Is(err error) bool { return err == context.DeadlineExceeded }

// setReadDeadline sets the deadline of read. The zero Time means none.
func (x *exchange) setReadDeadline(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.closed {
		x.in.deadline.Set(&x.in.cond, t, func() {
			if !x.in.ended {
				x.c.tally.missed.read()
			}
		})
	}
}

// setWriteDeadline sets the deadline of write. If it passes while written bytes still wait, and
// abort is set, the stream is reset.
func (x *exchange) setWriteDeadline(t time.Time, abort bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.over() {
		return
	}
	x.out.deadline.Set(&x.out.cond, t, func() {
		if !x.out.ended {
			x.c.tally.missed.write()
		}
		if abort && !x.out.ended {
			x.cancelLocked(h3.InternalError, os.ErrDeadlineExceeded)
		}
	})
}
