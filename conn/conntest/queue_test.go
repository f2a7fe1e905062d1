package conntest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestQueueOrdersByTimeThenBySending(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q queue
	_, ok := q.next()
	require.False(t, ok)
	var want []*flight
	for i := range 1000 {
		f := &flight{at: time.Duration(r.IntN(50)), seq: uint64(i)}
		want = append(want, f)
		q.push(f)
	}
	slices.SortStableFunc(want, func(a, b *flight) int { return int(a.at - b.at) })
	for i, f := range want {
		at, ok := q.next()
		require.True(t, ok)
		require.Equal(t, f.at, at)
		require.Same(t, f, q.pop(), "flight %d", i)
	}
	require.Empty(t, q)
}

func TestQueueInterleaved(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var q queue
	var last time.Duration
	for i := range 5000 {
		if len(q) > 0 && r.IntN(3) == 0 {
			f := q.pop()
			require.GreaterOrEqual(t, f.at, last)
			last = f.at
			continue
		}
		q.push(&flight{at: last + time.Duration(r.IntN(10)), seq: uint64(i)})
	}
}
