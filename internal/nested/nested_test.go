package nested

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// root is the directory of the module, seen from here.
const root = "../.."

// TestModules runs `go test ./...` in each module. It runs one package at a time, because other
// tests run beside it. It passes on -v, -short, -race and the time that is left.
func TestModules(t *testing.T) {
	dirs := modules(t)
	require.Contains(t, dirs, filepath.Join(root, "internal", "interop"))
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := exec.Command("go", append([]string{"test", "-p=1"}, flags(t)...)...)
			c.Args = append(c.Args, "./...")
			c.Dir = dir
			c.Stdout, c.Stderr = t.Output(), t.Output()
			require.NoError(t, c.Run(), "in %s: %s", dir, c)
		})
	}
}

// flags are those of this test.
func flags(t *testing.T) (flags []string) {
	if testing.Verbose() {
		flags = append(flags, "-v")
	}
	if testing.Short() {
		flags = append(flags, "-short")
	}
	if race {
		flags = append(flags, "-race")
	}
	if end, ok := t.Deadline(); ok {
		flags = append(flags, "-timeout="+max(time.Until(end), time.Second).String())
	} else {
		flags = append(flags, "-timeout=0")
	}
	return flags
}

// modules returns the directories of the modules inside this one. It looks into every directory,
// which tells the go command what this test depends on: it runs again when a file changed.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (d.Name()[0] == '.' || d.Name() == "testdata"):
			return fs.SkipDir
		case d.Name() == "go.mod" && filepath.Dir(name) != root:
			dirs = append(dirs, filepath.Dir(name))
		}
		return nil
	}))
	return dirs
}

// TestDirectory: TestModules runs the tests of another module, not those of this one again.
func TestDirectory(t *testing.T) {
	for _, dir := range modules(t) {
		c := exec.Command("go", "list", "-m")
		c.Dir = dir
		out, err := c.Output()
		require.NoError(t, err)
		require.NotEqual(t, "github.com/lazoquic/lazo\n", string(out))
		_, err = os.Stat(filepath.Join(dir, "go.sum"))
		require.NoError(t, err)
	}
}
