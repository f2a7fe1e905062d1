package h3

import "github.com/lazoquic/lazo/conn"

// An EventKind is the type of an [Event].
type EventKind uint8

const (
	// EventSettings reports that the peer's SETTINGS arrived: see [Conn.PeerSettings].
	EventSettings EventKind = iota + 1

	// EventFields brings a header or trailer section: Stream, Fields, End. A client
	// may get interim ones first (status 1xx). Trailers come when the body has
	// been read up to them, before Read returns io.EOF.
	EventFields

	// EventReadable reports body data or its end: Stream. It comes once when there
	// is a body or trailers, and again after Read or Peek has returned
	// conn.ErrWouldBlock. After a header section with End it does not come.
	EventReadable

	// EventWritable reports that a stream takes more: Stream. It comes after Write
	// or SendFields has returned conn.ErrWouldBlock.
	EventWritable

	// EventCanceled reports that the peer canceled one direction or both, or broke a rule of
	// messages: Stream, Code, and for a broken rule Err. Read or Write of the direction return an
	// error. The code RequestRejected says that the server has not processed the request, so that
	// it may be sent again. A server that stops a request body with NoError, as it needs no more of
	// it, does not cancel: EventWritable comes if the caller waits for it, or has sent all and
	// waits for EventAcked, and Write returns the error.
	EventCanceled

	// EventAcked reports that all that was sent on the stream, and its end, has
	// arrived: Stream. It does not come for streams that were released before.
	EventAcked

	EventDatagram          // Stream.Datagrams has a datagram: Stream
	EventRequestsAvailable // OpenRequest works again
	EventStream            // a stream of Config.StreamTypes: QUIC, Type
	// the peer sent GOAWAY: ID of the first request, or push, that it does not process
	EventGoAway
	// a priority field or PRIORITY_UPDATE came (RFC 9218), and was applied: Stream, ID, Priority
	EventPriority
	EventClosed // comes once: Err

	// eventWork stands for reading on in a stream, which may lead to an event. It waits in the
	// queue like an event. So fields are decoded no faster than the caller takes them.
	eventWork
)

// An Event reports something that happened to an HTTP/3 connection. It is a plain
// value: fields that do not apply to the Kind are zero.
type Event struct {
	Kind     EventKind
	Stream   *Stream
	Fields   []Field // lent until the next call of NextEvent: clone the slice to keep it
	End      bool    // neither data nor fields follow
	QUIC     *conn.Stream
	Type     uint64 // consumed: the caller reads QUIC behind it, and handles its events
	ID       conn.StreamID
	Priority conn.Priority
	Code     ErrorCode
	Err      error
}

// An entry is an event that waits. Its content is looked up when it is taken.
type entry struct {
	kind   EventKind
	stream *Stream
	gen    uint32 // gen of stream, to see whether the struct was reused meanwhile
	peer   *peerStream
}

// A queue is a FIFO of entries that keeps its memory. A Stream queues at most one entry of each
// kind.
type queue struct {
	entries []entry
	head    int
}

func (q *queue) push(e entry) { q.entries = append(q.entries, e) }

func (q *queue) pop() (e entry, ok bool) {
	if q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
		return entry{}, false
	}
	e = q.entries[q.head]
	q.entries[q.head] = entry{}
	q.head++
	return e, true
}

// push queues an event of the connection, unless one of its kind waits.
func (c *Conn) push(e entry) {
	if e.peer == nil {
		if c.pending&(1<<e.kind) != 0 {
			return
		}
		c.pending |= 1 << e.kind
	}
	c.queue.push(e)
}

// push queues an event of the stream, unless one of its kind waits.
func (s *Stream) push(kind EventKind) {
	if s.pending&(1<<kind) == 0 {
		s.pending |= 1 << kind
		s.c.queue.push(entry{kind: kind, stream: s, gen: s.gen})
	}
}

// NextEvent removes and returns the oldest event. Call it after HandleEvent until
// it reports false, and also after Read or Peek of a [Stream] outside of an event:
// they may come upon trailers.
func (c *Conn) NextEvent() (ev Event, ok bool) {
	for {
		e, ok := c.queue.pop()
		switch {
		case !ok:
			return Event{}, false
		case e.stream != nil:
			if e.gen != e.stream.gen {
				continue // the stream was released meanwhile
			}
			e.stream.pending &^= 1 << e.kind
			if ev, ok = e.stream.event(e.kind); ok {
				return ev, true
			}
		case e.peer != nil:
			// From here on the stream belongs to the caller.
			e.peer.qs.UserData = nil
			return Event{Kind: EventStream, QUIC: e.peer.qs, Type: e.peer.typ}, true
		default:
			c.pending &^= 1 << e.kind
			return c.event(e.kind), true
		}
	}
}

// event returns an event of the connection, of the given kind.
func (c *Conn) event(kind EventKind) Event {
	ev := Event{Kind: kind}
	switch kind {
	case EventGoAway:
		ev.ID = conn.StreamID(c.goAway)
	case EventClosed:
		ev.Err = c.closed
	}
	return ev
}

// event returns an event of the stream, of the given kind. Work does not always lead to an event.
func (s *Stream) event(kind EventKind) (Event, bool) {
	ev := Event{Kind: kind, Stream: s}
	switch kind {
	case eventWork:
		return s.advance()
	case EventCanceled:
		ev.Code, ev.Err = s.cancelCode, s.cancelErr
	case EventPriority:
		ev.ID, ev.Priority = s.id, s.priority
	}
	return ev, true
}
