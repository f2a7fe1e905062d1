// Package rangeset keeps sorted sets of integers as half-open ranges. They are packet numbers that
// arrived, or bytes of a stream that were acknowledged or lost.
package rangeset

import "slices"

// keepRanges is how many ranges an empty Set keeps memory for, at most.
const keepRanges = 16

// A Range is the integers from Start up to but not including End.
type Range struct{ Start, End uint64 }

// A Set is a set of integers, held as sorted ranges that neither touch nor
// overlap. The zero Set is empty. It allocates only to grow.
//
// Adding to or behind the last range, and removing from the first, take constant
// time; what changes ranges in the middle moves those behind it. A Set has no
// bound of its own: its user limits Len.
type Set struct{ r []Range }

// Add adds the integers of [start, end), and reports whether any was new.
func (s *Set) Add(start, end uint64) bool {
	if start >= end {
		return false
	}
	n := len(s.r)
	if n == 0 || start > s.r[n-1].End {
		s.r = append(s.r, Range{start, end})
		return true
	}
	if last := &s.r[n-1]; start >= last.Start {
		if end <= last.End {
			return false
		}
		last.End = end
		return true
	}
	return s.addWithin(start, end)
}

// addWithin adds a range that starts below the last one.
func (s *Set) addWithin(start, end uint64) bool {
	i := s.searchTouching(start)
	first := &s.r[i]
	if end < first.Start {
		s.r = slices.Insert(s.r, i, Range{start, end})
		return true
	}
	if first.Start <= start && end <= first.End {
		return false
	}
	j := i + 1 // the first range that does not join
	for j < len(s.r) && s.r[j].Start <= end {
		j++
	}
	first.Start = min(first.Start, start)
	first.End = max(s.r[j-1].End, end)
	s.cut(i+1, j)
	return true
}

// Remove removes the integers of [start, end).
func (s *Set) Remove(start, end uint64) {
	if start >= end || len(s.r) == 0 || end <= s.r[0].Start {
		return
	}
	i := s.Search(start)
	if i == len(s.r) {
		return
	}
	if r := &s.r[i]; r.Start < start {
		if end < r.End { // a hole in the middle
			rest := Range{end, r.End}
			r.End = start
			s.r = slices.Insert(s.r, i+1, rest)
			return
		}
		r.End = start
		i++
	}
	j := i
	for j < len(s.r) && s.r[j].End <= end {
		j++
	}
	if j < len(s.r) && s.r[j].Start < end {
		s.r[j].Start = end
	}
	s.cut(i, j)
}

// Contains reports whether v is in the set.
func (s *Set) Contains(v uint64) bool {
	i := s.Search(v)
	return i < len(s.r) && s.r[i].Start <= v
}

// ContainsRange reports whether all of [start, end) is in the set, as is the
// case if there is nothing in [start, end).
func (s *Set) ContainsRange(start, end uint64) bool {
	if start >= end {
		return true
	}
	i := s.Search(start)
	return i < len(s.r) && s.r[i].Start <= start && end <= s.r[i].End
}

// Search returns the index of the first range that ends above v: the one that
// contains v, or the next. It returns Len if there is none.
func (s *Set) Search(v uint64) int {
	if n := len(s.r); n == 0 || v >= s.r[n-1].End {
		return n
	}
	if v < s.r[0].End {
		return 0
	}
	lo, hi := 1, len(s.r)-1 // the answer lies in [lo, hi]
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); s.r[mid].End <= v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// searchTouching returns the index of the first range that ends at or above v. There must be one.
func (s *Set) searchTouching(v uint64) int {
	if v == 0 {
		return 0
	}
	return s.Search(v - 1)
}

// Len returns the number of ranges.
func (s *Set) Len() int { return len(s.r) }

// Bytes returns the bytes of memory that the Set holds.
func (s *Set) Bytes() int { return 16 * cap(s.r) }

// At returns the ith range in ascending order.
func (s *Set) At(i int) Range { return s.r[i] }

// Size returns how many integers are in the set.
func (s *Set) Size() uint64 {
	var n uint64
	for _, r := range s.r {
		n += r.End - r.Start
	}
	return n
}

// Min returns the smallest integer; 0 of an empty set.
func (s *Set) Min() uint64 {
	if len(s.r) == 0 {
		return 0
	}
	return s.r[0].Start
}

// Max returns the largest integer; 0 of an empty set.
func (s *Set) Max() uint64 {
	if len(s.r) == 0 {
		return 0
	}
	return s.r[len(s.r)-1].End - 1
}

// RemoveFirst removes the n smallest ranges.
func (s *Set) RemoveFirst(n int) { s.cut(0, n) }

// Reset empties the set and keeps its memory for reuse, up to a small bound.
func (s *Set) Reset() {
	if cap(s.r) > keepRanges {
		s.r = nil
		return
	}
	s.r = s.r[:0]
}

// cut removes the ranges from i up to but not including j. It moves later ranges down, so that no
// capacity is lost at the front.
func (s *Set) cut(i, j int) {
	if i == j {
		return
	}
	s.r = append(s.r[:i], s.r[j:]...)
	if len(s.r) == 0 {
		s.Reset()
	}
}
