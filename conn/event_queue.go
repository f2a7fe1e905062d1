package conn

// An eventQueue is a ring of events.
type eventQueue struct {
	buf        []Event // its length is a power of two
	head, tail int
}

func (q *eventQueue) push(ev Event) {
	if q.tail-q.head == len(q.buf) {
		old := q.buf
		q.buf = make([]Event, max(16, 2*len(old)))
		for i := q.head; i < q.tail; i++ {
			q.buf[i&(len(q.buf)-1)] = old[i&(len(old)-1)]
		}
	}
	q.buf[q.tail&(len(q.buf)-1)] = ev
	q.tail++
}

func (q *eventQueue) pop() (ev Event, ok bool) {
	if q.head == q.tail {
		return Event{}, false
	}
	p := &q.buf[q.head&(len(q.buf)-1)]
	ev = *p
	*p = Event{} // let go of what it points to
	q.head++
	if q.head == q.tail && len(q.buf) > 4096 {
		*q = eventQueue{}
	}
	return ev, true
}

func (q *eventQueue) empty() bool { return q.head == q.tail }
