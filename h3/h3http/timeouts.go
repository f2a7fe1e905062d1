package h3http

import (
	"time"

	"github.com/lazoquic/lazo/conn"
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

// A connTimer keeps the times at which something is due on a connection of a Server.
// A [conn.Conn] has one timer, so it is set to the first of them.
type connTimer struct {
	headerTimeout, idleTimeout time.Duration

	// Streams without a complete header section: those in pending, in the order of
	// their arrival and so of their deadlines, which are still in headers.
	headers map[conn.StreamID]struct{}
	pending []pendingHeader

	idleAt   time.Time // zero while there are requests
	lingerAt time.Time // when to close at last
	set      time.Time // what the timer of the connection is set to
}

type pendingHeader struct {
	id conn.StreamID
	at time.Time
}

// An expiry is what was due.
type expiry uint8

const (
	expiredNothing expiry = iota
	expiredHeader
	expiredIdle
	expiredLinger
)

func (t *connTimer) init(s *Server) {
	t.headerTimeout = timeout(s.ReadHeaderTimeout, defaultReadHeaderTimeout)
	t.idleTimeout = timeout(s.IdleTimeout, defaultIdleTimeout)
	t.headers = make(map[conn.StreamID]struct{})
}

// observe notes streams that come and go before they have a header section.
func (t *connTimer) observe(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamOpened:
		if id := ev.Stream.ID(); id.Dir() == conn.Bidi {
			t.headers[id] = struct{}{}
			t.pending = append(t.pending, pendingHeader{id, now.Add(t.headerTimeout)})
		}
	case conn.EventStreamReset:
		t.gotHeader(ev.Stream.ID())
	}
}

// gotHeader notes that nothing more is due for a stream.
func (t *connTimer) gotHeader(id conn.StreamID) {
	delete(t.headers, id)
	for len(t.pending) > 0 {
		if _, ok := t.headers[t.pending[0].id]; ok {
			break
		}
		t.pending = t.pending[1:]
	}
	// One slow stream at the front must not make all later ones pile up behind it.
	if len(t.pending) > 2*len(t.headers)+64 {
		kept := t.pending[:0]
		for _, p := range t.pending {
			if _, ok := t.headers[p.id]; ok {
				kept = append(kept, p)
			}
		}
		t.pending = kept
	}
}

// waiting returns how many streams have no header section yet.
func (t *connTimer) waiting() int { return len(t.headers) }

// busy notes whether there are requests.
func (t *connTimer) busy(now time.Time, busy bool) {
	switch {
	case busy || t.idleTimeout == 0:
		t.idleAt = time.Time{}
	case t.idleAt.IsZero():
		t.idleAt = now.Add(t.idleTimeout)
	}
	if busy {
		t.lingerAt = time.Time{}
	}
}

// linger makes the connection close in a while: GOAWAY has to arrive before, and
// requests which it crosses have to be rejected, so that the client may repeat them.
func (t *connTimer) linger(now time.Time, rtt time.Duration) {
	if t.lingerAt.IsZero() {
		t.lingerAt = now.Add(min(max(3*rtt, 10*time.Millisecond), time.Second))
	}
}

// expired returns what is due at now.
func (t *connTimer) expired(now time.Time) expiry {
	t.set = time.Time{}
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
	switch {
	case due(t.lingerAt):
		return expiredLinger
	case t.headerTimeout > 0 && len(t.pending) > 0 && due(t.pending[0].at):
		return expiredHeader
	case due(t.idleAt):
		t.idleAt = time.Time{}
		return expiredIdle
	}
	return expiredNothing
}

// next returns when something is due next.
func (t *connTimer) next() time.Time {
	at := t.lingerAt
	if !t.idleAt.IsZero() && (at.IsZero() || t.idleAt.Before(at)) {
		at = t.idleAt
	}
	if t.headerTimeout > 0 && len(t.pending) > 0 && (at.IsZero() || t.pending[0].at.Before(at)) {
		at = t.pending[0].at
	}
	return at
}

// arm returns what to set the timer of the connection to, or the zero Time to leave it.
// A deadline that moved back is left to fire early: then nothing is due.
func (t *connTimer) arm() time.Time {
	at := t.next()
	if at.IsZero() || !t.set.IsZero() && !at.Before(t.set) {
		return time.Time{}
	}
	t.set = at
	return at
}
