package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestSmuggling sends requests over HTTP/1.1 whose end or host two servers could read differently.
// Each is refused, or reaches the backend as one request that is clear. Each connection ends with a
// request for /last, which must not be answered in place of another.
func TestSmuggling(t *testing.T) {
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q", r.Method, r.URL.Path, b)
	})
	e := start(t, onePool(backend))
	const last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	sized := func(fields string, body string) string {
		return "POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body
	}
	for name, c := range map[string]struct{ text, want string }{
		"two lengths":                  {sized("Content-Length: 4\r\nContent-Length: 40\r\n", "body"), "400"},
		"a list of lengths":            {sized("Content-Length: 4, 5\r\n", "body"), "400"},
		"a length with a sign":         {sized("Content-Length: +4\r\n", "body"), "400"},
		"a negative length":            {sized("Content-Length: -1\r\n", "body"), "400"},
		"a length in hexadecimal":      {sized("Content-Length: 0x4\r\n", "body"), "400"},
		"an endless length":            {sized("Content-Length: 99999999999999999999\r\n", "body"), "400"},
		"an unknown coding":            {sized("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), "501"},
		"two codings":                  {sized("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "501"},
		"chunked twice":                {sized("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "501"},
		"identity and chunked":         {sized("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "501"},
		"a vertical tab":               {sized("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), "400"},
		"a space before the colon":     {sized("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400"},
		"a length with _":              {sized("Content_Length: 40\r\nContent-Length: 4\r\n", "body"), "400"},
		"a coding with _":              {sized("Transfer_Encoding: chunked\r\nContent-Length: 4\r\n", "body"), "400"},
		"no coding in HTTP/1.0":        {"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n", "200 POST /x"},
		"both a length and a coding":   {sized("Content-Length: 60\r\nTransfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), `200 POST /x "body"`},
		"a chunk of no size":           {sized("Transfer-Encoding: chunked\r\n", "z\r\nbody\r\n0\r\n\r\n"), "no 200"},
		"a chunk of huge size":         {sized("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nbody\r\n0\r\n\r\n"), "no 200"},
		"a chunk longer than its size": {sized("Transfer-Encoding: chunked\r\n", "4\r\nbodyX\r\n0\r\n\r\n"), "no 200"},
		"two hosts":                    {"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		"no host":                      {"GET /x HTTP/1.1\r\n\r\n", "400"},
		"an empty host":                {"GET /x HTTP/1.1\r\nHost:\r\n\r\n", "400"},
		"a host with a slash":          {"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
		"NUL in a value":               {"GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "400"},
		"CR in a value":                {"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "400"},
		"a space in a name":            {"GET /x HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", "400"},
		"a line that goes on":          {"GET /x HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n", "400"},
		"a space in the target":        {"GET /x /y HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"dot segments":                 {"GET /x/../y HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"dot segments, encoded":        {"GET /x/%2e%2E%2fy HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"dot segments, backslash":      {"GET /x/..%5cy HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"dot segments, parameters":     {"GET /x/..;a=b/y HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"dot segments, encoded ;":      {"GET /x/..%3b/y HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"NUL in the target":            {"GET /x%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"a tunnel":                     {"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "501"},
		"HTTP/2 in clear text":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			got := exchange(t, e, c.text+last)
			require.NotEmpty(t, got)
			if c.want == "no 200" {
				require.False(t, strings.HasPrefix(got[0], "200"), got[0])
				require.Len(t, got, 1, "what follows is no request")
			} else {
				require.True(t, strings.HasPrefix(got[0], c.want), got[0])
			}
			require.NotContains(t, got[0], "last")
			for _, other := range got[1:] {
				require.Regexp(t, `^(200 GET /last ""|400 .*)$`, other)
			}
			require.LessOrEqual(t, len(got), 2)
		})
	}
}

// TestTargetsWithoutPath checks that no backend sees a target that has a scheme and then no path.
// It would see only the rest, and could take that for another host.
func TestTargetsWithoutPath(t *testing.T) {
	e := start(t, onePool(serveTest(t, saying("reached"))))
	for _, target := range []string{"x:@b/", "http:x", "http:x/../y"} {
		got := exchange(t, e, "GET "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		require.Equal(t, []string{"400 malformed target\n"}, got, target)
	}
	require.Equal(t, int64(0), e.site.Load().pools["p"].backends[0].attempts.Load())
	got := exchange(t, e, "GET https://b/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	require.Equal(t, []string{"200 reached"}, got)
}

// TestMaxForwards checks that a request that is to end here does, and that others are counted.
func TestMaxForwards(t *testing.T) {
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Header["Max-Forwards"])
	})))
	for _, proto := range protocols {
		client := e.client(proto)
		for _, c := range []struct{ method, steps, want string }{
			{"OPTIONS", "0", "200 "}, {"OPTIONS", "2", `200 ["1"]`}, {"OPTIONS", "x", `200 ["x"]`},
			{"TRACE", "0", "501 no TRACE here\n"}, {"TRACE", "1", `200 ["0"]`}, {"GET", "0", `200 ["0"]`},
		} {
			r, err := http.NewRequest(c.method, e.url("/"), nil)
			require.NoError(t, err)
			r.Header.Set("Max-Forwards", c.steps)
			resp, err := client.Do(r)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.want, fmt.Sprint(resp.StatusCode, " ", string(b)), proto, c)
		}
	}
}

// exchange sends text over HTTP/1.1 and returns all responses.
func exchange(t *testing.T, e *running, text string) (all []string) {
	t.Helper()
	tc := e.trust.Clone()
	tc.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", e.addr().String(), tc)
	require.NoError(t, err)
	defer c.Close()
	io.WriteString(c, text)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for in := bufio.NewReader(c); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return all
		}
		body, _ := io.ReadAll(resp.Body)
		all = append(all, fmt.Sprint(resp.StatusCode, " ", string(body)))
	}
}

// TestRefused checks that tunnels, and ways around the routes, are refused over HTTP/3, too.
func TestRefused(t *testing.T) {
	e := start(t, onePool(serveTest(t, saying("reached"))))
	c := e.client("HTTP/3.0")
	for path, status := range map[string]int{"/a/..": 400, "/a/%2e%2e/b": 400, "/a%0d": 400, "/a/..b/...": 200} {
		resp, _ := e.get(c, path)
		require.Equal(t, status, resp.StatusCode, path)
	}
	for _, protocol := range []string{"", "connect-udp", "webtransport"} {
		r, err := http.NewRequest("CONNECT", e.url("/"), nil)
		require.NoError(t, err)
		if protocol != "" {
			r.Header[":protocol"] = []string{protocol}
		}
		resp, err := c.Transport.RoundTrip(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 501, resp.StatusCode, protocol)
	}
}
