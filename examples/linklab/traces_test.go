package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestTraces: a link that stands still for half of the time. A row for each controller has figures
// that are possible.
func TestTraces(t *testing.T) {
	var b strings.Builder
	for ms := range 2000 {
		if ms%1000 < 500 {
			fmt.Fprintln(&b, ms)
		}
	}
	b.WriteString("2000\n")
	name := filepath.Join(t.TempDir(), "half")
	require.NoError(t, os.WriteFile(name, []byte(b.String()), 0o600))

	var out bytes.Buffer
	require.NoError(t, run([]string{"-trace", name}, &out))
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, rows, 2+len(controllers))
	for i, row := range rows[2:] {
		require.Contains(t, row, "| half | 6.0 Mbit/s | "+controllers[i].name+" | ")
		require.Regexp(t, `\| [1-9]\d % \| \d+m?s \| \d+m?s \| [01]\.\d\d s \|`, row)
	}
}
