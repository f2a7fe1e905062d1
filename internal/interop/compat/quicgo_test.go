package compat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// suites are quic-go's tests that use its exported API. Its other tests are of its internals.
var suites = []string{"integrationtests/self", "integrationtests/versionnegotiation"}

// internals are the packages of quic-go that these tests and their proxies parse and make packets
// with. Its internal/protocol has the types of that of compat/quic-go, too.
var internals = []string{"protocol", "handshake", "wire", "monotime", "utils", "qtls", "israce", "testdata"}

// additions are what internals need of packages of compat/quic-go that they take the place of, or
// use.
var additions = map[string]string{
	"internal/protocol/token.go": `package protocol

type TokenProtectorKey [32]byte
`,
	"internal/qerr/local.go": `package qerr

func NewLocalCryptoError(alert uint8, err error) *TransportError {
	return NewTransportError(0x100+TransportErrorCode(alert), "", err)
}
`,
}

// TestQuicGo runs quic-go's own tests on Lazo, each by itself, because one that waits for ever ends
// its process. After each it looks for goroutines and descriptors that are left; those that quic-go
// itself leaves, too, are the test's. LAZO_PROGRAMS=1 asks for it; it takes minutes. LAZO_QUICGO, a
// regular expression, chooses tests.
func TestQuicGo(t *testing.T) {
	if os.Getenv("LAZO_PROGRAMS") == "" {
		t.Skip("LAZO_PROGRAMS=1 runs the tests of quic-go")
	}
	ours, theirs := quicGoTree(t), sync.OnceValue(func() string { return quicGoItself(t) })
	which := regexp.MustCompile(os.Getenv("LAZO_QUICGO"))
	passed, listed, left := 0, 0, 0
	for _, suite := range suites {
		binary := buildSuite(t, ours, suite)
		reference := sync.OnceValue(func() string { return buildSuite(t, theirs(), suite) })
		for name := range strings.Lines(string(command(t, ours, binary, "-test.list", "^Test"))) {
			name = strings.TrimSpace(name)
			if !strings.HasPrefix(name, "Test") || name == leakTest || !which.MatchString(name) {
				continue // their TestMain prints something, too
			}
			o := attempt(binary, name)
			switch why := quicGoFails[name]; {
			case o.ok && why != "":
				t.Errorf("%s passes: take it out of quicGoFails", name)
			case o.ok:
				passed++
			case why != "":
				listed++
				continue
			default:
				t.Errorf("%s fails:\n%s", name, o.output)
				continue
			}
			if !o.leaks {
				continue
			}
			left++
			if !attempt(reference(), name).leaks {
				t.Errorf("%s leaves something behind:\n%s", name, o.output)
			}
		}
	}
	t.Logf("%d tests pass, and %d fail as listed", passed, listed)
	t.Logf("%d leave something behind, with quic-go itself, too", left)
	require.Positive(t, passed)
}

// leakTest is a test that fails if something is left of the one before.
const leakTest = "TestLazoLeaks"

const leakTestFile = `package %s

import (
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/internal/leaks"
)

// What a test keeps without a Transport is its own.
func ` + leakTest + `(t *testing.T) {
	err := leaks.Check(1, 5*time.Second)
	if err != nil && (strings.Contains(err.Error(), "github.com/lazoquic/lazo/") || strings.Contains(err.Error(), "quic-go.(*Transport)")) {
		t.Error(err)
	}
}
`

// buildSuite builds a suite with leakTest, beside its files.
func buildSuite(t *testing.T, tree, suite string) (binary string) {
	t.Helper()
	dir := filepath.Join(tree, suite)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	of := regexp.MustCompile(`(?m)^package (\w+)`).FindSubmatch(text)
	require.NotEmpty(t, of)
	// Tests run in the order of their files.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "zz_leaks_test.go"), fmt.Appendf(nil, leakTestFile, of[1]), 0o644))
	binary = filepath.Join(dir, "suite.test")
	command(t, dir, "go", "test", "-c", "-o", binary, ".")
	return binary
}

// quicGoItself returns a copy of quic-go with package leaks.
func quicGoItself(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "quic-go")
	copyTree(t, download(t, quicGo, "v0.65.0"), dir)
	copyTree(t, filepath.Join(module, "internal", "leaks"), filepath.Join(dir, "internal", "leaks"))
	return dir
}

// quicGoTree returns a copy of compat/quic-go with quic-go's tests and programs.
func quicGoTree(t *testing.T) string {
	t.Helper()
	_, dir := translatorCopy(t)
	theirs := download(t, quicGo, "v0.65.0")
	for _, d := range []string{"integrationtests", "interop", "example"} {
		copyTree(t, filepath.Join(theirs, d), filepath.Join(dir, d))
	}
	copyTree(t, filepath.Join(theirs, "testutils"), filepath.Join(dir, "testutils"))
	ours := filepath.Join("testutils", "events") // these stay
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ours)))
	copyTree(t, filepath.Join(module, ours), filepath.Join(dir, ours))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "internal", "protocol")))
	for _, p := range internals {
		copyTree(t, filepath.Join(theirs, "internal", p), filepath.Join(dir, "internal", p))
	}
	for name, text := range additions {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	command(t, dir, "go", "get", "github.com/stretchr/testify@v1.12.1", "go.uber.org/mock@v0.5.2", "golang.org/x/sync")
	command(t, dir, "go", "mod", "tidy")
	// Its programs build, too.
	command(t, dir, "go", "vet", "./interop/...", "./example/...")
	return dir
}

// attempts is how often a test may run until it passes. Many of quic-go's count milliseconds.
const attempts = 3

// An outcome is what came of a test.
type outcome struct {
	ok, leaks bool
	output    []byte
}

// attempt runs a test of a suite, and leakTest after it.
func attempt(binary, name string) (o outcome) {
	for range attempts {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
		c := exec.CommandContext(ctx, binary, "-test.v", "-test.run", "^("+name+"|"+leakTest+")$")
		c.Dir = filepath.Dir(binary)
		o.output, _ = c.CombinedOutput()
		cancel()
		o.leaks = bytes.Contains(o.output, []byte("--- FAIL: "+leakTest+" "))
		ended := o.leaks || c.ProcessState.Success()
		o.ok = ended && bytes.Contains(o.output, []byte("=== RUN   "+name+"\n")) && !bytes.Contains(o.output, []byte("--- FAIL: "+name+" "))
		if o.ok || quicGoFails[name] != "" {
			break
		}
	}
	return o
}
