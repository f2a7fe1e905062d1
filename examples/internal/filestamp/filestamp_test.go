package filestamp

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestOf(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	names := []string{a, b}
	seen := map[string]bool{Of(names): true}
	differs := func(what string) {
		t.Helper()
		now := Of(names)
		require.False(t, seen[now], what)
		require.Equal(t, now, Of(names[:1])+Of(names[1:]), "a line each")
		seen[now] = true
	}
	write := func(name, text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o600)) }
	at := time.Unix(1_700_000_000, 0)
	write(a, "one")
	require.NoError(t, os.Chtimes(a, at, at))
	differs("a file has come")
	require.NoError(t, os.Rename(a, b))
	differs("it is another one now")
	require.NoError(t, os.Chtimes(b, at, at.Add(1)))
	differs("another time")
	write(b, "two and")
	require.NoError(t, os.Chtimes(b, at, at))
	differs("another size")
}
