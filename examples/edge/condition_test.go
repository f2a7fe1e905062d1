package main

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/examples/internal/yamlfile"
	"github.com/lazoquic/lazo/internal/require"
)

// TestChecked: a backend goes and comes with rows of checks, and not with single ones.
func TestChecked(t *testing.T) {
	c := condition{checks: &checkConfig{Healthy: 2, Unhealthy: 3}}
	now := time.Now()
	for i, step := range []struct{ ok, up bool }{
		{true, true}, {false, true}, {false, true}, {true, true}, {false, true}, {false, true}, {false, false},
		{true, false}, {false, false}, {true, false}, {true, true}, {false, true},
	} {
		c.checked(step.ok)
		require.Equal(t, step.up, c.available(now), "step %d", i)
	}
}

// TestEject: failures in a row take a backend out, each time for twice as long. After its return
// one failure is enough, until it has answered for long enough.
func TestEject(t *testing.T) {
	c := condition{eject: ejectConfig{Failures: 3, For: yamlfile.Span(10 * time.Second), Max: yamlfile.Span(30 * time.Second)}}
	now := time.Now()
	require.False(t, c.failed(now))
	require.False(t, c.failed(now))
	c.succeeded(now)
	require.False(t, c.failed(now))
	require.False(t, c.failed(now))
	require.True(t, c.failed(now))
	for _, pause := range []time.Duration{10, 20, 30, 30} {
		pause *= time.Second
		require.Equal(t, pause, c.ejectAt(now))
		require.False(t, c.available(now))
		require.False(t, c.available(now.Add(pause-1)))
		now = now.Add(pause)
		require.True(t, c.available(now))
		c.succeeded(now)
		require.True(t, c.failed(now), "one is enough")
	}
	c.ejectAt(now)
	now = now.Add(time.Minute)
	c.succeeded(now)
	require.False(t, c.failed(now), "as good as new")
	require.False(t, c.failed(now))
	require.True(t, c.failed(now))
	require.Equal(t, 10*time.Second, c.ejectAt(now))
}

func TestBudget(t *testing.T) {
	b := newBudget(0.25)
	spent := func() (n int) {
		for b.spend() {
			n++
		}
		return n
	}
	require.Equal(t, maxSaved, spent())
	for range 8 {
		b.earn()
	}
	require.Equal(t, 2, spent())
	for range 1000 {
		b.earn()
	}
	require.Equal(t, maxSaved, spent())
}
