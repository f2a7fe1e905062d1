package netns

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestMainThread checks that the main thread, whose namespace /proc/self shows, stays where it is.
func TestMainThread(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	for range 200 {
		n, err := New()
		if errors.Is(err, fs.ErrPermission) {
			t.Skipf("needs root: %v", err)
		}
		require.NoError(t, err)
		now, err := os.Readlink("/proc/self/ns/net")
		require.NoError(t, err)
		require.Equal(t, before, now)
		n.Close()
	}
}
