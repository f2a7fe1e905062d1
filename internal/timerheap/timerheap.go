// Package timerheap is a 4-ary min-heap of deadlines, one an item, which knows where
// each item is.
package timerheap

// An Item is a member of a Heap. Embed it, or hold it, in what has the deadline.
// The zero Item is in no heap.
type Item[T any] struct {
	Value    T
	deadline int64
	index    int // place in the heap plus one; 0 if in none
}

// Deadline returns the deadline, and whether the item is in a heap.
func (it *Item[T]) Deadline() (int64, bool) { panic("sketch") }

// A Heap is a set of items ordered by deadline. The zero Heap is empty. Items
// of equal deadline come in the order of an unspecified but deterministic rule.
type Heap[T any] struct{ items []*Item[T] }

// Set inserts the item or changes its deadline.
func (h *Heap[T]) Set(it *Item[T], deadline int64) { panic("sketch") }

// Remove takes the item out, if it is in.
func (h *Heap[T]) Remove(it *Item[T]) { panic("sketch") }

// Min returns the item with the earliest deadline, nil if the heap is empty.
func (h *Heap[T]) Min() *Item[T] { panic("sketch") }

// Len returns the number of items.
func (h *Heap[T]) Len() int { return len(h.items) }
