package stream

import (
	"testing"

	"github.com/lazoquic/lazo/internal/memory"
)

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
	p.Trim(10*ChunkSize + 1)
	if p.Free() != 10*ChunkSize || p.free[:11][10] != nil {
		t.Fatalf("%d bytes are kept after Trim", p.Free())
	}
	p.Trim(-1)
	if p.Free() != 0 {
		t.Fatalf("%d bytes are kept after Trim", p.Free())
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

// TestListSlides keeps three chunks in use while the window moves on. The list must neither grow
// nor keep old chunks.
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
		if s.mem != nil {
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

// TestHolderCounts: the holder of a Pool has counted exactly what a buffer holds, whatever the
// buffer is used for.
func TestHolderCounts(t *testing.T) {
	var shared Pool
	all := memory.New(1 << 30)
	holder := all.Child()
	p := shared.For(&holder)
	var in RecvBuffer
	var out SendBuffer
	check := func(what string) {
		t.Helper()
		if want := int64(in.Bytes() + out.Bytes()); holder.Used() != want || all.Used() != want {
			t.Fatalf("%s: %d bytes are counted, %d of all, and %d held", what, holder.Used(), all.Used(), want)
		}
	}
	for i := range uint64(100) {
		in.Write(&p, 1000*i+500, make([]byte, 400))
		check("data with gaps")
	}
	for i := range uint64(100) {
		in.Write(&p, 1000*i, make([]byte, 1000))
		in.Discard(&p, in.Ready())
		check("gaps filled")
	}
	out.Append(&p, make([]byte, 100_000))
	out.MarkSent(0, 100_000)
	for i := range 99 {
		out.Ack(&p, uint64(1000*i+500), 100)
		check("acknowledgements with gaps")
		out.Lose(&p, uint64(1000*i), 100)
		check("losses")
	}
	in.Write(&p, 1<<20, make([]byte, 10))
	check("data far ahead")
	in.Reset(&p)
	check("Reset")
	out.Reset(&p)
	check("both")
	if all.Used() != 0 || shared.Used() != 0 {
		t.Fatalf("%d and %d bytes are counted at the end", all.Used(), shared.Used())
	}
}
