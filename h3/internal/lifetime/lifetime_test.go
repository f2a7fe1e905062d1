package lifetime

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestTimes(t *testing.T) {
	require.Equal(t, time.Minute, Timeout(0, time.Minute))
	require.Equal(t, time.Duration(0), Timeout(-1, time.Minute))
	require.Equal(t, time.Second, Timeout(time.Second, time.Minute))
	require.Equal(t, 3*time.Second, lingerTime(0))
	require.Equal(t, 6*time.Second, lingerTime(2*time.Second))
	require.Equal(t, 10*time.Second, lingerTime(time.Minute))

	var never time.Time
	now := time.Unix(1e9, 0)
	require.False(t, Due(never, now))
	require.True(t, Due(now, now))
	require.Equal(t, now, Earlier(never, now))
	require.Equal(t, now, Earlier(now, never))
	require.Equal(t, now, Earlier(now.Add(1), now))
}
