package timerheap

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// check verifies the order of the heap, and what its items know of it.
func check[T any](t *testing.T, h *Heap[T]) {
	t.Helper()
	for i, e := range h.entries {
		if e.item.index != i+1 {
			t.Fatalf("the item at %d takes itself to be at %d", i, e.item.index-1)
		}
		if e.item.deadline != e.deadline {
			t.Fatalf("the entry of deadline %d has an item of deadline %d", e.deadline, e.item.deadline)
		}
		if parent := h.entries[max(i-1, 0)/arity]; parent.deadline > e.deadline {
			t.Fatalf("deadline %d at %d lies below %d", e.deadline, i, parent.deadline)
		}
	}
}

func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, spread := range []int64{3, 100, math.MaxInt64} {
		var h Heap[int]
		items := make([]Item[int], 150)
		model := map[int]int64{} // the value of an item to its deadline
		for i := range items {
			items[i].Value = i
		}
		for range 5000 {
			it := &items[rnd.IntN(len(items))]
			if rnd.IntN(3) > 0 {
				d := rnd.Int64N(spread) - spread/2
				h.Set(it, d)
				model[it.Value] = d
			} else {
				h.Remove(it)
				delete(model, it.Value)
			}
			check(t, &h)
			compare(t, &h, items, model)
		}
	}
}

// compare compares the heap to the model.
func compare(t *testing.T, h *Heap[int], items []Item[int], model map[int]int64) {
	t.Helper()
	if h.Len() != len(model) {
		t.Fatalf("Len = %d, want %d", h.Len(), len(model))
	}
	earliest := int64(math.MaxInt64)
	for _, d := range model {
		earliest = min(earliest, d)
	}
	for i := range items {
		d, in := items[i].Deadline()
		if want, ok := model[i]; d != want || in != ok {
			t.Fatalf("Deadline = %d, %v, want %d, %v", d, in, want, ok)
		}
	}
	switch it := h.Min(); {
	case it == nil && len(model) == 0:
	case it == nil || len(model) == 0:
		t.Fatalf("Min = %v with %d items", it, len(model))
	case it.deadline != earliest:
		t.Fatalf("Min is at %d, want %d", it.deadline, earliest)
	}
}

func TestDrainsInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h Heap[int]
	var want, got []int64
	for range 1000 {
		d := rnd.Int64N(500)
		want = append(want, d)
		h.Set(new(Item[int]), d)
	}
	slices.Sort(want)
	for it := h.Min(); it != nil; it = h.Min() {
		d, in := it.Deadline()
		if !in {
			t.Fatal("the earliest item is in no heap")
		}
		got = append(got, d)
		h.Remove(it)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// TestEqualDeadlines compares two runs. Items with equal deadlines may come in any order, but in
// the same order both times.
func TestEqualDeadlines(t *testing.T) {
	run := func() (order []int) {
		var h Heap[int]
		items := make([]Item[int], 50)
		for i := range items {
			items[i].Value = i
			h.Set(&items[i], 7)
		}
		for i := 0; i < len(items); i += 3 {
			h.Set(&items[i], 8)
			h.Set(&items[i], 7)
		}
		for it := h.Min(); it != nil; it = h.Min() {
			order = append(order, it.Value)
			h.Remove(it)
		}
		return order
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Fatalf("two runs differ: %v and %v", a, b)
	}
}

func TestRemovedItemsAreForgotten(t *testing.T) {
	var h Heap[int]
	it := new(Item[int])
	h.Remove(it) // in no heap: nothing happens
	h.Set(it, 1)
	h.Remove(it)
	h.Remove(it)
	if d, in := it.Deadline(); d != 0 || in {
		t.Fatalf("Deadline = %d, %v after Remove", d, in)
	}
	if h.Min() != nil || h.Len() != 0 || h.entries[:1][0].item != nil {
		t.Fatal("the heap still knows a removed item")
	}
}

func TestAllocs(t *testing.T) {
	var h Heap[int]
	items := make([]Item[int], 100)
	now := int64(0)
	turn := func() {
		for i := range items {
			now++
			h.Set(&items[i], now)
		}
		h.Remove(h.Min())
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
}

// BenchmarkSetLater pushes deadlines of 10,000 items into the future in turn, as
// idle timeouts are.
func BenchmarkSetLater(b *testing.B) {
	var h Heap[int]
	items := make([]Item[int], 10_000)
	for i := range b.N {
		h.Set(&items[i%len(items)], int64(i))
	}
}

func BenchmarkSetOfOne(b *testing.B) {
	var h Heap[int]
	var it Item[int]
	for i := range b.N {
		h.Set(&it, int64(i))
	}
}
