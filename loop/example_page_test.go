package loop_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestExampleOfThePage: docs/io.md shows the Backend of ExampleBackend, which is run as a test.
func TestExampleOfThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/io.md")
	require.NoError(t, err)
	source, err := os.ReadFile("example_backend_test.go")
	require.NoError(t, err)
	_, backend, ok := strings.Cut(string(source), "// A tunnel is")
	require.True(t, ok)
	backend, _, ok = strings.Cut(backend, "\n// A Backend of")
	require.True(t, ok)
	require.Contains(t, string(page), "// A tunnel is"+backend+"```\n")
}
