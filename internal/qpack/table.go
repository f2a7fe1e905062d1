package qpack

// An entry is an entry of the dynamic table.
type entry struct{ name, value string }

func (e entry) size() uint64 { return uint64(len(e.name)) + uint64(len(e.value)) + fieldOverhead }

// A table is a dynamic table (RFC 9204, Section 3.2): a queue of entries, with absolute indices
// from 0 on. Its memory grows with its content.
type table struct {
	ring     []entry // a power of two long
	inserted uint64  // entries ever inserted: the absolute index of the next one
	dropped  uint64  // entries ever evicted: the absolute index of the oldest one
	size     uint64
	capacity uint64
}

// at returns the entry with an absolute index, if the table has it.
func (t *table) at(i uint64) (entry, bool) {
	if i < t.dropped || i >= t.inserted {
		return entry{}, false
	}
	return t.ring[i&uint64(len(t.ring)-1)], true
}

// evict drops entries from the oldest on until size is at most limit.
func (t *table) evict(limit uint64) {
	for t.size > limit {
		e := &t.ring[t.dropped&uint64(len(t.ring)-1)]
		t.size -= e.size()
		*e = entry{}
		t.dropped++
	}
}

// setCapacity changes the capacity (RFC 9204, Section 3.2.2).
func (t *table) setCapacity(c uint64) {
	t.capacity = c
	t.evict(c)
}

// insert adds an entry, and evicts others to make room. It reports false if the entry is larger
// than the table.
func (t *table) insert(e entry) bool {
	n := e.size()
	if n > t.capacity {
		return false
	}
	t.evict(t.capacity - n)
	if t.inserted-t.dropped == uint64(len(t.ring)) {
		t.grow()
	}
	t.ring[t.inserted&uint64(len(t.ring)-1)] = e
	t.inserted++
	t.size += n
	return true
}

// grow doubles the ring. The place of an entry depends on the length of the ring, so entries move.
func (t *table) grow() {
	ring := make([]entry, max(8, 2*len(t.ring)))
	for i := t.dropped; i < t.inserted; i++ {
		ring[i&uint64(len(ring)-1)] = t.ring[i&uint64(len(t.ring)-1)]
	}
	t.ring = ring
}
