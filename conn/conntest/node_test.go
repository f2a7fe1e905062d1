package conntest

import (
	"testing"
	"time"

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
