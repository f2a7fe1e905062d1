// Package rangeset keeps sorted sets of integers as half-open ranges.
package rangeset

// A Range is the integers from Start up to but not including End.
type Range struct{ Start, End uint64 }

// A Set is a set of integers, held as sorted ranges that neither touch nor
// overlap. The zero Set is empty. It allocates only to grow.
type Set struct{ r []Range }

// Add adds the integers of [start, end), and reports whether any was new.
func (s *Set) Add(start, end uint64) bool { panic("sketch") }

// Remove removes the integers of [start, end).
func (s *Set) Remove(start, end uint64) { panic("sketch") }

// Contains reports whether v is in the set.
func (s *Set) Contains(v uint64) bool { panic("sketch") }

// ContainsRange reports whether all of [start, end) is in the set.
func (s *Set) ContainsRange(start, end uint64) bool { panic("sketch") }

// Len returns the number of ranges.
func (s *Set) Len() int { return len(s.r) }

// At returns the ith range in ascending order.
func (s *Set) At(i int) Range { return s.r[i] }

// Size returns how many integers are in the set.
func (s *Set) Size() uint64 { panic("sketch") }

// Min and Max return the smallest and largest integer; 0 of an empty set.
func (s *Set) Min() uint64 { panic("sketch") }
func (s *Set) Max() uint64 { panic("sketch") }

// RemoveFirst removes the n smallest ranges.
func (s *Set) RemoveFirst(n int) { panic("sketch") }

// Reset empties the set and keeps its memory for reuse, up to a small bound.
func (s *Set) Reset() { panic("sketch") }
