package h3

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestLimitsPage: the tests that docs/limits.md names exist, and every line of its tables
// has one.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/limits.md")
	require.NoError(t, err)
	dirs := map[string]string{
		"conn": "../conn", "loop": "../loop", "qpack": "../internal/qpack",
		"h3": ".", "h3http": "h3http", "h3loop": "h3loop", "webtransport": "webtransport", "masque": "masque",
	}
	sources := make(map[string]string)
	for name, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			sources[name] += string(b)
		}
	}
	word := regexp.MustCompile("`Test\\w+(/[\\w/]+)?`|\\w+")
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| what | ") {
			continue
		}
		rows++
		cells := strings.Split(line, " | ")
		pkg, tests := "", 0
		for _, w := range word.FindAllString(cells[len(cells)-1], -1) {
			if w[0] != '`' {
				pkg = w
				require.Contains(t, dirs, pkg, line)
				continue
			}
			tests++
			test, sub, isSub := strings.Cut(strings.Trim(w, "`"), "/")
			require.Contains(t, sources[pkg], "func "+test+"(", line)
			if !isSub {
				continue
			}
			require.Contains(t, sources[pkg], strings.ReplaceAll(path.Base(sub), "_", " "), line)
		}
		require.NotZero(t, tests, line)
	}
	require.Greater(t, rows, 30)
}
