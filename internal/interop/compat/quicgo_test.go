package compat

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
// its process. LAZO_PROGRAMS=1 asks for it; it takes minutes. LAZO_QUICGO, a regular expression,
// chooses tests.
func TestQuicGo(t *testing.T) {
	if os.Getenv("LAZO_PROGRAMS") == "" {
		t.Skip("LAZO_PROGRAMS=1 runs the tests of quic-go")
	}
	dir := quicGoTree(t)
	which := regexp.MustCompile(os.Getenv("LAZO_QUICGO"))
	passed, listed := 0, 0
	for _, suite := range suites {
		binary := filepath.Join(t.TempDir(), filepath.Base(suite)+".test")
		command(t, filepath.Join(dir, suite), "go", "test", "-c", "-o", binary, ".")
		for name := range strings.Lines(string(command(t, dir, binary, "-test.list", "^Test"))) {
			if name = strings.TrimSpace(name); !which.MatchString(name) {
				continue
			}
			ok, output := attempt(filepath.Join(dir, suite), binary, name)
			switch why := quicGoFails[name]; {
			case ok && why != "" && why != forged:
				t.Errorf("%s passes: take it out of quicGoFails", name)
			case ok:
				passed++
			case why != "":
				listed++
			default:
				t.Errorf("%s fails:\n%s", name, output)
			}
		}
	}
	t.Logf("%d tests pass, and %d fail as listed", passed, listed)
	require.Positive(t, passed)
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

// attempt runs a test of a suite, and reports whether it passes.
func attempt(dir, binary, name string) (ok bool, output []byte) {
	for range attempts {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		c := exec.CommandContext(ctx, binary, "-test.v", "-test.run", "^"+name+"$")
		c.Dir = dir
		output, _ = c.CombinedOutput()
		ok = c.ProcessState.Success()
		if cancel(); ok || quicGoFails[name] != "" {
			break
		}
	}
	return ok, output
}
