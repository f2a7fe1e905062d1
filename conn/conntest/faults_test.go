package conntest

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// TestFaults: a fault changes its link from its beginning up to its end, and faults add up.
func TestFaults(t *testing.T) {
	ms := time.Millisecond
	l := newLink(&Link{Delay: ms, MTU: 1400, Faults: []Fault{
		{From: 10 * ms, To: 20 * ms, Loss: 1},
		{From: 30 * ms, To: 50 * ms, MTU: 1300, Delay: ms},
		{From: 40 * ms, To: 60 * ms, MTU: 1350, Delay: 2 * ms, Duplicate: 1},
	}}, 1, 0)
	for _, x := range []struct {
		now, delay time.Duration
		size, n    int
		fate       fate
	}{
		{9 * ms, ms, 1400, 1, 0},
		{10 * ms, 0, 100, 0, lost},
		{20*ms - 1, 0, 100, 0, lost},
		{20 * ms, ms, 100, 1, 0},
		{30 * ms, 0, 1301, 0, tooLarge},
		{30 * ms, 2 * ms, 1300, 1, 0},
		{45 * ms, 0, 1301, 0, tooLarge},
		{45 * ms, 4 * ms, 1300, 2, 0},
		{55 * ms, 3 * ms, 1350, 2, 0},
		{60 * ms, ms, 1400, 1, 0},
	} {
		got := l.send(x.now, packet(x.size))
		require.Equal(t, x.n, got.n, x.now)
		require.Equal(t, x.fate, got.fate, x.now)
		if x.n > 0 {
			require.Equal(t, x.now+x.delay, got.at[0], x.now)
		}
	}
}

// TestAfter: calls come in the order of their times, as steps, and may call After.
func TestAfter(t *testing.T) {
	n := New(t, 1)
	start := n.Now()
	var got []time.Duration
	note := func() { got = append(got, n.Now().Sub(start)) }
	n.After(3*time.Second, note)
	n.After(time.Second, func() {
		note()
		n.After(0, note)
		n.After(time.Second, note)
	})
	n.After(time.Second, note)
	n.RunFor(time.Second)
	require.Equal(t, []time.Duration{time.Second, time.Second, time.Second}, got)
	for n.Step() {
	}
	require.Equal(t, []time.Duration{time.Second, time.Second, time.Second, 2 * time.Second, 3 * time.Second}, got)
}

// TestAhead: a clock that jumps makes the node's timers due, and leaves the others alone.
func TestAhead(t *testing.T) {
	n := New(t, 1)
	n.Default = Link{Delay: 10 * time.Millisecond}
	rnd := Seed(t, 1)
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	var at time.Time
	var end error
	client.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventClosed {
			at, end = now, ev.Err
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, ClientConfig())
	require.NoError(t, err)
	n.RunFor(time.Second)
	require.True(t, c.HandshakeComplete())
	client.Ahead += time.Hour
	n.Step()
	require.ErrorIs(t, end, conn.ErrIdleTimeout)
	require.Equal(t, n.Now().Add(time.Hour), at)
	for s := range server.Conns() {
		require.NoError(t, s.Err())
	}
}
