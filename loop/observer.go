package loop

import (
	"time"

	"github.com/lazoquic/lazo/conn"
)

// An Observer is told what the counters of [Stats] cannot say: how long things took, and why
// connections ended. Package metrics has one for Prometheus. Each Loop has its own, from
// Config.Observe, and all calls come from the Loop's goroutine: an Observer must not block. It may
// read a Conn during the call, and must not change or keep it.
type Observer interface {
	// HandshakeDone is called when the handshake of c is complete. took counts from Dial, or from
	// the first packet of the client.
	HandshakeDone(c *conn.Conn, took time.Duration)

	// ConnClosed is called at the end of each connection, also of one whose handshake failed. err
	// is the error of conn.EventClosed. lasted counts from the same time as took of HandshakeDone.
	ConnClosed(c *conn.Conn, err error, lasted time.Duration)

	// RTTSample is called with each sample of the round-trip time of c (RFC 9002, Section 5.1).
	RTTSample(c *conn.Conn, rtt time.Duration)

	// TurnDone is called after each turn of the Loop. took is how long it worked, without the wait
	// before. late is how long a timer had been due when the turn began, or 0 if none was due. A
	// large value of late means that the Loop had too much to do, or did not get a processor.
	TurnDone(took, late time.Duration)
}

// observe tells the Observer of ev, if it is the end of a handshake or of a connection.
func (l *Loop) observe(ev *conn.Event) {
	switch ev.Kind {
	case conn.EventConnected:
		l.observer.HandshakeDone(ev.Conn, l.now.Sub(ev.Conn.Began()))
	case conn.EventClosed:
		l.observer.ConnClosed(ev.Conn, ev.Err, l.now.Sub(ev.Conn.Began()))
	}
}

// lateness returns how long ago the timer of the endpoint was due.
func (l *Loop) lateness() time.Duration {
	if t := l.ep.Timeout(); !t.IsZero() {
		return max(l.now.Sub(t), 0)
	}
	return 0
}
