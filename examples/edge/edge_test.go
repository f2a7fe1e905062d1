package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// A running edge is one that serves until its test ends.
type running struct {
	*edge
	t     *testing.T
	file  string
	at    string // its address
	trust *tls.Config
	stop  context.CancelFunc
	ended chan error
}

// start serves a configuration that begins with the key pools: the rest is added.
func start(t *testing.T, text string) *running {
	t.Helper()
	return startLogging(t, text, io.Discard)
}

// startLogging is start with a place for the log.
func startLogging(t *testing.T, text string, log io.Writer) *running {
	t.Helper()
	e := &running{t: t, ended: make(chan error, 1)}
	dir := t.TempDir()
	d := &demo{dir: dir}
	require.NoError(t, d.writeCertificate("public.example"))
	e.file = filepath.Join(dir, "edge.yaml")
	e.configure(text)
	c, err := readConfig(e.file)
	require.NoError(t, err)
	e.edge, err = newEdge(c, slog.New(slog.NewJSONHandler(log, nil)), new(sockets))
	require.NoError(t, err)
	e.at = e.addr().String()
	roots, err := loadCA(d.cert())
	require.NoError(t, err)
	e.trust = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	go func() { e.ended <- e.serve(ctx, nil) }()
	t.Cleanup(func() {
		e.stop()
		select {
		case <-e.ended:
		case <-time.After(time.Minute):
			t.Error("the edge does not end")
		}
	})
	return e
}

// configure writes the file that the edge reads.
func (e *running) configure(text string) {
	e.t.Helper()
	require.NoError(e.t, os.WriteFile(e.file, []byte(withBasics(filepath.Dir(e.file), text)), 0o600))
}

// withBasics adds an address and the certificate of a demo in dir.
func withBasics(dir, text string) string {
	d := &demo{dir: dir}
	return fmt.Sprintf("listen: 127.0.0.1:0\ncertificates: [{cert: %q, key: %q}]\n%s", d.cert(), d.key(), text)
}

// client returns a client that speaks one version of HTTP.
func (e *running) client(proto string) *http.Client {
	var rt http.RoundTripper
	if proto == "HTTP/3.0" {
		tr := &h3http.Transport{TLSClientConfig: e.trust.Clone(), DisableCompression: true}
		e.t.Cleanup(func() { tr.Close() })
		rt = tr
	} else {
		var speaks http.Protocols
		speaks.SetHTTP1(proto == "HTTP/1.1")
		speaks.SetHTTP2(proto == "HTTP/2.0")
		tr := &http.Transport{TLSClientConfig: e.trust.Clone(), Protocols: &speaks, DisableCompression: true}
		e.t.Cleanup(tr.CloseIdleConnections)
		rt = tr
	}
	return &http.Client{Transport: rt, Timeout: time.Minute}
}

// protocols are the versions of HTTP that clients may speak.
var protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

func (e *running) url(path string) string { return "https://" + e.at + path }

// get returns the response to a request without a body.
func (e *running) get(c *http.Client, path string, fields ...string) (*http.Response, string) {
	e.t.Helper()
	r, err := http.NewRequest("GET", e.url(path), nil)
	require.NoError(e.t, err)
	return e.do(c, r, fields...)
}

// do sends r with fields, each a name and a value. Host is that of the request.
func (e *running) do(c *http.Client, r *http.Request, fields ...string) (*http.Response, string) {
	e.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
		} else {
			r.Header.Add(fields[i], fields[i+1])
		}
	}
	resp, err := c.Do(r)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(e.t, err)
	return resp, string(b)
}

// serveTest starts a backend and returns its URL.
func serveTest(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// saying is a backend that answers with a text.
func saying(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

// onePool is the configuration of one route to backends.
func onePool(backends ...string) string {
	return fmt.Sprintf("pools: {p: {backends: %s}}\nroutes: [{pool: p}]\n", list(backends...))
}

// list writes texts in YAML.
func list(texts ...string) string {
	var quoted []string
	for _, s := range texts {
		quoted = append(quoted, strconv.Quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// TestProtocols has clients speak each version of HTTP with one port, and learn of HTTP/3.
func TestProtocols(t *testing.T) {
	e := start(t, onePool(serveTest(t, saying("hello"))))
	for _, proto := range protocols {
		resp, body := e.get(e.client(proto), "/")
		require.Equal(t, proto, resp.Proto)
		require.Equal(t, "hello", body)
		if offer := resp.Header.Get("Alt-Svc"); proto == "HTTP/3.0" {
			require.Empty(t, offer)
		} else {
			_, port, _ := strings.Cut(e.addr().String(), ":")
			require.Contains(t, offer, `h3=":`+port+`"`)
		}
	}
}

// TestBackends passes requests on over each version of HTTP. A second edge is the backend for the
// versions that need TLS. Its Via field shows the version that came.
func TestBackends(t *testing.T) {
	plain := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.Header["Via"], " ", r.Proto)
	}))
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	t.Cleanup(plain.Close)
	behind := start(t, onePool(plain.URL))
	host := behind.addr().String()
	ca := filepath.Join(filepath.Dir(behind.file), "cert.pem")
	for _, c := range []struct {
		url  string
		want []string // response by response
	}{
		{plain.URL, []string{"[3.0 edge] HTTP/1.1"}},
		{strings.Replace(plain.URL, "http:", "h2c:", 1), []string{"[3.0 edge] HTTP/2.0"}},
		{"https://" + host, []string{"[3.0 edge, 2.0 edge] HTTP/1.1"}},
		{"h3://" + host, []string{"[3.0 edge, 3.0 edge] HTTP/1.1"}},
		{"h3+https://" + host, []string{"[3.0 edge, 2.0 edge] HTTP/1.1", "[3.0 edge, 3.0 edge] HTTP/1.1"}},
	} {
		e := start(t, fmt.Sprintf("pools: {p: {backends: [%q], ca: %q, server_name: localhost}}\nroutes: [{pool: p}]\n", c.url, ca))
		client := e.client("HTTP/3.0")
		for _, want := range c.want {
			_, body := e.get(client, "/", "Host", "example.org")
			require.Equal(t, "example.org "+want, body, c.url)
		}
	}
}

// TestFallback has a backend offer HTTP/3 where nothing answers, not even with a refusal, and where
// nothing listens. Each request arrives over TCP.
func TestFallback(t *testing.T) {
	for _, offered := range []string{silent(t), "127.0.0.1:1"} {
		_, port, _ := strings.Cut(offered, ":")
		backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Alt-Svc", `h3=":`+port+`"`)
			io.WriteString(w, r.Proto)
		}))
		backend.EnableHTTP2 = true
		backend.StartTLS()
		t.Cleanup(backend.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, writePEM(ca, "CERTIFICATE", backend.Certificate().Raw))
		e := start(t, fmt.Sprintf("pools: {p: {backends: [%q], ca: %q, server_name: example.com, timeouts: {connect: 1s}}}\nroutes: [{pool: p}]\n",
			"h3+"+backend.URL, ca))
		c := e.client("HTTP/3.0")
		for range 4 {
			resp, body := e.get(c, "/")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "HTTP/2.0", body)
		}
	}
}

// TestRoutes sends requests by host and path.
func TestRoutes(t *testing.T) {
	var pools strings.Builder
	for _, name := range []string{"any", "api", "v2", "named", "below"} {
		fmt.Fprintf(&pools, "  %s: {backends: %s}\n", name, list(serveTest(t, saying(name))))
	}
	e := start(t, "pools:\n"+pools.String()+`routes:
  - {host: example.org, pool: any}
  - {host: example.org, path: /api, pool: api}
  - {host: example.org, path: /api/v2/, pool: v2}
  - {host: "*.example.org", pool: below}
  - {host: www.example.org, pool: named}
`)
	c := e.client("HTTP/3.0")
	for _, row := range []struct{ host, path, want string }{
		{"example.org", "/", "any"},
		{"EXAMPLE.org:443", "/", "any"},
		{"example.org.", "/apis", "any"},
		{"example.org", "/api", "api"},
		{"example.org", "/api/x", "api"},
		{"example.org", "/api/v2", "api"},
		{"example.org", "/api/v2/x", "v2"},
		{"a.b.example.org", "/", "below"},
		{"www.example.org", "/", "named"},
		{"badexample.org", "/", "no route\n"},
	} {
		resp, body := e.get(c, row.path, "Host", row.host)
		require.Equal(t, row.want, body, row)
		require.Equal(t, row.want == "no route\n", resp.StatusCode == 404)
	}
}

// TestDemonstration runs the program without a file.
func TestDemonstration(t *testing.T) {
	d, err := startDemo("127.0.0.1:0")
	require.NoError(t, err)
	defer d.close()
	c, err := readConfig(d.config())
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"-check", "-config", d.config()}, &out, io.Discard))
	require.Equal(t, d.config()+": 1 routes to 1 pools\n", out.String())
	e := start(t, onePool(c.Pools["demo"].Backends...))
	names := make(map[string]bool)
	for range 4 {
		_, body := e.get(e.client("HTTP/2.0"), "/hello")
		name, _, _ := strings.Cut(body, " answers GET /hello")
		names[name] = true
	}
	require.Equal(t, map[string]bool{"backend 1": true, "backend 2": true}, names)
}
