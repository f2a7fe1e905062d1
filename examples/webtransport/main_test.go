package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
)

// A server is one that run runs.
type server struct {
	page, url string
	lines     chan string // its later output
	stop      context.CancelFunc
	ended     chan error
}

// start runs the server on ports of its own.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	pr, pw := io.Pipe()
	s := &server{lines: make(chan string, 100), stop: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0", "-page", "127.0.0.1:0"}, args...), pw)
		pw.CloseWithError(io.EOF)
		s.ended <- err
	}()
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(pr); scan.Scan(); {
			if line := scan.Text(); line != "" {
				s.lines <- line
			}
		}
	}()
	s.page = regexp.MustCompile(`http://[0-9.:]+/`).FindString(<-s.lines)
	s.url = regexp.MustCompile(`https://[0-9.:]+/echo`).FindString(<-s.lines)
	require.NotEmpty(t, s.page)
	require.NotEmpty(t, s.url)
	return s
}

func TestMeasure(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "cert.pem")
	s := start(t, "-cert", cert)
	var table bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-ca", cert, "-connect", s.url, "-n", "5"}, &table))
	require.Regexp(t, `streams +5 of 5 .*s\n +pairs of streams +5 of 5 .*s\n +datagrams +[1-5] of 5 .*s\n$`, table.String())
	require.Contains(t, <-s.lines, "has a session")
	require.Contains(t, <-s.lines, "closed by peer with code 0: done")
	s.stop()
	require.NoError(t, <-s.ended)
}

func TestPage(t *testing.T) {
	s := start(t)
	resp, err := http.Get(s.page)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	text := html.UnescapeString(string(b))
	require.Contains(t, text, `data-url="`+s.url+`"`)
	require.True(t, regexp.MustCompile(`data-hash="[^"]{44}"`).MatchString(text))
	resp, err = http.Get(s.page + "wait?seconds=x")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 400, resp.StatusCode)

	// Pages from elsewhere may not measure.
	require.Error(t, dialFrom(t, s.url, "https://elsewhere.test"))
	require.NoError(t, dialFrom(t, s.url, strings.TrimSuffix(s.page, "/")))
	s.stop()
	require.NoError(t, <-s.ended)
}

// dialFrom opens a session as the browser does for a page of an origin.
func dialFrom(t *testing.T, url, origin string) error {
	t.Helper()
	d := &webtransport.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer d.Close()
	_, _, err := d.Dial(t.Context(), url, http.Header{"Origin": {origin}})
	return err
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-nothing"}, {"argument"}, {"-connect", "http://127.0.0.1/"}, {"-connect", "https://127.0.0.1/", "-ca", "/nothing"},
		{"-addr", "nowhere"}, {"-page", "256.0.0.1:1", "-addr", "127.0.0.1:0"}, {"-cert", "/nothing/cert.pem"},
	} {
		require.Error(t, run(t.Context(), args, io.Discard), "%q", args)
	}
}
