package h3http

import "time"

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

// lingerTime returns how long a connection without requests stays after GOAWAY: that
// has to arrive, and requests which it crosses have to be rejected, so that the
// client knows that it may repeat them.
func lingerTime(rtt time.Duration) time.Duration {
	return min(max(3*rtt, 10*time.Millisecond), time.Second)
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
