package rangeset

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// universe is how many integers the model knows.
const universe = 300

// A model is a set that is too simple to be wrong.
type model [universe]bool

func (m *model) set(start, end uint64, in bool) (changed bool) {
	for v := start; v < end; v++ {
		changed = changed || m[v] != in
		m[v] = in
	}
	return changed
}

func (m *model) ranges() []Range {
	var r []Range
	for v, in := range m {
		switch n := len(r) - 1; {
		case !in:
		case n >= 0 && r[n].End == uint64(v):
			r[n].End++
		default:
			r = append(r, Range{uint64(v), uint64(v) + 1})
		}
	}
	return r
}

// check compares the whole of s to the model.
func check(t *testing.T, s *Set, m *model) {
	t.Helper()
	want := m.ranges()
	if !slices.Equal(s.r, want) {
		t.Fatalf("got %v, want %v", s.r, want)
	}
	if s.Len() != len(want) {
		t.Fatalf("Len = %d, want %d", s.Len(), len(want))
	}
	var size, low, high uint64
	for i, r := range want {
		if s.At(i) != r {
			t.Fatalf("At(%d) = %v, want %v", i, s.At(i), r)
		}
		size += r.End - r.Start
		high = r.End - 1
	}
	if len(want) > 0 {
		low = want[0].Start
	}
	if s.Size() != size || s.Min() != low || s.Max() != high {
		t.Fatalf("Size, Min, Max = %d, %d, %d, want %d, %d, %d", s.Size(), s.Min(), s.Max(), size, low, high)
	}
	next := 0 // the first range that ends above v
	for v, in := range m {
		v := uint64(v)
		if s.Contains(v) != in {
			t.Fatalf("Contains(%d) = %v", v, !in)
		}
		for next < len(want) && want[next].End <= v {
			next++
		}
		if got := s.Search(v); got != next {
			t.Fatalf("Search(%d) = %d, want %d", v, got, next)
		}
	}
}

func checkContainsRange(t *testing.T, s *Set, m *model, start, end uint64) {
	t.Helper()
	want := true
	for v := start; v < end; v++ {
		want = want && m[v]
	}
	if got := s.ContainsRange(start, end); got != want {
		t.Fatalf("%v.ContainsRange(%d, %d) = %v", s.r, start, end, got)
	}
}

// step applies one operation to both.
func step(t *testing.T, s *Set, m *model, op byte, start, end uint64) {
	t.Helper()
	switch op % 8 {
	case 0, 1, 2, 3:
		if got, want := s.Add(start, end), m.set(start, end, true); got != want {
			t.Fatalf("Add(%d, %d) = %v", start, end, got)
		}
	case 4, 5:
		s.Remove(start, end)
		m.set(start, end, false)
	case 6:
		n := min(int(start%4), s.Len())
		for _, r := range s.r[:n] {
			m.set(r.Start, r.End, false)
		}
		s.RemoveFirst(n)
	case 7:
		if start == end { // rarely
			s.Reset()
			*m = model{}
		}
		checkContainsRange(t, s, m, start, end)
	}
	check(t, s, m)
}

func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for round := range 60 {
		var s Set
		var m model
		longest := 1 + rnd.Uint64N(2+uint64(round)) // short ranges make many
		for range 300 {
			start := rnd.Uint64N(universe)
			end := min(start+rnd.Uint64N(longest+1), universe)
			step(t, &s, &m, byte(rnd.Uint32()), start, end)
		}
	}
}

func FuzzRangeSet(f *testing.F) {
	f.Add([]byte{0, 10, 5, 0, 20, 5, 0, 12, 9, 4, 14, 2})
	f.Add([]byte{0, 0, 200, 4, 1, 1, 4, 3, 1, 4, 5, 1, 6, 2, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var s Set
		var m model
		for ; len(ops) >= 3; ops = ops[3:] {
			start := uint64(ops[1])
			step(t, &s, &m, ops[0], start, min(start+uint64(ops[2]), universe))
		}
	})
}

func TestEmptyRanges(t *testing.T) {
	var s Set
	if s.Add(5, 5) || s.Add(6, 5) || s.Len() != 0 {
		t.Fatalf("adding nothing made %v", s.r)
	}
	s.Add(10, 20)
	s.Remove(15, 15)
	s.Remove(16, 15)
	if s.Len() != 1 {
		t.Fatalf("removing nothing made %v", s.r)
	}
	if !s.ContainsRange(3, 3) || s.ContainsRange(9, 11) {
		t.Fatal("ContainsRange is wrong")
	}
}

func TestLargestIntegers(t *testing.T) {
	const most = ^uint64(0)
	var s Set
	s.Add(most-1, most)
	s.Add(0, 1)
	s.Add(1, most-1)
	if want := []Range{{0, most}}; !slices.Equal(s.r, want) {
		t.Fatalf("got %v, want %v", s.r, want)
	}
	s.Remove(1, most)
	if want := []Range{{0, 1}}; !slices.Equal(s.r, want) {
		t.Fatalf("got %v, want %v", s.r, want)
	}
}

// TestEveryOtherInteger builds the worst set possible, from either end, and fills it.
func TestEveryOtherInteger(t *testing.T) {
	const n = 5000
	var up, down Set
	for i := range uint64(n) {
		if !up.Add(2*i, 2*i+1) || !down.Add(2*(n-1-i), 2*(n-1-i)+1) {
			t.Fatalf("integer %d was not new", i)
		}
	}
	if up.Len() != n || !slices.Equal(up.r, down.r) {
		t.Fatalf("%d and %d ranges, want %d", up.Len(), down.Len(), n)
	}
	if up.Size() != n || up.Max() != 2*n-2 {
		t.Fatalf("Size, Max = %d, %d", up.Size(), up.Max())
	}
	if !up.Add(0, 2*n) || up.Len() != 1 {
		t.Fatalf("%d ranges are left, want 1", up.Len())
	}
	for i := range uint64(n) {
		down.Add(2*i+1, 2*i+2)
	}
	if !slices.Equal(up.r, down.r) {
		t.Fatalf("got %v, want %v", down.r, up.r)
	}
}

func TestMemoryWhenEmpty(t *testing.T) {
	for name, empty := range map[string]func(*Set){
		"Reset":       (*Set).Reset,
		"Remove":      func(s *Set) { s.Remove(0, 1<<20) },
		"RemoveFirst": func(s *Set) { s.RemoveFirst(s.Len()) },
	} {
		var s Set
		for i := range uint64(1000) {
			s.Add(2*i, 2*i+1)
		}
		if empty(&s); s.Len() != 0 || cap(s.r) > keepRanges {
			t.Errorf("%s leaves %d ranges and memory for %d", name, s.Len(), cap(s.r))
		}
		s.Add(1, 2)
		was := cap(s.r)
		if empty(&s); cap(s.r) != was {
			t.Errorf("%s drops a memory of %d ranges", name, was)
		}
	}
}

// TestAllocs moves a set of 64 ranges along, as the set of received packet numbers moves under
// steady loss. It also refills a set of 3 ranges.
func TestAllocs(t *testing.T) {
	var s Set
	v := uint64(0)
	slide := func() {
		s.Add(v, v+3)
		s.Add(v+4, v+5)
		s.Add(v+3, v+4)
		if v += 7; s.Len() > 64 {
			s.RemoveFirst(s.Len() - 64)
		}
	}
	for range 200 {
		slide()
	}
	if n := testing.AllocsPerRun(1000, slide); n != 0 {
		t.Errorf("sliding allocates %v times", n)
	}
	var few Set
	refill := func() {
		few.Add(30, 40)
		few.Add(10, 20)
		few.Remove(35, 36)
		few.Remove(0, 50)
	}
	refill()
	if n := testing.AllocsPerRun(1000, refill); n != 0 {
		t.Errorf("refilling allocates %v times", n)
	}
}

func BenchmarkAddInOrder(b *testing.B) {
	var s Set
	for v := range uint64(b.N) {
		s.Add(v, v+1)
	}
}

// BenchmarkSlide is one packet of 64 ranges held, every tenth packet lost.
func BenchmarkSlide(b *testing.B) {
	var s Set
	for v := range uint64(b.N) {
		if v%10 == 0 {
			continue
		}
		if s.Add(v, v+1); s.Len() > 64 {
			s.RemoveFirst(1)
		}
	}
}

// BenchmarkRemoveFirst takes the first of 4,096 ranges.
func BenchmarkRemoveFirst(b *testing.B) {
	var s Set
	for v := range uint64(4096) {
		s.Add(2*v, 2*v+1)
	}
	for v := range uint64(b.N) {
		s.RemoveFirst(1)
		s.Add(2*(v+4096), 2*(v+4096)+1)
	}
}
