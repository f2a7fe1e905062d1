package script

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A Flaw is what is wrong with a run.
type Flaw struct {
	Kind, Text string
	Log        string // of the network: its last datagrams
}

// String returns the kind and the text.
func (f *Flaw) String() string { return f.Kind + ": " + f.Text }

// A Trial stands for the test in one run, which must not end the test itself: the same script, or a
// smaller one, runs again after a failure.
type Trial struct {
	testing.TB
	ends   []func()
	failed bool
	log    string
}

// Helper does nothing.
func (t *Trial) Helper() {}

// Failed reports whether the run has failed.
func (t *Trial) Failed() bool { return t.failed }

// Cleanup calls f in the end of the run.
func (t *Trial) Cleanup(f func()) { t.ends = append(t.ends, f) }

// Logf keeps the line for [Flaw].Log.
func (t *Trial) Logf(f string, arg ...any) { t.log += fmt.Sprintf(f, arg...) }

// Fatalf ends the run. The kind of the Flaw is what the message says before its colon.
func (t *Trial) Fatalf(f string, arg ...any) {
	text := fmt.Sprintf(f, arg...)
	what, _, _ := strings.Cut(strings.TrimPrefix(text, "conntest: "), ":")
	panic(&Flaw{Kind: what, Text: text})
}

// Try runs a script by run, which panics with a *[Flaw] to end the run. It returns what went wrong
// first, nil if nothing did.
func Try(t testing.TB, run func(t *Trial)) (found *Flaw) {
	tb := &Trial{TB: t}
	defer func() {
		tb.failed = found != nil
		for _, f := range slices.Backward(tb.ends) {
			f()
		}
		if found != nil {
			found.Log = tb.log
		}
	}()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *Flaw:
			found = v
		default:
			found = &Flaw{Kind: "panic", Text: fmt.Sprintf("%v\n%s", v, debug.Stack())}
			tb.ends = nil // what panicked must not run again
		}
	}()
	run(tb)
	return nil
}

// shrinkRuns is how many runs the search for a smaller script may take.
const shrinkRuns = 1500

// Report fails t because of f, which is wrong with s. It prints how to replay that, and the
// smallest script for which check returns a Flaw of the same kind, as a test of the package pkg
// that can be pasted. check is also the name of the method in the test.
func Report[T any](t *testing.T, s T, f *Flaw, replay, pkg string, check func(T) *Flaw) {
	t.Helper()
	t.Errorf("%v\nreplay: %s", f, replay)
	last := f
	small, runs := Shrink(s, shrinkRuns, func(s T) bool {
		g := check(s)
		if g == nil || g.Kind != f.Kind {
			return false
		}
		last = g
		return true
	})
	t.Logf("after %d runs, the smallest story (%d values) ends with\n%v\n\n%s\n%s", runs, Size(small), last, Test(small, pkg), last.Log)
}

// Test returns the source of a test that runs s.
func Test(s any, pkg string) string {
	src := strings.ReplaceAll(Source(s, pkg), "\n", "\n\t")
	return fmt.Sprintf("func TestStory(t *testing.T) {\n\ts := %s\n\tif f := s.check(t); f != nil {\n\t\tt.Error(f)\n\t}\n}\n", src)
}

// Seeds runs f for some seeds, as subtests. LAZO_RUNS and LAZO_FROM say how many, and which is the
// first; LAZO_SEED is a single one. With go test -cover it logs which seeds reach code that those
// before them did not.
func Seeds(t *testing.T, runs uint64, f func(t *testing.T, seed uint64)) {
	runs = fromEnvironment(t, "LAZO_RUNS", runs)
	first := fromEnvironment(t, "LAZO_FROM", 1)
	if _, ok := os.LookupEnv("LAZO_SEED"); ok {
		first, runs = fromEnvironment(t, "LAZO_SEED", 0), 1
	}
	for seed, reached := first, testing.Coverage(); seed < first+runs; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { f(t, seed) })
		if now := testing.Coverage(); now > reached {
			reached = now
			t.Logf("seed %d reaches new code", seed)
		}
	}
}

// fromEnvironment returns the number in an environment variable, or the default.
func fromEnvironment(t *testing.T, name string, number uint64) uint64 {
	t.Helper()
	s, ok := os.LookupEnv(name)
	if !ok {
		return number
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
