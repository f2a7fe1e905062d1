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
		require.True(t, a.progresses(0, false), "timer %d", i)
	}
	require.False(t, a.progresses(0, false))
	require.True(t, a.progresses(0, true), "something came of it")
	for i := range 3 * spinLimit {
		require.True(t, a.progresses(time.Duration(i)*2*time.Microsecond, false), "timer %d, time passes", i)
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
