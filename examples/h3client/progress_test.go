package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestProgress draws to a buffer, as there is no terminal here.
func TestProgress(t *testing.T) {
	require.False(t, isTerminal(&bytes.Buffer{}))
	f, err := os.Open("main.go")
	require.NoError(t, err)
	defer f.Close()
	require.False(t, isTerminal(f))

	var drawn bytes.Buffer
	s := &screen{w: &drawn}
	d := s.begin(20 << 20)
	n, err := d.Write(make([]byte, 5))
	require.Equal(t, 5, n)
	require.NoError(t, err)
	d.end()
	require.Empty(t, drawn.String(), "no bar where there is no terminal")

	s.bars = true
	d = s.begin(20 << 20)
	d.Write(make([]byte, 10<<20))
	require.Contains(t, drawn.String(), "\r[===============               ]  50% of 20.0 MiB, ")
	before := drawn.Len()
	s.next = time.Now().Add(time.Minute)
	d.Write(make([]byte, 10))
	require.Equal(t, before, drawn.Len(), "it is not drawn for each Write")
	d.end()
	require.True(t, strings.HasSuffix(drawn.String(), "\r"+clearLine))
	require.Equal(t, "[==============================] 100% of 20.0 MiB, 10.0 MiB/s",
		(&screen{begun: 1, length: 20 << 20, n: 20 << 20}).line(2*time.Second))
	require.Equal(t, "20.0 MiB, 10.0 MiB/s", (&screen{begun: 1, length: -1, n: 20 << 20}).line(2*time.Second))
	require.Equal(t, "[==============================] 100% of 0.0 MiB, 0.0 MiB/s", (&screen{begun: 1}).line(time.Second))

	for _, length := range []int64{-1, 10} {
		drawn.Reset()
		d = s.begin(length)
		require.Equal(t, longTime, s.next.Sub(s.began), "a short download shows no bar")
		d.Write(make([]byte, 10))
		d.end()
		require.Empty(t, drawn.String())
	}
}

// TestProgressOfSeveral checks that several downloads share one line, and that other lines go above
// it.
func TestProgressOfSeveral(t *testing.T) {
	var drawn bytes.Buffer
	s := &screen{w: &drawn, bars: true}
	long, short, unknown := s.begin(20<<20), s.begin(10), s.begin(-1)
	short.Write(make([]byte, 10))
	short.end()
	s.next = time.Now()
	unknown.Write(make([]byte, 3<<20))
	require.Contains(t, drawn.String(), "\r1 done, 2 running, 3.0 MiB, ")
	drawn.Reset()
	fmt.Fprintln(s, "* a remark")
	require.Equal(t, "\r"+clearLine+"* a remark\n", drawn.String())
	drawn.Reset()
	s.next = time.Now()
	long.Write(make([]byte, 1<<20))
	require.Contains(t, drawn.String(), "\r1 done, 2 running, 4.0 MiB, ")
	unknown.end()
	require.False(t, strings.HasSuffix(drawn.String(), "\r"+clearLine), "one is running")
	long.end()
	require.True(t, strings.HasSuffix(drawn.String(), "\r"+clearLine))
}

// TestRemarksOfSeveral checks that with -v the lines of one URL stay together, and name it.
func TestRemarksOfSeveral(t *testing.T) {
	const urls = 20
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL) })
	args := []string{"-ca", ca, "-v", "-parallel", "7", "-O", "-output-dir", t.TempDir()}
	for i := range urls {
		args = append(args, fmt.Sprintf("%s/%d", url, i+1))
	}
	_, stderr, err := client(t, args...)
	require.NoError(t, err)
	for line := range strings.Lines(stderr) {
		require.Regexp(t, `^\[[0-9]+\] [*<>]`, line)
	}
	for i := range urls {
		mark := fmt.Sprintf("[%d] ", i+1)
		request := regexp.QuoteMeta(mark) + `> :path: /` + fmt.Sprint(i+1) + `\n(` + regexp.QuoteMeta(mark) + `> .+\n)+` + regexp.QuoteMeta(mark) + `>\n`
		response := regexp.QuoteMeta(mark) + `< HTTP/3 200 OK\n(` + regexp.QuoteMeta(mark) + `< .+\n)+` + regexp.QuoteMeta(mark) + `<\n`
		require.Regexp(t, request, stderr)
		require.Regexp(t, response, stderr)
	}
	require.Equal(t, 1, strings.Count(stderr, "* TLS 1.3, "), "one handshake")
}
