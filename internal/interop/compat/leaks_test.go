package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// leakMark begins what the tests of a program print if they end with more than they began with.
const leakMark = "LEAK: "

// watched is a test file for a package: it has the tests end with as much of Lazo as they began
// with.
const watched = `package %[1]s_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"%[2]s"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// What a program keeps without Lazo is its own.
	if err := leaks.Check(0, time.Minute); err != nil && strings.Contains(err.Error(), "github.com/lazoquic/lazo/") {
		fmt.Printf("%[3]s%%v\n", err)
	}
	os.Exit(code)
}
`

// watch adds the package leaks of compat/quic-go to the program, and a TestMain that uses it to
// those of its packages that have none.
func (p program) watch(t *testing.T, dir string) {
	t.Helper()
	copyTree(t, filepath.Join(module, "internal", "leaks"), filepath.Join(dir, "leaks"))
	list := append([]string{"go", "list", "-tags", p.tags, "-f", "{{.Name}}|{{.Dir}}|{{.TestGoFiles}}{{.XTestGoFiles}}"}, p.packages...)
	for line := range strings.Lines(string(command(t, dir, list...))) {
		f := strings.Split(strings.TrimSpace(line), "|")
		name, at := f[0], f[1]
		if name == "main" || f[2] == "[][]" || hasTestMain(t, at) {
			continue
		}
		text := fmt.Sprintf(watched, name, p.module+"/leaks", leakMark)
		require.NoError(t, os.WriteFile(filepath.Join(at, "zz_leaks_test.go"), []byte(text), 0o644))
	}
}

// hasTestMain reports whether the tests of a folder have a TestMain.
func hasTestMain(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		if strings.Contains(string(b), "func TestMain(") {
			return true
		}
	}
	return false
}
