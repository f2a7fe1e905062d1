package loop

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
)

// Share makes h the Handler of c, while its [Conn] goes on working. So a protocol such as HTTP/3
// can run on a connection that other goroutines use too. Streams that somebody has from OpenStream
// or AcceptStream stay as they are, and more can be opened. All other events come to h. h gives the
// events that it does not use to [Conn.Pass]. Like [Loop.SetHandler], Share begins with the events
// that describe c, and with the streams that wait for AcceptStream. Call it on the loop's
// goroutine.
//
// If lazy is set, the data of a stream that AcceptStream returns after that stays in the connection
// until the first Read: see [Conn.TakeBack].
func (l *Loop) Share(c *conn.Conn, h Handler, lazy bool) {
	handle := l.Conn(c)
	l.introduce(handle.a, h, func() ([]*conn.Stream, bool) { return handle.lend(lazy) })
}

// lend returns the streams of the peer that wait for AcceptStream and of which nothing was taken,
// and whether datagrams may wait.
func (c *Conn) lend(lazy bool) (streams []*conn.Stream, datagrams bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lazy = lazy
	var kept []*streamState
	for s, ok := c.arrived.pop(conn.Bidi, conn.Uni); ok; s, ok = c.arrived.pop(conn.Bidi, conn.Uni) {
		s.mu.Lock()
		if s.pull {
			kept = append(kept, s)
		} else {
			streams = append(streams, s.s)
			s.forget()
		}
		s.mu.Unlock()
	}
	for _, s := range kept {
		c.arrived.push(s)
	}
	datagrams, c.datagrams.readable = c.datagrams.readable, false
	return streams, datagrams
}

// Pass gives ev, an event of c that came to the Handler of [Loop.Share], to the methods of c: a
// stream of the peer to AcceptStream, datagrams to ReceiveDatagram. Pass on EventDatagramWritable
// too, if goroutines send datagrams. Call it on the loop's goroutine.
func (c *Conn) Pass(ev conn.Event) { c.handleData(&ev) }

var (
	errNoSuchStream = errors.New("loop: TakeBack of a stream that is not open")
	errInUse        = errors.New("loop: TakeBack of a stream that was read, written or ended")
	errTakenBack    = errors.New("loop: the stream belongs to a Handler now")
)

// TakeBack gives a stream to the Handler of [Loop.Share], after AcceptStream has returned it to a
// goroutine. Share must have been lazy, and the goroutine may have used [Stream.Peek] and nothing
// else. From now on, methods of the Stream fail, and the Handler gets its events. Events that have
// come already do not come again: EventStreamOpened, EventStreamReadable, EventStreamReset and
// EventStreamStopped. Call it on the loop's goroutine.
func (c *Conn) TakeBack(id conn.StreamID) (*conn.Stream, error) {
	s := c.streams.First()
	for s != nil && s.handle.id != id {
		s = s.place.Next()
	}
	if s == nil {
		return nil, errNoSuchStream
	}
	s.mu.Lock()
	o := &s.out
	used := s.pull || s.closed || s.in.stop || o.buf.End() > 0 || o.fin || o.reset || s.resetting() != nil
	cs := s.s
	if !used {
		s.forget()
	}
	s.mu.Unlock()
	if used {
		return nil, errInUse
	}
	s.fail(errTakenBack)
	return cs, nil
}
