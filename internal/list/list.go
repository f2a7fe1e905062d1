// Package list is a doubly linked list that allocates nothing: what is in a list holds its place
// there.
package list

// An Item is a place in a List. Hold it in what has the place. The zero Item is in no list.
type Item[T any] struct {
	value      T
	prev, next *Item[T]
}

// Next returns the value behind that of the item; the zero T if there is none.
func (it *Item[T]) Next() T { return it.next.get() }

func (it *Item[T]) get() (v T) {
	if it != nil {
		v = it.value
	}
	return v
}

// A List is values in order. The zero List is empty.
type List[T any] struct{ head, tail *Item[T] }

// Empty reports whether nothing is in the list.
func (l *List[T]) Empty() bool { return l.head == nil }

// First returns the first value; the zero T if the list is empty.
func (l *List[T]) First() T { return l.head.get() }

// PushBack puts v behind all others. it, which is in no list, is its place.
func (l *List[T]) PushBack(it *Item[T], v T) {
	it.value, it.prev = v, l.tail
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
}

// PushFront puts v before all others. it, which is in no list, is its place.
func (l *List[T]) PushFront(it *Item[T], v T) {
	it.value, it.next = v, l.head
	if l.head == nil {
		l.tail = it
	} else {
		l.head.prev = it
	}
	l.head = it
}

// MoveToBack puts v behind all others, wherever it is now. it is its place.
func (l *List[T]) MoveToBack(it *Item[T], v T) {
	if l.tail != it {
		l.Remove(it)
		l.PushBack(it, v)
	}
}

// Remove takes out the value whose place it is. If it is in no list, nothing happens. It must not
// be in another list.
func (l *List[T]) Remove(it *Item[T]) {
	switch {
	case it.prev != nil:
		it.prev.next = it.next
	case l.head == it:
		l.head = it.next
	default:
		return
	}
	if it.next == nil {
		l.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	*it = Item[T]{}
}
