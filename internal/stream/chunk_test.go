package stream

import "testing"

// TestPoolBound returns more chunks and lists than the pool may keep.
func TestPoolBound(t *testing.T) {
	const streams = 200
	var p Pool
	var s [streams]SendBuffer
	data := make([]byte, 20*ChunkSize)
	for i := range s {
		s[i].Append(&p, data)
	}
	if want := int64(streams * len(data)); p.Used() != want {
		t.Fatalf("Used = %d, want %d", p.Used(), want)
	}
	for i := range s {
		s[i].Reset(&p)
	}
	if p.Used() != 0 || len(p.free) != maxFreeChunks || len(p.lists) != maxFreeLists {
		t.Fatalf("%d used, %d chunks and %d lists free", p.Used(), len(p.free), len(p.lists))
	}
	s[0].Append(&p, make([]byte, (maxFreeSlots+1)*ChunkSize))
	long := &s[0].chunks.slots[0]
	s[0].Reset(&p)
	for _, l := range p.lists {
		if &l[:1][0] == long {
			t.Fatal("the pool keeps a long list")
		}
	}
}

// TestListSlides keeps three chunks alive, the window moving on: the list must neither
// grow nor hold on to chunks.
func TestListSlides(t *testing.T) {
	var p Pool
	var l chunkList
	for i := range uint64(1000) {
		l.make(&p, i)
		if i >= 3 {
			l.drop(&p, i-2)
		}
		if got := min(i+1, 3); uint64(l.held()) != got || p.Used() != int64(got*ChunkSize) {
			t.Fatalf("after %d chunks: %d held, %d used", i+1, l.held(), p.Used())
		}
	}
	if cap(l.slots) > 8 {
		t.Fatalf("3 chunks lie in a list of %d slots", cap(l.slots))
	}
	for _, s := range l.slots[:l.head] {
		if s.chunk != nil {
			t.Fatal("the list still holds a chunk that was dropped")
		}
	}
}

// TestListDescending makes chunks from the last to the first, with holes.
func TestListDescending(t *testing.T) {
	var p Pool
	var l chunkList
	made := map[uint64]*Chunk{}
	for i := uint64(3000); i > 0; i -= 3 {
		made[i] = l.make(&p, i)
		made[i-2] = l.make(&p, i-2)
	}
	for i, c := range made {
		if l.get(i) != c {
			t.Fatalf("chunk %d is another one", i)
		}
	}
	for i := uint64(2); i < 3000; i += 3 {
		if _, ok := l.find(i); ok {
			t.Fatalf("chunk %d is there", i)
		}
	}
	if l.dropAll(&p); p.Used() != 0 || l.slots != nil {
		t.Fatalf("%d bytes are used after dropAll", p.Used())
	}
}
