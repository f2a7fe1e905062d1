package h3http

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestNetHTTPList checks docs/net-http.md. The tests that it names must exist. With the version of
// Go that it is about, it must name every test of net/http.
func TestNetHTTPList(t *testing.T) {
	b, err := os.ReadFile("../../docs/net-http.md")
	require.NoError(t, err)
	doc := string(b)
	ours := testsIn(t, ".", "")
	for name := range testsIn(t, "..", "h3.") {
		ours[name] = true
	}
	named := regexp.MustCompile("`((?:h3\\.)?Test\\w+)`").FindAllStringSubmatch(doc, -1)
	require.Greater(t, len(named), 100)
	for _, m := range named {
		require.True(t, ours[m[1]], "%s does not exist", m[1])
	}

	theirs := filepath.Join(build.Default.GOROOT, "src", "net", "http")
	version := strings.TrimPrefix(runtime.Version(), "go")
	if !strings.Contains(doc, version+", ") {
		return // the document is about another Go version
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(doc) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			listed[strings.TrimSpace(name)] = true
		}
	}
	for _, file := range []string{"clientserver_test.go", "serve_test.go", "transport_test.go"} {
		for name := range testsOf(t, filepath.Join(theirs, file), "") {
			require.True(t, listed[name], "%s of %s is not in the list", name, file)
		}
	}
}

// testsIn returns the names of the tests in a directory, with prefix.
func testsIn(t *testing.T, dir, prefix string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, file := range files {
		for name := range testsOf(t, file, prefix) {
			names[name] = true
		}
	}
	return names
}

// testsOf returns the names of the tests in a file, with prefix.
func testsOf(t *testing.T, file, prefix string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
			names[prefix+fn.Name.Name] = true
		}
	}
	return names
}
