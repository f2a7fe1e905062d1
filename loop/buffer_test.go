package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lazoquic/lazo/conn"
)

// TestBufferModel compares a buffer with a bytes.Buffer.
func TestBufferModel(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var pool chunkPool
	var b buffer
	var model bytes.Buffer
	p := make([]byte, 40<<10)
	for i := range 5000 {
		n := r.IntN(len(p)) >> r.IntN(12)
		switch r.IntN(5) {
		case 4:
			own := conn.Chunk(p[:4096])
			from := r.IntN(len(own))
			b.add(pool.get(), &own, from)
			model.Write(own[from:])
		case 0, 1:
			for j := range p[:n] {
				p[j] = byte(r.Uint32())
			}
			if model.Len() >= 1<<20 {
				break
			}
			model.Write(p[:n])
			if r.IntN(2) == 0 {
				b.writeShared(&pool, bytes.Clone(p[:n]))
			} else {
				b.write(&pool, p[:n])
			}
		case 2:
			got := make([]byte, n)
			k := b.read(&pool, got)
			if want := model.Next(n); !bytes.Equal(got[:k], want) {
				t.Fatalf("seed %d, step %d: read %d bytes that differ from %d", seed, i, k, len(want))
			}
		case 3:
			var f []byte
			if b.head != nil {
				f = b.head.bytes()
			}
			if len(f) == 0 != (model.Len() == 0) {
				t.Fatalf("seed %d, step %d: front of %d bytes, %d are there", seed, i, len(f), model.Len())
			}
			k := r.IntN(len(f) + 1)
			if !bytes.Equal(f[:k], model.Next(k)) {
				t.Fatalf("seed %d, step %d: front differs", seed, i)
			}
			b.discard(&pool, k)
		}
		if b.n != model.Len() {
			t.Fatalf("seed %d, step %d: %d bytes, want %d", seed, i, b.n, model.Len())
		}
		if b.n == 0 && (b.head != nil || b.tail != nil) {
			t.Fatalf("seed %d, step %d: an empty buffer holds memory", seed, i)
		}
	}
	b.reset(&pool)
	if b.n != 0 || b.head != nil || b.tail != nil {
		t.Error("reset left something")
	}
}

func TestQueueModel(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var q queue[int]
	var model []int
	for i := range 10_000 {
		if r.IntN(100) < 40+20*(i/2000%2) {
			q.push(i)
			model = append(model, i)
		} else {
			v, ok := q.pop()
			if ok != (len(model) > 0) || ok && v != model[0] {
				t.Fatalf("seed %d, step %d: pop returned %d, %v", seed, i, v, ok)
			}
			if ok {
				model = model[1:]
			}
		}
		if q.len() != len(model) {
			t.Fatalf("seed %d, step %d: len %d, want %d", seed, i, q.len(), len(model))
		}
	}
}

func TestQueueKeepsItsSize(t *testing.T) {
	var q queue[int]
	for i := range 100_000 {
		q.push(i)
		if i >= 10 {
			if v, _ := q.pop(); v != i-10 {
				t.Fatalf("popped %d, want %d", v, i-10)
			}
		}
	}
	if cap(q.items) > 64 {
		t.Errorf("a queue that holds 10 items has grown to %d", cap(q.items))
	}
}

func TestDatagramQueue(t *testing.T) {
	var pool datagramPool
	var q datagramQueue
	for round := range 3 {
		for i := range maxDatagrams {
			q.add(&pool, fmt.Appendf(nil, "datagram %d of round %d", i, round), 0)
		}
		for i := range maxDatagrams {
			want := fmt.Sprintf("datagram %d of round %d", i, round)
			if got := string(q.front().b); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			q.drop(&pool)
		}
	}
	b := make([]byte, 1200)
	turn := func() {
		for range maxDatagrams {
			q.add(&pool, b, 0)
		}
		for range maxDatagrams {
			q.drop(&pool)
		}
	}
	turn()
	// sync.Pool loses some to the garbage collector, and a quarter under the race detector; each
	// costs two.
	if n := testing.AllocsPerRun(100, turn); n > maxDatagrams {
		t.Errorf("%d datagrams cost %v allocations", maxDatagrams, n)
	}
}
