package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestDemo: the download by connection ID always succeeds. The one by addresses succeeds only if
// each hash happened to name the right server.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, demonstrate(t.Context(), &out))
	t.Log(out.String())
	byID, byAddress, ok := strings.Cut(out.String(), "\n2. ")
	require.True(t, ok)
	require.Contains(t, byID, "Result: complete after 10 changes, on one connection.")
	require.Equal(t, strings.Contains(byAddress, ": wrong"), strings.Contains(byAddress, "does not know it"))
}
