package nethttp

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// toolchain is the Go whose tests run.
const toolchain = "go1.27.4"

// adapter is the package that the tests go through.
const adapter = "github.com/lazoquic/lazo/h3/h3http/nethttp"

// An edit changes a file of net/http's tests.
type edit struct{ file, old, new string }

// edits make the tests run for HTTP/3 alone. Go skips many of them for its own implementation, and
// all of them for now.
var edits = []edit{
	{"clientserver_test.go", "\t\tif mode == http3Mode {\n\t\t\tcontinue", "\t\tif mode != http3Mode {\n\t\t\tcontinue"},
	{"clientserver_test.go", "http3SkippedMode = []testMode{http1Mode, http2Mode}", "http3SkippedMode = []testMode{http3Mode}"},
	{"clientserver_test.go", "endpoint := <-endpointCh\n", "endpoint := <-endpointCh\n\t\tcst.ts.Listener = endpoint.Listener()\n"},
}

// TestSuite runs the tests of net/http that run for HTTP/3. LAZO_PROGRAMS=1 asks for it; it takes
// minutes. LAZO_NETHTTP, a regular expression, chooses tests.
func TestSuite(t *testing.T) {
	if os.Getenv("LAZO_PROGRAMS") == "" {
		t.Skip("LAZO_PROGRAMS=1 runs the tests of net/http")
	}
	binary, dir := build(t)
	which := regexp.MustCompile(os.Getenv("LAZO_NETHTTP"))
	passed, skips, listed := 0, 0, 0
	for _, name := range calls(t, dir, which) {
		state, output := attempt(binary, dir, name)
		switch why := fails[name]; {
		case state == "pass" && why != "":
			t.Errorf("%s passes: take it out of fails", name)
		case state == "pass":
			passed++
		case state == "skip":
			skips++
			t.Logf("%s skips itself", name)
		case state == "none":
		case why != "":
			listed++
		default:
			t.Errorf("%s: %s\n%s", name, state, output)
		}
	}
	t.Logf("%d pass, %d skip themselves, %d fail as listed", passed, skips, listed)
	require.Positive(t, passed)
}

// build makes the program with the tests of net/http, and returns the directory where it runs.
func build(t *testing.T) (binary, dir string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "goroot")
	copyRoot(t, strings.TrimSpace(string(command(t, "../../..", toolchain, "go", "env", "GOROOT"))), root)
	vendor := filepath.Join(root, "src", "vendor")
	for _, p := range []string{"quic", "http3", "internal/http3"} {
		require.NoError(t, os.RemoveAll(filepath.Join(vendor, "golang.org/x/net", p)))
	}
	put(t, "shim/quic.go.txt", filepath.Join(vendor, "golang.org/x/net/quic/quic.go"))
	put(t, "shim/http3.go.txt", filepath.Join(vendor, "golang.org/x/net/http3/http3.go"))
	addPackages(t, vendor)
	dir = filepath.Join(root, "src", "net", "http")
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(b, []byte(e.old)), e.old)
		require.NoError(t, os.Remove(path)) // it may be a link
		require.NoError(t, os.WriteFile(path, bytes.Replace(b, []byte(e.old), []byte(e.new), 1), 0o644))
	}
	binary = filepath.Join(t.TempDir(), "http.test")
	c := exec.Command(filepath.Join(root, "bin", "go"), "test", "-vet=off", "-c", "-o", binary, "net/http")
	c.Dir = t.TempDir() // outside of any module
	c.Env = append(os.Environ(), "GOROOT="+root, "GOTOOLCHAIN=local", "GOFLAGS=")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary, dir
}

// copyRoot copies a GOROOT. Files are links to those of the other one where that is possible.
func copyRoot(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dest := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case d.IsDir():
			return os.MkdirAll(dest, 0o755)
		case os.Link(path, dest) == nil:
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(dest, b, info.Mode()|0o200)
	}))
}

// addPackages puts the adapter, and what it imports, beside the packages that GOROOT has.
func addPackages(t *testing.T, vendor string) {
	t.Helper()
	listed := command(t, "../../..", toolchain, "go", "list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,SFiles", adapter)
	for d := json.NewDecoder(bytes.NewReader(listed)); d.More(); {
		var p struct {
			ImportPath, Dir string
			Standard        bool
			GoFiles, SFiles []string
		}
		require.NoError(t, d.Decode(&p))
		dest := filepath.Join(vendor, p.ImportPath)
		if _, err := os.Stat(dest); p.Standard || err == nil && hasGo(dest) {
			continue
		}
		for _, name := range append(p.GoFiles, p.SFiles...) {
			put(t, filepath.Join(p.Dir, name), filepath.Join(dest, name))
		}
	}
}

// hasGo reports whether a directory is that of a package.
func hasGo(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(files) > 0
}

func put(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, b, 0o644))
}

// command runs a command with a toolchain.
func command(t *testing.T, dir, toolchain string, args ...string) []byte {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), &stderr)
	return out
}

// calls returns the tests that run once for each version of HTTP.
func calls(t *testing.T, dir string, which *regexp.Regexp) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	test := regexp.MustCompile(`(?ms)^func (Test\w+)\(t \*testing\.T\) \{(.*?\}\n|.*?^\})`)
	run := regexp.MustCompile(`\brun(Synctest)?\(|\}\.run\(`)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range test.FindAllSubmatch(b, -1) {
			if name := string(m[1]); run.Match(m[2]) && which.MatchString(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// attempts is how often a test may run until it passes: some count milliseconds.
const attempts = 3

// attempt runs a test, and returns pass, skip, fail, or none if it does not run for HTTP/3.
func attempt(binary, dir, name string) (state string, output []byte) {
	limit := time.Minute
	if fails[name] != "" {
		limit = 10 * time.Second // some of these wait for ever
	}
	for range attempts {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		c := exec.CommandContext(ctx, binary, "-test.short", "-test.v", "-test.run", "^"+name+"$")
		c.Dir = dir
		output, _ = c.CombinedOutput()
		cancel()
		switch {
		case !bytes.Contains(output, []byte("/h3")):
			return "none", output
		case skipped.Match(output) && c.ProcessState.Success():
			return "skip", output
		case c.ProcessState.Success():
			return "pass", output
		case fails[name] != "":
			return "fail", output
		}
	}
	return "fail", output
}

var skipped = regexp.MustCompile(`--- SKIP: \S*/h3`)
