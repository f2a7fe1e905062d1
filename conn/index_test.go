package conn_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// indexPage lists the sections of RFCs and the tests of each.
const indexPage = "../docs/rfc-tests.md"

var (
	indexName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)(?:/([^`]+))?`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// TestIndexOfTests: every test in the index exists. Every row has a test with peers that keep to
// the section, and one with peers that do not. Whoever renames a test has to rename it there too.
func TestIndexOfTests(t *testing.T) {
	page, err := os.ReadFile(indexPage)
	require.NoError(t, err)
	topics, rows := 0, 0
	index := testIndex{}
	for i, line := range strings.Split(string(page), "\n") {
		if strings.HasPrefix(line, "## ") {
			topics++
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| section") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, cells, 4, "line %d", i+1)
		for _, cell := range cells[2:] {
			names := indexName.FindAllStringSubmatch(cell, -1)
			if len(names) == 0 || len(names) != strings.Count(cell, "`")/2 {
				t.Errorf("%s:%d: %q names no test, or something else", indexPage, i+1, cell)
			}
			for _, n := range names {
				if err := index.find(t, n[1], n[2], n[3]); err != "" {
					t.Errorf("%s:%d: %s", indexPage, i+1, err)
				}
			}
		}
	}
	require.GreaterOrEqual(t, topics, 9)
	require.Greater(t, rows, 50)
}

// A testIndex has the file of each test, by the directory and the name of the test.
type testIndex map[string]map[string]string

// find returns what is wrong with the name of a test or of one of its cases, in a directory of the
// module.
func (x testIndex) find(t *testing.T, dir, name, part string) string {
	if x[dir] == nil {
		x[dir] = make(map[string]string)
		files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range testFunc.FindAllSubmatch(b, -1) {
				x[dir][string(m[1])] = string(b)
			}
		}
	}
	switch file, ok := x[dir][name]; {
	case !ok:
		return dir + " has no " + name
	case !strings.Contains(file, part):
		return dir + "." + name + " has no case " + part
	}
	return ""
}
