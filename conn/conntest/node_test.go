package conntest

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

func TestSpinsAreCounted(t *testing.T) {
	var a Node
	for i := range spinLimit - 1 {
		require.True(t, a.progresses(0, false, spinSpan, true), "timer %d", i)
	}
	require.False(t, a.progresses(0, false, 0, true))
	require.True(t, a.progresses(0, true, 0, true), "something came of it")
	for i := range 3 * spinLimit {
		now := time.Duration(i) * 2 * time.Microsecond
		require.True(t, a.progresses(now, false, now, true), "timer %d, time passes", i)
	}
}

// A node whose timer is far, or not set, rests. One whose timer is due, or soon will be, does not.
func TestWhatRestsDoesNotSpin(t *testing.T) {
	for _, x := range []struct {
		next  time.Duration
		set   bool
		rests bool
	}{{0, false, true}, {spinSpan + 1, true, true}, {spinSpan, true, false}, {0, true, false}} {
		var a Node
		spins := false
		for range 2 * spinLimit {
			spins = spins || !a.progresses(0, false, x.next, x.set)
		}
		require.Equal(t, x.rests, !spins, x)
	}
}

// A node that is asked for something many times in one instant spins only if it asks again itself.
func TestWhatIsAskedIsNoSpin(t *testing.T) {
	p := newPair(t, 1, Link{Delay: 10 * time.Millisecond})
	p.RunFor(time.Second)
	s, err := p.conn.OpenStream(conn.Uni)
	require.NoError(t, err)
	for range 4 * spinLimit {
		_, err := s.Write([]byte("a packet of its own, while the window lets it go"))
		require.NoError(t, err)
		p.RunFor(0)
	}
	for range 4 * spinLimit {
		p.After(time.Second, func() { p.conn.SetKeepAlive(time.Minute) })
	}
	p.RunFor(2 * time.Second) // the server acknowledges each packet, all in one instant
	require.Equal(t, 0, int(p.conn.Stats().BytesInFlight))
	require.NoError(t, p.conn.Err())
}
