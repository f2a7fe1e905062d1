package loop

import (
	"testing"
	"time"
)

// TestSendOrder: goroutines run before a turn sends, until they took long. Then turns send first
// for a while.
func TestSendOrder(t *testing.T) {
	var o sendOrder
	now := time.Unix(1_000_000, 0)
	want := func(first bool) {
		t.Helper()
		if o.othersFirst(now) != first {
			t.Errorf("others run first: %v, want %v", !first, first)
		}
	}
	ran := func(d time.Duration) {
		o.ran(now, now.Add(d))
		now = now.Add(d)
	}
	want(true)
	ran(maxYielded - 1)
	want(true)
	for range 3 {
		ran(maxYielded)
		want(false)
		ran(0) // a turn that has sent lets them run, too
		now = now.Add(sendFirstFor - 1)
		want(false)
		now = now.Add(1)
		want(true)
	}
}
