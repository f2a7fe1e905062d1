package conn

import (
	"iter"
	"slices"
	"testing"
)

// dialSeveral returns a client with n connections.
func dialSeveral(t *testing.T, n int) (e *lone, cs []*Conn) {
	_, clientTLS := testTLS(t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	e = newLone(t, nil, nil)
	for i := range n {
		c, err := e.Dial(hour0(), Target{Remote: elsewhere(i), Local: e.addr}, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return e, cs
}

// TestClosedConnsKeepNoOthers: an application that keeps a closed Conn does not thereby keep the
// later ones in memory.
func TestClosedConnsKeepNoOthers(t *testing.T) {
	e, cs := dialSeveral(t, 4)
	for _, i := range []int{1, 0, 2, 3} {
		cs[i].Close(0, "")
		for range e.Conns() {
		}
		if cs[i].next != nil || cs[i].prev != nil {
			t.Errorf("connection %d still has neighbours", i)
		}
	}
	if e.first != nil || e.last != nil || e.walks != nil {
		t.Error("the list is not empty")
	}
}

// TestConnsMayCloseMeanwhile: any Conn may close at any step of the walk, and each of the others is
// still visited once.
func TestConnsMayCloseMeanwhile(t *testing.T) {
	const n = 4
	for step := range n {
		for first := range n {
			for second := range n {
				e, cs := dialSeveral(t, n)
				var seen []int
				for c := range e.Conns() {
					i := slices.Index(cs, c)
					seen = append(seen, i)
					if i == step {
						cs[first].Close(0, "")
						cs[second].Close(0, "")
					}
				}
				var want []int
				for i := range n {
					if i <= step || i != first && i != second {
						want = append(want, i)
					}
				}
				if !slices.Equal(seen, want) {
					t.Errorf("at %d closed %d and %d: saw %v, not %v", step, first, second, seen, want)
				}
			}
		}
	}
}

// TestWalksInAnyOrder: several loops over the connections run at once, and end in the order in
// which they began.
func TestWalksInAnyOrder(t *testing.T) {
	e, cs := dialSeveral(t, 3)
	next1, stop1 := iter.Pull(e.Conns())
	next2, stop2 := iter.Pull(e.Conns())
	next1()
	next2()
	cs[1].Close(0, "")
	if c, _ := next1(); c != cs[2] {
		t.Error("first walk went elsewhere")
	}
	stop1()
	if c, _ := next2(); c != cs[2] {
		t.Error("second walk went elsewhere")
	}
	stop2()
	if e.walks != nil {
		t.Error("walks are left")
	}
}
