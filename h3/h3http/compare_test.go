package h3http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A comparison is a handler and its client, such as a program that uses net/http may have. Both
// write down what they see.
type comparison struct {
	name    string
	handler func(n *notes, w http.ResponseWriter, r *http.Request)
	client  func(n *notes, s *side)

	// differs names the protocols that see something different from HTTP/3: HTTP/1.1, HTTP/2 or
	// both. docs/net-http.md gives the reason.
	differs string
}

// notes are what a handler and a client have seen, each in order.
type notes struct {
	mu           sync.Mutex
	hide         *strings.Replacer // what differs from run to run
	running      int               // handlers
	returned     sync.Cond         // signals that no handler is left
	server, user []string
}

// handle runs a handler.
func (n *notes) handle(h func(n *notes, w http.ResponseWriter, r *http.Request), w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.running++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.running--
		n.returned.Broadcast()
	}()
	h(n, w, r)
}

// add notes something that the handler has seen.
func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = append(n.server, n.hide.Replace(fmt.Sprintf(format, args...)))
}

// waitFor waits until the handler has noted something that begins with prefix.
func (n *notes) waitFor(prefix string) { n.wait(&n.server, prefix) }

// waitForClient waits until the client has noted something that begins with prefix.
func (n *notes) waitForClient(prefix string) { n.wait(&n.user, prefix) }

// outlast waits until the client has given up r, and has noted how that went, in words that begin
// with prefix. The response of a handler that returned before would race with the client's own end.
func (n *notes) outlast(r *http.Request, prefix string) {
	<-r.Context().Done()
	n.waitForClient(prefix)
}

func (n *notes) wait(of *[]string, prefix string) {
	for {
		n.mu.Lock()
		found := slices.ContainsFunc(*of, func(s string) bool { return strings.HasPrefix(s, prefix) })
		n.mu.Unlock()
		if found {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// saw notes something that the client has seen.
func (n *notes) saw(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.user = append(n.user, n.hide.Replace(fmt.Sprintf(format, args...)))
}

// text returns all notes, once the handlers have returned.
func (n *notes) text() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.running > 0 {
		n.returned.Wait()
	}
	return "handler:\n  " + strings.Join(n.server, "\n  ") + "\nclient:\n  " + strings.Join(n.user, "\n  ") + "\n"
}

// A side is a client of one protocol, with a server.
type side struct {
	t        *testing.T
	protocol string
	url      string
	c        *http.Client
	tr1      *http.Transport // of HTTP/1.1 and HTTP/2
	tr3      *Transport      // of HTTP/3
}

// newSide serves h by one protocol.
func newSide(t *testing.T, protocol string, h http.Handler) *side {
	s := &side{t: t, protocol: protocol}
	if protocol == "HTTP/3" {
		p := newPair(t, h, func(p *pair) {
			p.srv.Logger = slog.New(slog.DiscardHandler)
			p.srv.MaxHeaderBytes = 1 << 16
		})
		s.url, s.c, s.tr3 = p.url, p.c, p.tr
		return s
	}
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = protocol == "HTTP/2"
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.MaxHeaderBytes = 1 << 16
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.url, s.c, s.tr1 = srv.URL, srv.Client(), srv.Client().Transport.(*http.Transport)
	s.tr1.ExpectContinueTimeout = time.Hour
	s.c.Timeout = 20 * time.Second
	return s
}

// request returns a request that the functions have changed.
func (s *side) request(method, path string, body io.Reader, change ...func(r *http.Request)) *http.Request {
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		panic(err)
	}
	for _, f := range change {
		f(r)
	}
	return r
}

// get is do of a GET request.
func (s *side) get(n *notes, path string) { s.do(n, s.request("GET", path, nil)) }

// do sends r, and notes the response.
func (s *side) do(n *notes, r *http.Request) {
	resp, err := s.c.Do(r)
	if err != nil {
		n.saw("%s %s: %s", r.Method, r.URL.Path, kindOf(err))
		return
	}
	n.received(r, resp)
}

// received notes the response to r, which it reads and closes.
func (n *notes) received(r *http.Request, resp *http.Response) {
	defer resp.Body.Close()
	n.saw("%s %s: %s, length %d, uncompressed %v, close %v", r.Method, r.URL.Path, resp.Status, resp.ContentLength, resp.Uncompressed, resp.Close)
	n.saw("%s", headerText(resp.Header))
	b, err := io.ReadAll(resp.Body)
	text := string(b)
	if len(b) > 200 {
		text = fmt.Sprintf("%d bytes", len(b))
	}
	n.saw("body %q, %s; trailer %s", text, kindOf(err), headerText(resp.Trailer))
}

// headerText returns h in order, without values that differ from run to run.
func headerText(h http.Header) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(h)) {
		values := h[key]
		if key == "Date" && len(values) == 1 && strings.HasSuffix(values[0], "GMT") && values[0] != longAgo {
			values = []string{"now"}
		}
		for i, v := range values {
			if len(v) > 200 {
				values[i] = fmt.Sprintf("%d bytes", len(v))
			}
		}
		fmt.Fprintf(&b, "%s=%q ", key, values)
	}
	return "[" + strings.TrimSpace(b.String()) + "]"
}

const longAgo = "Mon, 02 Jan 2006 15:04:05 GMT"

// kindOf returns the kind of an error, by which a program decides. The texts of errors may differ.
func kindOf(err error) string {
	var timeout net.Error
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return "no error"
	case err == io.EOF:
		return "EOF"
	case errors.As(err, &large):
		return "too large"
	case errors.Is(err, http.ErrBodyNotAllowed), errors.Is(err, http.ErrContentLength), errors.Is(err, http.ErrHandlerTimeout),
		errors.Is(err, http.ErrHijacked), errors.Is(err, http.ErrBodyReadAfterClose), errors.Is(err, http.ErrNotSupported):
		return err.Error()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "i/o deadline exceeded"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "stopped after 10 redirects"):
		return "too many redirects"
	}
	return "an error"
}

// protocols are the protocols that are compared.
var protocols = [...]string{"HTTP/1.1", "HTTP/2", "HTTP/3"}

// run returns what handler and client see by one protocol.
func (c *comparison) run(t *testing.T, protocol string) string {
	n := new(notes)
	n.returned.L = &n.mu
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.handle(c.handler, w, r) })
	s := newSide(t, protocol, h)
	n.mu.Lock()
	n.hide = strings.NewReplacer(strings.TrimPrefix(s.url, "https://"), "HOST",
		"Go-http-client/1.1", "AGENT", "Go-http-client/2.0", "AGENT", userAgent, "AGENT")
	n.mu.Unlock()
	c.client(n, s)
	s.c.CloseIdleConnections()
	return n.text()
}

// comparisons returns all comparisons.
func comparisons() []comparison {
	return slices.Concat(requestComparisons(), responseComparisons(), endComparisons())
}

// TestComparison runs handlers and clients over HTTP/1.1 and HTTP/2 of net/http, and over HTTP/3.
// They must see the same, except for differences that are listed with reasons.
func TestComparison(t *testing.T) {
	for _, c := range comparisons() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := make(map[string]string)
			for _, protocol := range protocols {
				seen[protocol] = c.run(t, protocol)
			}
			var differs []string
			for _, protocol := range protocols {
				if seen[protocol] != seen["HTTP/3"] {
					differs = append(differs, protocol)
				}
			}
			if strings.Join(differs, " ") == c.differs {
				return
			}
			for _, protocol := range protocols[:2] {
				t.Logf("%s", difference(protocol, seen[protocol], seen["HTTP/3"]))
			}
			t.Errorf("other than HTTP/3 are %q and not %q", differs, c.differs)
		})
	}
}

// TestComparisonList checks that docs/net-http.md lists the cases that differ, and no others.
func TestComparisonList(t *testing.T) {
	b, err := os.ReadFile("../../docs/net-http.md")
	require.NoError(t, err)
	listed := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && !strings.HasPrefix(line, "| case") && !strings.HasPrefix(line, "| ---") {
			listed[strings.TrimPrefix(cells[0], "| ")] = strings.ReplaceAll(cells[1], ",", "")
		}
	}
	differ := make(map[string]string)
	for _, c := range comparisons() {
		if c.differs != "" {
			differ[c.name] = c.differs
		}
	}
	require.Equal(t, differ, listed)
}

// difference returns the lines that only one of two protocols sees.
func difference(protocol, seen, seen3 string) string {
	var b strings.Builder
	theirs, ours := strings.Split(seen, "\n"), strings.Split(seen3, "\n")
	for _, line := range theirs {
		if !slices.Contains(ours, line) {
			fmt.Fprintf(&b, "\n%-8s %s", protocol, line)
		}
	}
	for _, line := range ours {
		if !slices.Contains(theirs, line) {
			fmt.Fprintf(&b, "\n%-8s %s", "HTTP/3", line)
		}
	}
	if b.Len() == 0 && seen != seen3 { // the order alone, or how often
		fmt.Fprintf(&b, "\n%s\n%s\nHTTP/3\n%s", protocol, seen, seen3)
	}
	return b.String()
}
