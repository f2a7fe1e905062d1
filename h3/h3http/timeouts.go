package h3http

import (
	"context"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// Defaults of [Server].
const (
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
)

// timeout returns d, or the default if it is zero, or 0 for none if it is negative.
func timeout(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return max(d, 0)
}

// lingerTime returns how long a connection without requests stays after GOAWAY, for the client
// to close it: only that knows when its application has read all responses, and many drop
// what they hold when the server closes. The GOAWAY may be lost at first, and requests which
// it crosses have to be rejected, so that the client knows that it may repeat them.
func lingerTime(rtt time.Duration) time.Duration {
	return min(max(3*rtt, 3*time.Second), 10*time.Second)
}

// due reports whether at has come; the zero Time never does.
func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// earlier returns the earlier of two times, of which the zero Time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// headTimeout is the error of a request whose response does not begin in time. It is a
// [net.Error] and matches [context.DeadlineExceeded], as that of http.Transport.
type headTimeout struct{}

func (headTimeout) Error() string   { return "h3http: timeout awaiting response headers" }
func (headTimeout) Timeout() bool   { return true }
func (headTimeout) Temporary() bool { return true }

// Is is for errors.Is.
func (headTimeout) Is(err error) bool { return err == context.DeadlineExceeded }

// limitHead cancels the request if its response does not begin within d.
func (x *exchange) limitHead(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if d <= 0 || x.in.head != nil || x.in.err != nil {
		return
	}
	x.req.late = time.AfterFunc(d, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.in.head == nil {
			x.cancelLocked(h3.RequestCancelled, headTimeout{})
		}
	})
}

// unlimitHead stops what limitHead has begun. x is locked.
func (x *exchange) unlimitHead() {
	if x.req != nil && x.req.late != nil {
		x.req.late.Stop()
		x.req.late = nil
	}
}
