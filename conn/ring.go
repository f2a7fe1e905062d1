package conn

// A ring is a queue of values in one slice: an element costs no allocation, and keeps its index
// while others come and go. Indices wrap around.
type ring[T any] struct {
	buf        []T    // its length is a power of two
	head, tail uint32 // of the first element, and behind the last
}

func (r *ring[T]) len() int { return int(r.tail - r.head) }

func (r *ring[T]) at(i uint32) *T { return &r.buf[i&uint32(len(r.buf)-1)] }

// push makes room behind the last element and returns it. It holds what was there before.
func (r *ring[T]) push() *T {
	if r.len() == len(r.buf) {
		old := *r
		r.buf = make([]T, max(4, 2*len(old.buf)))
		for i := old.head; i != old.tail; i++ {
			*r.at(i) = *old.at(i)
		}
	}
	r.tail++
	return r.at(r.tail - 1)
}

// pop drops the first element.
func (r *ring[T]) pop() { r.head++ }

// release empties the ring and lets go of its memory.
func (r *ring[T]) release() { *r = ring[T]{head: r.tail, tail: r.tail} }

// maxIdleRing is how long a ring may be that an idle connection keeps.
const maxIdleRing = 32

// oversized reports whether the ring is empty, and longer than an idle connection should have.
func (r *ring[T]) oversized() bool { return r.head == r.tail && len(r.buf) > maxIdleRing }
