package loop

// A queue is a first-in-first-out list. The zero queue is empty. A queue keeps its memory when
// items leave it.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) {
	if len(q.items) == cap(q.items) && 2*q.head >= len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// pop removes and returns the oldest item.
func (q *queue[T]) pop() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	var zero T
	v = q.items[q.head]
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v, true
}

// keep removes the items for which f returns false. It asks f in the order of the queue.
func (q *queue[T]) keep(f func(T) bool) {
	kept := q.items[:q.head]
	for _, v := range q.items[q.head:] {
		if f(v) {
			kept = append(kept, v)
		}
	}
	clear(q.items[len(kept):])
	if q.items = kept; q.len() == 0 {
		q.items, q.head = q.items[:0], 0
	}
}

// oldest returns the item that pop would. The queue must not be empty.
func (q *queue[T]) oldest() T { return q.items[q.head] }

// popNewest removes and returns the newest item.
func (q *queue[T]) popNewest() (v T, ok bool) {
	n := len(q.items)
	if q.len() == 0 {
		return v, false
	}
	var zero T
	v = q.items[n-1]
	q.items[n-1] = zero
	if q.items = q.items[:n-1]; q.head == n-1 {
		q.items, q.head = q.items[:0], 0
	}
	return v, true
}
