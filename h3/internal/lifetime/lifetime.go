// Package lifetime decides when the connection of an HTTP/3 server goes away.
package lifetime

import (
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A Lifetime bounds how long requests may take to begin, and how long a connection may have none.
// It goes away in peace: GOAWAY first, and the end once the client has had time to close. It has
// the timer of the connection for itself, and belongs to the goroutine of the connection.
type Lifetime struct {
	header, idle time.Duration // 0 for none
	draining     bool          // GOAWAY was sent

	// Times at which something is due. The zero Time means never.
	idleAt   time.Time // to end the connection, because nobody uses it
	lingerAt time.Time // to close the connection after GOAWAY
	timerAt  time.Time // what the timer of the connection was last set to
}

// New returns the Lifetime of a connection. header bounds the time from the first byte of a request
// to the end of its header section, and idle the time without a request; 0 means no bound.
func New(header, idle time.Duration) Lifetime { return Lifetime{header: header, idle: idle} }

// Timeout returns d. If d is zero it returns the default, and if d is negative 0, which means none.
func Timeout(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return max(d, 0)
}

// Settle does what is due, and sets the timer to when something is due next: at also, too, when the
// caller has something to do. Call it after each batch of events.
func (t *Lifetime) Settle(now time.Time, h *h3.Conn, also time.Time) {
	var oldest time.Time // the oldest request whose header section has not come
	if t.header > 0 {
		oldest = h.ExpireRequests(now.Add(-t.header))
	}
	if Due(t.idleAt, now) && h.Stats().Open == 0 {
		t.Drain(h)
	}
	switch {
	case h.Stats().Open > 0:
		t.idleAt, t.lingerAt = time.Time{}, time.Time{}
	case t.draining && t.lingerAt.IsZero():
		t.lingerAt = now.Add(lingerTime(h.QUIC().Stats().SmoothedRTT))
	case t.idleAt.IsZero() && t.idle > 0 && !t.draining && h.QUIC().HandshakeComplete():
		// A handshake has a bound of its own: conn.Config.HandshakeTimeout.
		t.idleAt = now.Add(t.idle)
	}
	if Due(t.lingerAt, now) {
		h.QUIC().Close(uint64(h3.NoError), "")
		return
	}
	t.setTimer(now, h, oldest, also)
}

// setTimer sets the timer of the connection to the earliest time at which something is due. If that
// has moved back, the timer still fires at the old time. Nothing is due then, and Settle sets it
// again.
func (t *Lifetime) setTimer(now time.Time, h *h3.Conn, oldest, also time.Time) {
	at := Earlier(Earlier(t.idleAt, t.lingerAt), also)
	if !oldest.IsZero() {
		at = Earlier(at, oldest.Add(t.header))
	}
	if at.IsZero() || t.timerAt.After(now) && !at.Before(t.timerAt) {
		return
	}
	t.timerAt = at
	h.QUIC().SetTimer(at)
}

// Drain announces that no more requests are taken (RFC 9114, Section 5.2). The connection ends
// after the requests that it has. Call Settle next.
func (t *Lifetime) Drain(h *h3.Conn) {
	if t.draining {
		return
	}
	t.draining, t.idleAt = true, time.Time{}
	if err := h.GoAway(); err != nil {
		h.QUIC().Close(uint64(h3.NoError), "")
	}
}

// lingerTime returns how long a connection without requests stays after GOAWAY. In that time the
// client should close it. Only the client knows when its application has read all responses, and
// many clients drop what they hold when the server closes. The time is long enough for a GOAWAY
// that is lost at first. It is also long enough to reject requests that cross the GOAWAY, so that
// the client knows that it may repeat them.
func lingerTime(rtt time.Duration) time.Duration {
	return min(max(3*rtt, 3*time.Second), 10*time.Second)
}

// Due reports whether the time at has come. The zero Time never comes.
func Due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// Earlier returns the earlier of two times. The zero Time means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
