package h3

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// httpsfvRefuses matches values that RFC 9651 allows and httpsfv refuses: a Byte Sequence without
// padding (Section 4.2.7), and the longest Integers and Decimals, unless they end the field.
var httpsfvRefuses = regexp.MustCompile(`:[A-Za-z0-9+/=]*:|[0-9.]{15}`)

// comparePriority compares the results of parsePriority and of httpsfv for s. It reports whether s
// is a Dictionary.
func comparePriority(t testing.TB, s string) bool {
	t.Helper()
	before := conn.Priority{Urgency: 4, Incremental: true}
	got := before
	ok := parsePriority(&got, s)
	if !ok {
		require.Equal(t, before, got, "%q", s)
	}
	d, err := httpsfv.UnmarshalDictionary([]string{s})
	switch {
	case len(s) > maxPriorityField:
		require.False(t, ok, "%q", s)
		return ok
	case err == nil && !ok:
		t.Fatalf("%q is a Dictionary", s)
	case err != nil && ok && !httpsfvRefuses.MatchString(s):
		t.Fatalf("%q is no Dictionary: %v", s, err)
	}
	if err != nil {
		return ok
	}
	want := before
	if m, is := d.Get("u"); is {
		want.Urgency = 0
		item, _ := m.(httpsfv.Item)
		if u, is := item.Value.(int64); is && u >= 0 && u <= 7 {
			want.Urgency = int8(u) - defaultUrgency
		}
	}
	if m, is := d.Get("i"); is {
		item, _ := m.(httpsfv.Item)
		want.Incremental = item.Value == true
	}
	require.Equal(t, want, got, "%q", s)
	return ok
}

// TestPriorityLikeHTTPSFV compares Dictionaries of many parts, some of them broken.
// RFC 9218, Section 4 [2].
func TestPriorityLikeHTTPSFV(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 0))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	item := func() string {
		return one("1", "7", "8", "-0", "00", "-1", "1.5", "123456789012345", "?0", "?1", "tok/a:1", "*", `"a, b\"\\"`, `""`,
			":YWJj:", ":YQ==:", ":YQ:", "::", "@1", "@-12", `%"f%c3%bc"`, `%"a"`)
	}
	parameters := func() string {
		s := ""
		for r.IntN(3) == 0 {
			s += one(";", "; ") + one("a", "b", "*k", "u")
			if r.IntN(2) == 0 {
				s += "=" + item()
			}
		}
		return s
	}
	member := func() string {
		s := one("u", "u", "u", "i", "i", "x", "a-b_c.d*", "*")
		switch r.IntN(6) {
		case 0:
		case 1:
			s += "=("
			for r.IntN(3) > 0 {
				s += item() + parameters() + one(" ", "  ")
			}
			s += ")"
		default:
			s += "=" + item()
		}
		return s + parameters()
	}
	whole, broken := 0, 0
	for range 30_000 {
		s := one("", "", " ") + member()
		for r.IntN(3) > 0 {
			s += one(",", ", ", " ,\t") + member()
		}
		for b := []byte(s); r.IntN(2) == 0; s = string(b) {
			at := r.IntN(len(b))
			switch r.IntN(3) {
			case 0:
				b[at] = byte(r.IntN(256))
			case 1:
				b[at] = one(`"`, `\`, ":", "=", "?", "(", ")", ";", ",", " ", "-", ".", "%", "@", "0", "a", "A", "~", "\t")[0]
			case 2:
				b = b[:max(at, 1)]
			}
		}
		if comparePriority(t, s) {
			whole++
		} else {
			broken++
		}
	}
	require.Greater(t, whole, 10_000)
	require.Greater(t, broken, 5_000)
}

// FuzzPriority compares parsePriority with httpsfv.
func FuzzPriority(f *testing.F) {
	f.Add("u=1, i")
	f.Add(`a="x\"";b=(1 2);c=:aa:, i=?0`)
	f.Add(`x=@1, y=%"f%c3%bc";a=1.5, u=-0`)
	f.Fuzz(func(t *testing.T, s string) { comparePriority(t, s) })
}

func TestPriorityDoesNotAllocate(t *testing.T) {
	s := `x=%"f%c3%bc";a=1.5, y=("a" :YQ==: @1), u=1, i`
	for _, s := range []string{s, s + ",", strings.Repeat("a", maxPriorityField), "u=a", "u=-"} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			var p conn.Priority
			parsePriority(&p, s)
		}), s)
	}
}
