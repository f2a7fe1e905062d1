package conn

// An eventQueue is a ring of events.
type eventQueue struct {
	buf        []queuedEvent // its length is a power of two
	head, tail int
}

// A queuedEvent is an Event in less memory: a packet may bring dozens.
type queuedEvent struct {
	kind   EventKind
	gen    uint32 // of stream, when the event was queued
	conn   *Conn
	stream *Stream
	value  uint64 // Event.Code if there is a stream, Event.ID otherwise
	whole  *Event // nil if kind, conn, stream and value are all of it
}

// event returns the whole of an event.
func (q *queuedEvent) event() (ev Event) {
	if q.whole != nil {
		return *q.whole
	}
	ev.Kind, ev.Conn, ev.Stream = q.kind, q.conn, q.stream
	if q.stream != nil {
		ev.Code = q.value
	} else {
		ev.ID = q.value
	}
	return ev
}

func (q *eventQueue) push(ev queuedEvent) {
	if q.tail-q.head == len(q.buf) {
		old := q.buf
		q.buf = make([]queuedEvent, max(16, 2*len(old)))
		for i := q.head; i < q.tail; i++ {
			q.buf[i&(len(q.buf)-1)] = old[i&(len(old)-1)]
		}
	}
	q.buf[q.tail&(len(q.buf)-1)] = ev
	q.tail++
}

// pop removes and returns the oldest event. There must be one.
func (q *eventQueue) pop() (ev queuedEvent) {
	p := &q.buf[q.head&(len(q.buf)-1)]
	ev = *p
	*p = queuedEvent{} // let go of what it points to
	if q.head++; q.head == q.tail {
		q.head, q.tail = 0, 0 // the memory that was used last is in the caches
		if len(q.buf) > 4096 {
			q.buf = nil
		}
	}
	return ev
}

func (q *eventQueue) empty() bool { return q.head == q.tail }
