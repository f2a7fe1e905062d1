package loop

import (
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A Handler is the application of one connection, which runs inside the loop. It
// must not block: every connection of the Loop waits for it, and
// [Stats] count it as a slow turn. A panic is the program's. All calls come from
// the loop's goroutine, so handlers of one Loop share state without locks.
type Handler interface {
	// HandleEvent is called for each event of the connection, the last of which is EventClosed.
	HandleEvent(now time.Time, ev conn.Event)

	// Flush is called after events of c and after Conn.Do on c: once for a whole turn of the loop,
	// or once for each part of a turn that has many. If the Handler has called Yield of the Loop,
	// other goroutines run first as a rule. Datagrams are built after Flush. To be called at a
	// certain time, use [conn.Conn.SetTimer].
	Flush(now time.Time, c *conn.Conn)
}

// An attachment is what a loop knows of a connection. It is the connection's UserData.
type attachment struct {
	c       *conn.Conn
	h       Handler // nil on the blocking tier
	handle  *Conn   // nil until somebody needs it
	touched bool    // in Loop.touched
	closed  bool    // EventClosed has come
	err     error   // the error of EventClosed
}

// attach returns the attachment of c. A new one has a Handler or else a handle.
func (l *Loop) attach(c *conn.Conn) *attachment {
	if a, ok := c.UserData.(*attachment); ok {
		return a
	}
	a := &attachment{c: c}
	c.UserData = a
	if l.newHandler != nil {
		if h := l.newHandler(l, c); h != nil {
			a.h = h
		}
	}
	if a.h == nil && a.handle == nil {
		a.handle = newConn(l, a)
		a.handle.accept = true
	}
	return a
}

// touch lets the connection be flushed in this turn.
func (l *Loop) touch(a *attachment) {
	if !a.touched {
		a.touched = true
		l.touched = append(l.touched, a)
	}
}

// handle hands ev to the Handler of its connection. Without a Handler the Conn gets it.
func (l *Loop) handle(ev *conn.Event) {
	a := l.attach(ev.Conn)
	l.touch(a)
	if ev.Kind == conn.EventClosed {
		a.closed, a.err = true, ev.Err
	}
	if l.observer != nil {
		l.observe(ev)
	}
	if s := streamOf(ev); s != nil {
		s.handleEvent(ev)
		return
	}
	h := a.h
	if h != nil {
		h.HandleEvent(l.now, *ev)
	}
	if a.handle != nil {
		a.handle.handleState(ev)
	}
	if h == nil {
		a.handle.handleData(ev) // who gets the Conn from Accept finds what handleState has set
	}
}

// SetHandler makes h the handler of c, in place of any other. If c is not new, h
// first gets the events that describe it: EventConnected, EventStreamOpened and
// EventStreamReadable. Call it on the loop's goroutine.
//
// Streams that somebody has from OpenStream or AcceptStream stay as they are, and so do those that
// came after a first call of AcceptStream, which still returns them; the others are the handler's.
// An earlier Handler must itself pass on what it knew.
func (l *Loop) SetHandler(c *conn.Conn, h Handler) {
	a, ok := c.UserData.(*attachment)
	if !ok {
		c.UserData = &attachment{c: c, h: h}
		return
	}
	l.introduce(a, h, func() ([]*conn.Stream, bool) {
		if a.handle == nil {
			return nil, false
		}
		return a.handle.yield()
	})
}

// introduce makes h the handler of a, and gives it the events that describe the connection. take
// returns the streams that h gets, and whether datagrams may wait.
func (l *Loop) introduce(a *attachment, h Handler, take func() (streams []*conn.Stream, datagrams bool)) {
	c := a.c
	a.h = h
	if a.closed {
		h.HandleEvent(l.now, conn.Event{Kind: conn.EventClosed, Conn: c, Err: a.err})
		return
	}
	l.touch(a)
	if c.HandshakeComplete() {
		h.HandleEvent(l.now, conn.Event{Kind: conn.EventConnected, Conn: c})
	}
	streams, datagrams := take()
	for _, s := range streams {
		h.HandleEvent(l.now, conn.Event{Kind: conn.EventStreamOpened, Conn: c, Stream: s})
		if _, passed := s.UserData.(*streamState); !passed { // by Conn.Pass
			h.HandleEvent(l.now, conn.Event{Kind: conn.EventStreamReadable, Conn: c, Stream: s})
		}
	}
	if datagrams {
		h.HandleEvent(l.now, conn.Event{Kind: conn.EventDatagramReadable, Conn: c})
	}
}

// Conn returns a handle of c for other goroutines. If c has a Handler, its streams
// and datagrams belong to that, and the handle's methods for them fail. Call it
// on the loop's goroutine.
func (l *Loop) Conn(c *conn.Conn) *Conn {
	a := l.attach(c)
	if a.handle == nil {
		a.handle = newConn(l, a)
	}
	return a.handle
}
