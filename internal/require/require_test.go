package require

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A recorder is the T of a check: it keeps what a failure says.
type recorder struct {
	testing.TB
	text string
}

func (*recorder) Helper() {}

func (r *recorder) Fatal(args ...any) {
	r.text = fmt.Sprint(args...)
	runtime.Goexit()
}

// run returns what f says when it fails, "" if it does not.
func run(f func(t testing.TB)) string {
	r := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.text
}

type named string

func TestChecks(t *testing.T) {
	wrapped := fmt.Errorf("a: %w", io.EOF)
	var nilError *testing.T
	p, q := new(int), new(int)
	for _, c := range []struct {
		name       string
		good, bad  func(t testing.TB)
		whatIsSaid string // by bad
	}{
		{"True", func(t testing.TB) { True(t, true) }, func(t testing.TB) { True(t, false) }, "got false, want true"},
		{"False", func(t testing.TB) { False(t, false) }, func(t testing.TB) { False(t, true) }, "got true, want false"},
		{"message", func(t testing.TB) { True(t, true, "a") }, func(t testing.TB) { True(t, false, "a%d") }, "want true\n(a%d)"},
		{"format", func(t testing.TB) { True(t, true, "a%d", 1) }, func(t testing.TB) { True(t, false, "a%d", 1) }, "want true\n(a1)"},
		{"Equal", func(t testing.TB) { Equal(t, []byte{1}, []byte{1}) }, func(t testing.TB) { Equal(t, []byte{1}, []byte{2}) },
			"got:  1 bytes 02\nwant: 1 bytes 01"},
		{"Equal types", func(t testing.TB) { Equal(t, 1, 1) }, func(t testing.TB) { Equal(t, 1, uint8(1)) }, "got:  1 (uint8)\nwant: 1 (int)"},
		{"Equal strings", func(t testing.TB) { Equal(t, "a", "a") }, func(t testing.TB) { Equal(t, "a", "a ") }, "got:  \"a \"\nwant: \"a\""},
		{"NotEqual", func(t testing.TB) { NotEqual(t, 1, 2) }, func(t testing.TB) { NotEqual(t, 1, 1) }, "must not be: 1"},
		{"EqualValues", func(t testing.TB) { EqualValues(t, 1, uint8(1)) }, func(t testing.TB) { EqualValues(t, 257, uint8(1)) }, "got:  1\nwant: 257"},
		{"EqualValues text", func(t testing.TB) { EqualValues(t, "a", named("a")) }, func(t testing.TB) { EqualValues(t, 97, "a") }, "want: 97"},
		{"EqualValues nil", func(t testing.TB) { EqualValues(t, nil, nil) }, func(t testing.TB) { EqualValues(t, 0, nil) }, "got:  <nil>"},
		{"Same", func(t testing.TB) { Same(t, p, p) }, func(t testing.TB) { Same(t, p, q) }, "got *int"},
		{"Zero", func(t testing.TB) { Zero(t, 0) }, func(t testing.TB) { Zero(t, 7) }, "got 7, want the zero int"},
		{"Zero nil", func(t testing.TB) { Zero(t, nil) }, func(t testing.TB) { Zero(t, []int{}) }, "got []"},
		{"NotZero", func(t testing.TB) { NotZero(t, 1) }, func(t testing.TB) { NotZero(t, nil) }, "got the zero"},
		{"Nil", func(t testing.TB) { Nil(t, nilError) }, func(t testing.TB) { Nil(t, 3) }, "got 3, want nil"},
		{"NotNil", func(t testing.TB) { NotNil(t, p) }, func(t testing.TB) { NotNil(t, nilError) }, "got nil"},
		{"Len", func(t testing.TB) { Len(t, "abc", 3) }, func(t testing.TB) { Len(t, []int{4}, 3) }, "got the length 1, want 3: [4]"},
		{"Empty", func(t testing.TB) { Empty(t, []int(nil)) }, func(t testing.TB) { Empty(t, map[int]int{1: 2}) }, "got map[1:2], want nothing"},
		{"Empty nil", func(t testing.TB) { Empty(t, nil) }, func(t testing.TB) { Empty(t, "a") }, "got \"a\""},
		{"NotEmpty", func(t testing.TB) { NotEmpty(t, "a") }, func(t testing.TB) { NotEmpty(t, []int{}) }, "got an empty []int"},
		{"Contains", func(t testing.TB) { Contains(t, "abc", "b") }, func(t testing.TB) { Contains(t, "abc", "d") }, "\"d\" is not in\n\"abc\""},
		{"Contains key", func(t testing.TB) { Contains(t, map[int]int{1: 2}, 1) }, func(t testing.TB) { Contains(t, map[int]int{1: 2}, 2) }, "2 is not in"},
		{"Contains element", func(t testing.TB) { Contains(t, []int{1}, 1) }, func(t testing.TB) { Contains(t, []int{1}, 2) }, "2 is not in"},
		{"NotContains", func(t testing.TB) { NotContains(t, []int{1}, 2) }, func(t testing.TB) { NotContains(t, []int{1}, 1) }, "1 is in"},
		{"Regexp", func(t testing.TB) { Regexp(t, "^a+$", "aa") }, func(t testing.TB) { Regexp(t, "^a+$", "ab") }, "does not match\nab"},
		{"NoError", func(t testing.TB) { NoError(t, nil) }, func(t testing.TB) { NoError(t, wrapped) }, "got the error: a: EOF"},
		{"Error", func(t testing.TB) { Error(t, io.EOF) }, func(t testing.TB) { Error(t, nil) }, "got no error"},
		{"ErrorIs", func(t testing.TB) { ErrorIs(t, wrapped, io.EOF) }, func(t testing.TB) { ErrorIs(t, io.EOF, wrapped) }, "got the error: EOF\nwant"},
		{"NotErrorIs", func(t testing.TB) { NotErrorIs(t, io.EOF, wrapped) }, func(t testing.TB) { NotErrorIs(t, wrapped, io.EOF) }, "which must not be: EOF"},
		{"ErrorAs", func(t testing.TB) { ErrorAs(t, &typed{}, new(*typed)) }, func(t testing.TB) { ErrorAs(t, io.EOF, new(*typed)) }, "want one for a **require.typed"},
		{"ErrorContains", func(t testing.TB) { ErrorContains(t, wrapped, "EO") }, func(t testing.TB) { ErrorContains(t, nil, "EO") }, "want one that says: EO"},
		{"EqualError", func(t testing.TB) { EqualError(t, wrapped, "a: EOF") }, func(t testing.TB) { EqualError(t, wrapped, "EOF") }, "want: EOF"},
		{"Panics", func(t testing.TB) { Panics(t, func() { panic(1) }) }, func(t testing.TB) { Panics(t, func() {}) }, "it does not panic"},
		{"Less", func(t testing.TB) { Less(t, 1, 2) }, func(t testing.TB) { Less(t, 2, 2) }, "2 is not less than 2"},
		{"LessOrEqual", func(t testing.TB) { LessOrEqual(t, 2, 2) }, func(t testing.TB) { LessOrEqual(t, 3, 2) }, "3 is greater than 2"},
		{"Greater", func(t testing.TB) { Greater(t, 2, 1) }, func(t testing.TB) { Greater(t, 2, 2) }, "2 is not greater than 2"},
		{"GreaterOrEqual", func(t testing.TB) { GreaterOrEqual(t, 2, 2) }, func(t testing.TB) { GreaterOrEqual(t, 2, 3) }, "2 is less than 3"},
		{"Positive", func(t testing.TB) { Positive(t, time.Second) }, func(t testing.TB) { Positive(t, 0) }, "0 is not positive"},
		{"Negative", func(t testing.TB) { Negative(t, -1.5) }, func(t testing.TB) { Negative(t, 0) }, "0 is not negative"},
		{"InDelta", func(t testing.TB) { InDelta(t, 10, uint8(9), 1) }, func(t testing.TB) { InDelta(t, 10, 12, 1) }, "they are 2 apart"},
		{"InDelta NaN", func(t testing.TB) { InDelta(t, 0, 0, 0) }, func(t testing.TB) { InDelta(t, math.NaN(), 12, 1) }, "NaN"},
		{"InEpsilon", func(t testing.TB) { InEpsilon(t, 10, 11, .1) }, func(t testing.TB) { InEpsilon(t, 10, 12, .1) }, "a share of 0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if said := run(c.good); said != "" {
				t.Errorf("it fails where it must not: %s", said)
			}
			if said := run(c.bad); !strings.Contains(said, c.whatIsSaid) || said == "" {
				t.Errorf("it says %q, not %q", said, c.whatIsSaid)
			}
		})
	}
}

type typed struct{}

func (*typed) Error() string { return "typed" }

func TestEventually(t *testing.T) {
	n := 0
	if said := run(func(t testing.TB) {
		Eventually(t, func() bool { n++; return n == 3 }, time.Minute, 0)
	}); said != "" || n != 3 {
		t.Errorf("asked %d times: %s", n, said)
	}
	if said := run(func(t testing.TB) {
		Eventually(t, func() bool { return false }, time.Nanosecond, time.Nanosecond)
	}); said != "the condition does not hold after 1ns" {
		t.Error(said)
	}
	var target *typed
	if err := errors.Join(io.EOF, &typed{}); run(func(t testing.TB) { ErrorAs(t, err, &target) }) != "" || target == nil {
		t.Error("ErrorAs does not set its target")
	}
}
