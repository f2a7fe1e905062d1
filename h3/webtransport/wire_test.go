package webtransport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/internal/require"
)

func TestCodes(t *testing.T) {
	require.Equal(t, uint64(firstCode), toHTTP(0))
	require.Equal(t, uint64(lastCode), toHTTP(1<<32-1))
	for _, from := range []uint32{0, 1 << 20, 1<<32 - 5000} {
		last := toHTTP(from) - 1
		for n := from; n < from+4000; n++ {
			h := toHTTP(n)
			require.NotZero(t, (h-0x21)%0x1f, "%d is reserved", n)
			require.LessOrEqual(t, h-last, uint64(2))
			code, ok := fromHTTP(h)
			require.True(t, ok)
			require.Equal(t, n, code)
			if h-last == 2 && n > from {
				_, ok := fromHTTP(h - 1)
				require.False(t, ok)
			}
			last = h
		}
	}
	for _, h := range []uint64{0, firstCode - 1, lastCode + 1, 1<<62 - 1} {
		_, ok := fromHTTP(h)
		require.False(t, ok)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&SessionError{Code: 3}, "webtransport: session closed with code 3"},
		{&SessionError{Code: 3, Reason: "why", Remote: true}, "webtransport: session closed by peer with code 3: why"},
		{&SessionError{Err: io.EOF}, "webtransport: session lost: EOF"},
		{&StreamError{Code: 3}, "webtransport: stream abandoned here with code 3"},
		{&StreamError{HTTP: SessionGone, Remote: true}, "webtransport: stream ended with its session"},
		{&StreamError{HTTP: BufferedStreamRejected}, "webtransport: stream came too early for its session"},
		{&StreamError{HTTP: 0x101, Remote: true}, "webtransport: stream abandoned by peer with H3_GENERAL_PROTOCOL_ERROR"},
	} {
		require.EqualError(t, c.err, c.want)
	}
	require.ErrorIs(t, &SessionError{Err: io.EOF}, io.EOF)
}

// offered returns what available finds in a field of these lines.
func offered(lines ...string) []string { return available(http.Header{headerAvailable: lines}) }

// TestProtocolsField: both fields are structured fields (RFC 9651). A field that is malformed
// anywhere counts as absent.
func TestProtocolsField(t *testing.T) {
	for s, want := range map[string][]string{
		`"a"`:                               {"a"},
		`"a", "b"`:                          {"a", "b"},
		"  \"a\"\t ,\t\"b\"  ":              {"a", "b"},
		`"a";q=1;x="y,\"z";flag, "b" , "c"`: {"a", "b", "c"},
		`"a";x=@1;y=:YQ==:;z=tok/en;w=1.5`:  {"a"},
		`"\"\\"`:                            {`"\`},
		`""`:                                {""},
		`"a";k=?1`:                          {"a"},
		`"a";  k`:                           {"a"},
	} {
		require.Equal(t, want, offered(s), s)
		name, ok := chosen(http.Header{headerProtocol: {s}})
		require.Equal(t, len(want) == 1, ok, s)
		if ok {
			require.Equal(t, want[0], name, s)
		}
	}
	for _, s := range []string{"", " ", "a", `"a`, `"a",`, `,"a"`, `"a" "b"`, `"a";`, `"a";=1`, `"a";k=`, `"a";k="`, `"a";K`,
		`"\a"`, `"\`, "\"\x7f\"", `1`, `("a")`, `"a";k=,"b"`, `"a", b`,
		// parameters that begin well
		`"a";1k`, `"a";-k`, `"a";k=-`, `"a";k=?2`, `"a";k=:!:`, `"a";k=1.`, `"a";k=1234567890123456`, `"a";k=@x`, `"a";k=^`,
		`"a";k=(1)`, "\"a\";\tk", "\t\"a\""} {
		require.Nil(t, offered(s), "%q", s)
		_, ok := chosen(http.Header{headerProtocol: {s}})
		require.False(t, ok, "%q", s)
	}
	require.Equal(t, []string{"a", "b", "c"}, offered(`"a", "b"`, `"c"`))
	require.Nil(t, offered(`"a"`, ""), "a line with no member leaves a comma at the end")
	_, ok := chosen(http.Header{headerProtocol: {`"a"`, `"b"`}})
	require.False(t, ok)
	require.Nil(t, available(nil))
	_, ok = chosen(nil)
	require.False(t, ok)
}

// TestProtocolsFieldIsBounded: at most 64 protocols are read. A field that is too long is not
// parsed.
func TestProtocolsFieldIsBounded(t *testing.T) {
	most := strings.Repeat(`"a",`, maxProtocols-1) + `"a"`
	require.Len(t, offered(most), maxProtocols)
	require.Nil(t, offered(most+`,"a"`))
	long := `"` + strings.Repeat("a", maxProtocolsField) + `"`
	for _, field := range [][]string{{long}, slices.Repeat([]string{"1"}, maxProtocolsField/2+1)} {
		h := http.Header{headerAvailable: field, headerProtocol: field}
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if names := available(h); names != nil {
				t.Errorf("%d protocols", len(names))
			}
			if name, ok := chosen(h); ok {
				t.Errorf("a protocol of %d bytes", len(name))
			}
		}))
	}
}

// FuzzProtocols parses the fields with which a peer names protocols.
func FuzzProtocols(f *testing.F) {
	f.Add(`"a", "b";q=1;x="y"`)
	f.Fuzz(func(t *testing.T, s string) {
		names := offered(s)
		again, valid := formatStrings(names...)
		if !valid {
			t.Fatalf("%q became %q", s, names)
		}
		if len(again) < maxProtocolsField {
			require.Equal(t, names, offered(again))
		}
	})
}

// RFC 9297, Section 3.3 [5].
func TestCapsuleErrorsOfReading(t *testing.T) {
	broken := errors.New("broken")
	for _, b := range [][]byte{nil, {0x40}, dgram.AppendCapsule(nil, 0x1234, []byte("abc"))[:4], appendClose(nil, 1, "abc")[:5]} {
		r := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken))
		_, err := newCapsuleReader(r).next()
		require.ErrorIs(t, err, broken)
	}
}

// TestLimitsAtOnce: capsules of flow control are taken together as far as they have come whole.
// What else there is, and what is malformed, is left to next.
func TestLimitsAtOnce(t *testing.T) {
	limit := func(i uint64) []byte { return appendLimit(nil, capsuleMaxData, i) }
	long := dgram.AppendCapsule(nil, capsuleMaxData, make([]byte, 9))
	for _, c := range []struct {
		name  string
		bytes []byte
		want  int
	}{
		{"nothing", nil, 0},
		{"three", slices.Concat(limit(1), limit(1<<20), limit(1<<61)), 3},
		{"another in between", slices.Concat(limit(1), dgram.AppendCapsule(nil, capsuleDrain, nil), limit(2)), 1},
		{"an unknown one first", slices.Concat(dgram.AppendCapsule(nil, 0x17, nil), limit(2)), 0},
		{"cut short", slices.Concat(limit(1), limit(1 << 20)[:7]), 1},
		{"too long", slices.Concat(limit(1), long), 1},
		{"an integer shorter than the value", slices.Concat(limit(1), dgram.AppendCapsule(nil, capsuleMaxData, []byte{1, 2})), 1},
		{"more than there is room for", bytes.Repeat(limit(1), 40), maxLimits},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newCapsuleReader(bytes.NewReader(c.bytes))
			r.r.Peek(1) // as next has done
			got := r.limits(nil)
			require.Len(t, got, c.want)
			for _, x := range got {
				require.Equal(t, uint64(capsuleMaxData), x.typ)
			}
		})
	}
}

// FuzzCapsules reads capsules as a hostile peer sends them, byte by byte and at once.
func FuzzCapsules(f *testing.F) {
	f.Add(appendClose(nil, 7, "bye"))
	f.Add(dgram.AppendCapsule(dgram.AppendCapsule(nil, 0x1234, make([]byte, 1000)), capsuleDrain, nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x68, 0x43, 0xc0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err1 := readCapsules(bytes.NewReader(b))
		bytewise, err2 := readCapsules(iotest.OneByteReader(bytes.NewReader(b)))
		require.Equal(t, whole, bytewise)
		require.Equal(t, err1, err2)
		if err1 != io.EOF && !errors.Is(err1, errMalformed) {
			t.Fatal(err1)
		}
		for _, c := range whole {
			if c.typ != capsuleClose {
				continue
			}
			again, err := readCapsules(bytes.NewReader(appendClose(nil, c.code, c.reason)))
			require.Equal(t, io.EOF, err)
			require.Equal(t, []capsule{c}, again)
		}
	})
}

// readCapsules returns all capsules of r, and the error after them.
func readCapsules(r io.Reader) (all []capsule, err error) {
	cr := newCapsuleReader(bufio.NewReader(r))
	for {
		c, err := cr.next()
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
}
