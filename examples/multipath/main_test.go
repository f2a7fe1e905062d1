package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A short run dies and comes back, ends by itself, and writes a plot with a line for each path.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plot.svg")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-for", "2s", "-o", file}, &out))
	require.Contains(t, out.String(), "dead")
	require.Regexp(t, `\d MB by wifi, .*\d MB by mobile, in one connection\n$`, out.String())
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(svg, new(struct{ XMLName xml.Name })))
	require.Equal(t, 2, strings.Count(string(svg), "<polyline"))
}

func TestSample(t *testing.T) {
	s := sample{at: 1500 * time.Millisecond, rates: [2]float64{3.2, 100}, dead: [2]bool{true, false}}
	require.Equal(t, "  1.5 s  wifi       dead   ###                       mobile 100.0 Mbit/s "+strings.Repeat("#", 24), s.String())
}
