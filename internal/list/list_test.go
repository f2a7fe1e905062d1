package list

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

type member struct {
	n     int
	place Item[*member]
}

// TestListModel compares two lists with slices, while members come, go and change sides.
func TestListModel(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var lists [2]List[*member]
	var want [2][]*member
	members := make([]*member, 20)
	for i := range members {
		members[i] = &member{n: i}
	}
	for step := range 20_000 {
		m := members[r.IntN(len(members))]
		in := slices.IndexFunc(want[:], func(s []*member) bool { return slices.Contains(s, m) })
		if i := max(in, 0); r.IntN(4) == 0 {
			lists[i].MoveToBack(&m.place, m)
			want[i] = append(slices.DeleteFunc(want[i], func(x *member) bool { return x == m }), m)
		} else if in >= 0 || r.IntN(4) == 0 {
			lists[i].Remove(&m.place)
			want[i] = slices.DeleteFunc(want[i], func(x *member) bool { return x == m })
		} else if i = r.IntN(2); r.IntN(2) == 0 {
			lists[i].PushBack(&m.place, m)
			want[i] = append(want[i], m)
		} else {
			lists[i].PushFront(&m.place, m)
			want[i] = slices.Insert(want[i], 0, m)
		}
		for i := range lists {
			require.Equal(t, len(want[i]) == 0, lists[i].Empty(), "seed %d, step %d", seed, step)
			var forth, back []*member
			for m := lists[i].First(); m != nil; m = m.place.Next() {
				forth = append(forth, m)
			}
			for it := lists[i].tail; it != nil; it = it.prev {
				back = append(back, it.value)
			}
			slices.Reverse(back)
			if !slices.Equal(forth, want[i]) || !slices.Equal(back, want[i]) {
				t.Fatalf("seed %d, step %d: the list differs", seed, step)
			}
		}
		if i := slices.IndexFunc(want[:], func(s []*member) bool { return slices.Contains(s, m) }); i < 0 {
			require.Equal(t, Item[*member]{}, m.place, "seed %d, step %d", seed, step)
		}
	}
}
