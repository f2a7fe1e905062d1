package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestRequirements: nothing is missing in this module, and the page in docs has its counts.
func TestRequirements(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(&out, root, false))
	page, err := os.ReadFile(filepath.Join(root, "docs", "requirements.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), out.String(), "put what go run ./internal/requirements prints into docs/requirements.md")
}

// TestFaults finds what is missing in a small module.
func TestFaults(t *testing.T) {
	files := map[string]string{
		"internal/requirements/rfc7.txt": "A Title\n\n3 [1] MUST a\n3 [2] MUST NOT b\n3.1 [1] SHOULD c | nobody asks for it\n4 [1] MUST d\n",
		"x.go": `package x

// A T is as RFC 7, Section 3
// [1, 2], demands.
type T struct{}

func f() {
	g() // RFC 7, Section 3 [9]
}
`,
		"x_test.go": "package x\n\n// TestT is RFC 7, Section 3 [2].\nfunc TestT() {}\n",
		"sub/y.go":  "// Package y ignores RFC 7, Section 3, and keeps to RFC 8, Section 1 [1].\npackage y\n",
	}
	check := func(want string, faults ...string) {
		t.Helper()
		dir := t.TempDir()
		for name, text := range files {
			name = filepath.Join(dir, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
			require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
		}
		var out strings.Builder
		err := run(&out, dir, true)
		require.Contains(t, out.String(), want)
		if len(faults) == 0 {
			require.NoError(t, err)
			return
		}
		require.Error(t, err)
		require.Equal(t, strings.Join(faults, "\n"), err.Error())
	}
	check("| RFC 7, A Title | 4 | 1 | 1 | 2 |",
		"sub/y.go:1 (y) cites RFC 8, Section 1 [1], which is in no list",
		"x.go:8 (f) cites RFC 7, Section 3 [9], which is in no list",
		"RFC 7, Section 3 [1]: no test cites it: MUST a",
		"RFC 7, Section 4 [1]: neither code nor a test cites it: MUST d")

	files["x.go"] = strings.ReplaceAll(files["x.go"], "3 [9]", "4 [1]")
	files["x_test.go"] += "\n// RFC 7, Section 3 [1], and RFC 7, Section 3.1 [1].\nfunc TestU() {}\n"
	delete(files, "sub/y.go")
	check("\nRFC 7, Section 3 [2]: MUST NOT b\n    code: x.go:3 (T)\n    test: x_test.go:3 (TestT)\n",
		"RFC 7, Section 3.1 [1]: has a reason why no code obeys it, and code or tests that cite it: SHOULD c",
		"RFC 7, Section 4 [1]: no test cites it: MUST d")

	files["x_test.go"] = strings.ReplaceAll(files["x_test.go"], "3.1 [1]", "4 [1]")
	check("| RFC 7, A Title | 4 | 3 | 1 | 0 |")
}

// TestMalformedLists: a list with a gap in its numbers, or with a line that is no requirement.
func TestMalformedLists(t *testing.T) {
	for _, text := range []string{
		"Title\n3 [2] MUST a\n",
		"Title\n3 [1] MUST a\n3 [1] MUST b\n",
		"Title\n3 [1] MAY a\n",
		"Title\n3 MUST a\n",
		"Title\n3 [1] MUST\n",
	} {
		_, err := parseList(text)
		require.Error(t, err, "%q", text)
	}
}
