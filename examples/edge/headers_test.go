package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// showing is a backend that answers with the header fields that it got.
func showing(w http.ResponseWriter, r *http.Request) {
	r.Header.Set("Host", r.Host)
	r.Header.Set("Target", r.RequestURI)
	w.Header().Set("Connection", "X-Secret")
	w.Header().Set("X-Secret", "1")
	w.Header().Set("Keep-Alive", "timeout=5")
	json.NewEncoder(w).Encode(r.Header)
}

// seen returns the fields that the backend saw of a GET.
func (e *running) seen(c *http.Client, path string, fields ...string) http.Header {
	e.t.Helper()
	resp, body := e.get(c, path, fields...)
	for _, name := range []string{"X-Secret", "Keep-Alive"} {
		require.Empty(e.t, resp.Header[name], name)
	}
	var h http.Header
	require.NoError(e.t, json.Unmarshal([]byte(body), &h))
	return h
}

// TestForwarding checks that a backend learns the address of the client, and that the client's own
// forwarding fields do not count.
func TestForwarding(t *testing.T) {
	e := start(t, onePool(serveTest(t, showing)))
	for _, proto := range protocols {
		h := e.seen(e.client(proto), "/a?b=1;c=%zz", "Host", "example.org",
			"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "http",
			"Forwarded", "for=192.0.2.1", "X_Forwarded_For", "192.0.2.1", "X-Forwarded_for", "192.0.2.1", "X-Kept", "1",
			"X-Real-Ip", "192.0.2.1", "X_real_ip", "192.0.2.1", "True-Client-Ip", "192.0.2.1", "X-Forwarded-Port", "1")
		require.Equal(t, []string{"127.0.0.1"}, h["X-Forwarded-For"])
		require.Equal(t, []string{"example.org"}, h["X-Forwarded-Host"])
		require.Equal(t, []string{"https"}, h["X-Forwarded-Proto"])
		require.Equal(t, []string{`for=127.0.0.1;host="example.org";proto=https`}, h["Forwarded"])
		require.Equal(t, []string{strings.TrimPrefix(proto, "HTTP/") + " edge"}, h["Via"])
		require.Equal(t, "example.org", h.Get("Host"))
		require.Equal(t, "/a?b=1;c=%zz", h.Get("Target"))
		require.Equal(t, "1", h.Get("X-Kept"))
		for name := range h {
			require.NotContains(t, name, "_")
		}
		for _, name := range []string{"X-Real-Ip", "True-Client-Ip", "X-Forwarded-Port"} {
			require.Empty(t, h[name], name)
		}
	}
}

// TestTrusted checks that the fields of a trusted peer go on, with the address of the edge's peer
// added.
func TestTrusted(t *testing.T) {
	e := start(t, "trusted: [127.0.0.0/8, 10.0.0.0/8]\n"+onePool(serveTest(t, showing)))
	h := e.seen(e.client("HTTP/3.0"), "/", "Host", "example.org", "X-Forwarded-For", "192.0.2.1, 10.0.0.1",
		"X-Forwarded-Host", "outside", "X-Forwarded-Proto", "http", "Forwarded", "for=192.0.2.1", "X_Forwarded_For", "x", "Via", "1.1 lb",
		"X-Real-Ip", "192.0.2.1", "X-Forwarded-Port", "1")
	require.Equal(t, []string{"192.0.2.1"}, h["X-Real-Ip"])
	require.Equal(t, []string{"1"}, h["X-Forwarded-Port"])
	require.Equal(t, []string{"192.0.2.1, 10.0.0.1, 127.0.0.1"}, h["X-Forwarded-For"])
	require.Equal(t, []string{"outside"}, h["X-Forwarded-Host"])
	require.Equal(t, []string{"http"}, h["X-Forwarded-Proto"])
	require.Equal(t, []string{`for=192.0.2.1, for=127.0.0.1;host="example.org";proto=https`}, h["Forwarded"])
	require.Equal(t, []string{"1.1 lb, 3.0 edge"}, h["Via"])
	require.Empty(t, h["X_forwarded_for"])
}

// TestClient finds the address that hashing and the log go by.
func TestClient(t *testing.T) {
	s := start(t, "trusted: [10.0.0.0/8, \"fd00::/8\"]\n"+onePool(serveTest(t, showing))).site.Load()
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:1", "", "192.0.2.1"},
		{"192.0.2.1:1", "192.0.2.9", "192.0.2.1"},
		{"10.0.0.1:1", "192.0.2.9", "192.0.2.9"},
		{"10.0.0.1:1", "192.0.2.8, 192.0.2.9", "192.0.2.9"},
		{"10.0.0.1:1", "192.0.2.8, 192.0.2.9, 10.0.0.2", "192.0.2.9"},
		{"10.0.0.1:1", "unknown, 10.0.0.2", "10.0.0.2"},
		{"[fd00::1]:1", "2001:db8::1", "2001:db8::1"},
		{"10.0.0.1:1", "", "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": {c.forwarded}}}
		require.Equal(t, c.want, s.trust.client(r), c)
	}
	require.Equal(t, `"[2001:db8::1]"`, forwardedNode("2001:db8::1"))
	require.Equal(t, `a\"b\\c`, quoted(`a"b\c`))
}

// TestFieldsOfTheConnection checks that fields of the connection end at the edge, and those that
// Connection names, too.
func TestFieldsOfTheConnection(t *testing.T) {
	e := start(t, onePool(serveTest(t, showing)))
	h := e.seen(e.client("HTTP/1.1"), "/", "Connection", "X-Mine, X-Forwarded-For, keep-alive", "X-Mine", "1", "Keep-Alive", "timeout=1",
		"Proxy-Connection", "close", "Proxy-Authorization", "secret", "Te", "trailers, gzip", "Trailer", "X-T")
	for _, name := range []string{"X-Mine", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Connection", "Trailer"} {
		require.Empty(t, h[name], name)
	}
	require.Equal(t, []string{"trailers"}, h["Te"])
	require.Equal(t, []string{"127.0.0.1"}, h["X-Forwarded-For"])
}

// TestAltSvcOfBackend checks that what a backend says of other ways to itself does not go to
// clients, which would look for them at the edge. The edge offers its own over TCP, also behind an
// informational response.
func TestAltSvcOfBackend(t *testing.T) {
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`)
		if r.URL.Path == "/hint" {
			w.WriteHeader(http.StatusEarlyHints)
		}
	})))
	for _, proto := range protocols {
		c := e.client(proto)
		for _, path := range []string{"/", "/hint"} {
			var hints []string
			r, err := http.NewRequest("GET", e.url(path), nil)
			require.NoError(t, err)
			resp, err := c.Do(r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints = append(hints, fmt.Sprint(code, h["Alt-Svc"]))
					return nil
				},
			})))
			require.NoError(t, err)
			resp.Body.Close()
			offers := resp.Header["Alt-Svc"]
			require.NotContains(t, strings.Join(offers, ","), `":1"`)
			require.Equal(t, proto != "HTTP/3.0", len(offers) == 1, proto, path)
			if path == "/hint" {
				require.Equal(t, []string{"103 []"}, hints)
			}
		}
	}
}

// TestServerTiming checks the field that tells times, and that what a backend says of it stays. By
// default there is none.
func TestServerTiming(t *testing.T) {
	routes := onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server-Timing", "db;dur=5")
	}))
	e := start(t, "server_timing: true\n"+routes)
	for _, proto := range protocols {
		resp, _ := e.get(e.client(proto), "/")
		fields := resp.Header["Server-Timing"]
		require.Len(t, fields, 2)
		require.Equal(t, "db;dur=5", fields[0])
		var whole, backend float64
		_, err := fmt.Sscanf(fields[1], "edge;dur=%f, backend;dur=%f", &whole, &backend)
		require.NoError(t, err)
		require.True(t, backend > 0 && whole >= backend, fields[1])
	}
	e.configure(routes)
	require.NoError(t, e.reload())
	resp, _ := e.get(e.client("HTTP/3.0"), "/")
	require.Len(t, resp.Header["Server-Timing"], 1)
}
