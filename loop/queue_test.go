package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/conn"
)

func TestQueueModel(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var q queue[int]
	var model []int
	for i := range 10_000 {
		if r.IntN(100) < 40+20*(i/2000%2) {
			q.push(i)
			model = append(model, i)
		} else if r.IntN(200) == 0 {
			drop := func(v int) bool { return v%4 == 0 }
			q.keep(func(v int) bool { return !drop(v) })
			model = slices.DeleteFunc(model, drop)
			if rest := q.items[len(q.items):cap(q.items)]; len(rest) > 0 && rest[0] != 0 {
				t.Fatalf("seed %d, step %d: an item that was removed is still there", seed, i)
			}
		} else {
			if len(model) > 0 && q.oldest() != model[0] {
				t.Fatalf("seed %d, step %d: the oldest is %d, want %d", seed, i, q.oldest(), model[0])
			}
			take, at := q.pop, 0
			if r.IntN(2) == 0 {
				take, at = q.popNewest, len(model)-1
			}
			v, ok := take()
			if ok != (len(model) > 0) || ok && v != model[at] {
				t.Fatalf("seed %d, step %d: took %d, %v", seed, i, v, ok)
			}
			if ok {
				model = slices.Delete(model, at, at+1)
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
	account := &Account{l: new(Loop)}
	q := datagramQueue{pool: &pool, account: account}
	for round := range 3 {
		for i := range maxDatagrams {
			q.add(fmt.Appendf(nil, "datagram %d of round %d", i, round), conn.DatagramOptions{})
		}
		for i := range maxDatagrams {
			want := fmt.Sprintf("datagram %d of round %d", i, round)
			if got := string(q.front().b); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			q.drop()
		}
	}
	b := make([]byte, 1200)
	turn := func() {
		for range maxDatagrams {
			q.add(b, conn.DatagramOptions{})
		}
		if n := account.held.Load(); n < maxDatagrams*1200 {
			t.Fatalf("%d bytes are counted", n)
		}
		for range maxDatagrams {
			q.drop()
		}
	}
	turn()
	// sync.Pool loses some to the garbage collector, and a quarter under the race detector; each
	// costs two.
	if n := testing.AllocsPerRun(100, turn); n > maxDatagrams {
		t.Errorf("%d datagrams cost %v allocations", maxDatagrams, n)
	}
	if n := account.held.Load(); n != 0 {
		t.Errorf("%d bytes are counted for nothing", n)
	}
}
