// Package timerheap is a 4-ary min-heap of deadlines. Each item has one deadline and knows its
// place in the heap.
package timerheap

// arity is how many children a place in the heap has. Four entries fill one cache line, and the
// heap has half the levels of a binary one.
const arity = 4

// An Item is a member of a Heap. Embed it, or hold it, in what has the deadline.
// The zero Item is in no heap.
type Item[T any] struct {
	Value    T
	deadline int64
	index    int // place in the heap plus one; 0 if it is in no heap
}

// Deadline returns the deadline, and whether the item is in a heap.
func (it *Item[T]) Deadline() (int64, bool) { return it.deadline, it.index != 0 }

// A Heap is a set of items ordered by deadline. The zero Heap is empty. Items
// of equal deadline come in the order of an unspecified but deterministic rule.
type Heap[T any] struct{ entries []entry[T] }

// An entry repeats the deadline of its item, so that comparisons need not fetch the items.
type entry[T any] struct {
	deadline int64
	item     *Item[T]
}

// Set inserts the item or changes its deadline. An item is in one heap at a time.
func (h *Heap[T]) Set(it *Item[T], deadline int64) {
	e := entry[T]{deadline, it}
	old := it.deadline
	it.deadline = deadline
	switch {
	case it.index == 0:
		h.entries = append(h.entries, e)
		h.up(e, len(h.entries)-1)
	case deadline < old:
		h.up(e, it.index-1)
	default:
		h.down(e, it.index-1)
	}
}

// Remove takes the item out, if it is in.
func (h *Heap[T]) Remove(it *Item[T]) {
	if it.index == 0 {
		return
	}
	i := it.index - 1
	it.index, it.deadline = 0, 0
	n := len(h.entries) - 1
	last := h.entries[n]
	h.entries[n] = entry[T]{}
	h.entries = h.entries[:n]
	switch {
	case i == n:
	case i > 0 && last.deadline < h.entries[(i-1)/arity].deadline:
		h.up(last, i)
	default:
		h.down(last, i)
	}
}

// Min returns the item with the earliest deadline, nil if the heap is empty.
func (h *Heap[T]) Min() *Item[T] {
	if len(h.entries) == 0 {
		return nil
	}
	return h.entries[0].item
}

// Len returns the number of items.
func (h *Heap[T]) Len() int { return len(h.entries) }

// up puts e at place i, which is free, or at the place above i where it belongs.
func (h *Heap[T]) up(e entry[T], i int) {
	for i > 0 {
		parent := (i - 1) / arity
		if h.entries[parent].deadline <= e.deadline {
			break
		}
		h.put(h.entries[parent], i)
		i = parent
	}
	h.put(e, i)
}

// down puts e at place i, which is free, or at the place below i where it belongs.
func (h *Heap[T]) down(e entry[T], i int) {
	for {
		first := i*arity + 1
		if first >= len(h.entries) {
			break
		}
		least := first
		for c := first + 1; c < min(first+arity, len(h.entries)); c++ {
			if h.entries[c].deadline < h.entries[least].deadline {
				least = c
			}
		}
		if e.deadline <= h.entries[least].deadline {
			break
		}
		h.put(h.entries[least], i)
		i = least
	}
	h.put(e, i)
}

func (h *Heap[T]) put(e entry[T], i int) {
	h.entries[i] = e
	e.item.index = i + 1
}
