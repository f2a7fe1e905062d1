package h3http

import "time"

// A datagram waits between a Stream and the loop. Its memory is used again.
type datagram struct {
	b     []byte
	until time.Time // when it is too old to be sent; zero for never
}

// datagramCost is what a datagram takes beside its bytes, with its place in a queue.
const datagramCost = 64

func (d *datagram) cost() int { return cap(d.b) + datagramCost }

// maxIdleSlots is how many places an empty queue keeps.
const maxIdleSlots = 256

// A datagramQueue is a ring of datagrams that grows. Whoever fills it bounds it.
type datagramQueue struct {
	slots   []*datagram
	head, n int
	bytes   int // what its datagrams cost
}

func (q *datagramQueue) push(d *datagram) {
	if q.n == len(q.slots) {
		slots := make([]*datagram, max(8, 2*q.n))
		k := copy(slots, q.slots[q.head:])
		copy(slots[k:], q.slots[:q.head])
		q.slots, q.head = slots, 0
	}
	q.slots[(q.head+q.n)%len(q.slots)] = d
	q.n++
	q.bytes += d.cost()
}

// front returns the oldest datagram. There must be one.
func (q *datagramQueue) front() *datagram { return q.slots[q.head] }

// pop removes and returns the oldest datagram. There must be one.
func (q *datagramQueue) pop() *datagram {
	d := q.slots[q.head]
	q.slots[q.head] = nil
	q.head = (q.head + 1) % len(q.slots)
	q.bytes -= d.cost()
	if q.n--; q.n == 0 && len(q.slots) > maxIdleSlots {
		q.slots, q.head = nil, 0
	}
	return d
}
