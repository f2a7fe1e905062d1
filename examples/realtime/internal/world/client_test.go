package world

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestClient runs a client beside a world whose clocks differ, over a path of 30 ms and 50 ms. It
// knows the round-trip time, the losses, and the age of another player's positions within half of
// the difference.
func TestClient(t *testing.T) {
	const up, down = 30 * time.Millisecond, 50 * time.Millisecond
	now := start.Add(time.Hour)
	w := New(start, 1)
	p, q := join(t, w, now, "Ann"), join(t, w, now, "Bob")
	c := NewClient(now.Add(-7 * time.Second))
	c.Ages = new(Ages)
	p.s.Datagram(now, c.Position(now.Add(-up), 2000, 2000, nil))
	p.s.player.x, p.s.player.y = 2000, 2000
	for i := range 100 {
		now = now.Add(Tick)
		p.s.Datagram(now, c.Position(now.Add(-up), 2000, 2000, nil))
		q.at(now, 2100, 2000)
		w.Tick(now)
		b := p.s.Snapshot(now, nil)
		if i%10 == 5 {
			continue // lost
		}
		require.True(t, c.Datagram(now.Add(down), b))
		require.False(t, c.Datagram(now.Add(down), b))
	}
	s := c.Stats()
	require.Equal(t, up+down, s.RTT)
	require.Equal(t, uint64(90), s.Snapshots)
	require.Equal(t, uint64(10), s.Missing)
	require.Equal(t, uint64(0), s.Late)
	require.Equal(t, 1, s.Seen)
	require.Equal(t, [2]int{2000, 2000}, [2]int{s.X, s.Y})
	require.Equal(t, (up+down)/2, c.Ages.Quantile(0.5))
	// Its own positions have the age of their way up.
	require.Equal(t, up+(down-up)/2, now.Sub(p.s.player.born))
}

// TestClientNewestWins checks that an older snapshot changes nothing but the counters.
func TestClientNewestWins(t *testing.T) {
	w := New(start, 1)
	p := join(t, w, start, "Ann")
	c := NewClient(start)
	var got [][]byte
	for i := range 4 {
		w.Tick(start)
		p.s.player.x = 100 + i
		got = append(got, p.s.Snapshot(start, nil))
	}
	for i, want := range []bool{true, false, true, false} {
		require.Equal(t, want, c.Datagram(start, got[[]int{1, 0, 3, 2}[i]]))
	}
	require.Equal(t, 103, c.Stats().X)
	require.Equal(t, uint64(0), c.Stats().Missing)
}

func TestAges(t *testing.T) {
	var a Ages
	require.Equal(t, time.Duration(0), a.Quantile(0.5))
	for i := range 1000 {
		a.Add(time.Duration(i) * time.Millisecond)
	}
	a.Add(-time.Second)
	a.Add(time.Hour)
	require.Equal(t, uint64(1002), a.N())
	require.Equal(t, 500*time.Millisecond, a.Quantile(0.5).Round(time.Millisecond))
	require.Equal(t, 6553500*time.Microsecond, a.Quantile(0.9999))
}
