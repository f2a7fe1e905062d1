package conntest

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

func read(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b := make([]byte, 64)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return b
}

func TestSeedReplays(t *testing.T) {
	t.Setenv(seedVariable, "3")
	a, b := read(t, Seed(t, 3)), read(t, rand.Reader)
	require.NotEqual(t, a, b, "the core and TLS draw differently")
	require.Equal(t, a, read(t, Seed(t, 3)))
	require.Equal(t, b, read(t, rand.Reader))
}

func TestSeedsDiffer(t *testing.T) {
	require.NotEqual(t, read(t, newSource(1)), read(t, newSource(2)))
}

func TestSeedFromEnvironment(t *testing.T) {
	t.Setenv(seedVariable, "0x10")
	require.EqualValues(t, 16, effectiveSeed(t, 7))
	require.EqualValues(t, 16, New(t, 7).seed)
	require.Equal(t, read(t, newSource(16)), read(t, Seed(t, 7)))
}

func TestSeedFromEnvironmentIsChecked(t *testing.T) {
	t.Setenv(seedVariable, "seven")
	r := new(recorder)
	r.run(func() { New(r, 1) })
	require.Contains(t, r.fatal, seedVariable)
	require.Contains(t, r.fatal, "seven")
}

func TestReplayLine(t *testing.T) {
	t.Run("loss=0.1, rtt=2s", func(t *testing.T) {
		require.Equal(t, `seed 7; replay: LAZO_SEED=7 go test -count=1 `+
			`-run '^TestReplayLine$/^loss=0\.1,_rtt=2s$' ./conn/conntest`, replayLine(t, 7))
	})
	require.Equal(t, `'^TestX$/^it'\''s$'`, runPattern("TestX/it's"))
}

// A recorder is a testing.TB that may fail without failing this test.
type recorder struct {
	testing.TB // nil: for the methods that are not used
	fatal, log string
	failed     bool
	cleanup    []func()
}

type stopped struct{}

func (r *recorder) Helper()          {}
func (r *recorder) Name() string     { return "TestRecorded" }
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Logf(format string, args ...any) {
	r.log += fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = true
	r.fatal = strings.TrimSpace(fmt.Sprintf(format, args...))
	panic(stopped{})
}

// run runs f as a test until it fails, and then the clean-up functions.
func (r *recorder) run(f func()) {
	func() {
		defer func() {
			if v := recover(); v != nil && v != (any)(stopped{}) {
				panic(v)
			}
		}()
		f()
	}()
	for _, c := range r.cleanup {
		c()
	}
}
