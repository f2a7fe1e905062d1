package edge

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// free returns a TCP address that nobody uses.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// runBackend runs a program that serves at addr. The test is skipped if the program is not
// installed, unless LAZO_BACKENDS=all.
func runBackend(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("LAZO_BACKENDS") != "all" {
		t.Skip(name, " is not installed")
	}
	require.NoError(t, err)
	c := exec.Command(path, args...)
	c.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	begin(t, c)
	require.Eventually(t, func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "%s does not serve", name)
}

// over3 starts the program in front of a backend, and returns a client of HTTP/3 and the URL.
func over3(t *testing.T, backend string) (*http.Client, string) {
	t.Helper()
	p := start(t, fmt.Sprintf("pools: {p: {backends: [%q]}}\nroutes: [{pool: p}]\n", backend))
	p.drainLog()
	tr := &h3http.Transport{TLSClientConfig: p.trust, DisableCompression: true}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr, Timeout: time.Minute}, "https://" + p.addr
}

// TestCaddy has caddy serve files: whole, in part, and not at all if they have not changed since.
func TestCaddy(t *testing.T) {
	root, addr := t.TempDir(), free(t)
	want := bytes.Repeat([]byte("0123456789"), 200_000)
	require.NoError(t, os.WriteFile(filepath.Join(root, "file.bin"), want, 0o600))
	runBackend(t, addr, "caddy", "file-server", "--root", root, "--listen", addr)
	c, url := over3(t, "http://"+addr)
	get := func(name, value string) (*http.Response, []byte) {
		r, err := http.NewRequest("GET", url+"/file.bin", nil)
		require.NoError(t, err)
		if name != "" {
			r.Header.Set(name, value)
		}
		resp, err := c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, b
	}
	resp, b := get("", "")
	require.Contains(t, resp.Header.Get("Server"), "Caddy")
	require.True(t, bytes.Equal(want, b))
	tag := resp.Header.Get("Etag")
	resp, b = get("Range", "bytes=10-19")
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, "0123456789", string(b))
	resp, b = get("If-None-Match", tag)
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
	require.Empty(t, b)
}

// nodeServer sends 103 Early Hints, then the body of the request, then a trailer.
const nodeServer = `
const http = require('http')
const [host, port] = process.argv[1].split(':')
http.createServer((req, res) => {
  let n = 0
  req.on('data', d => { n += d.length })
  req.on('end', () => {
    res.writeEarlyHints({link: '</style.css>; rel=preload'})
    res.writeHead(200, {'Trailer': 'X-Sum', 'Content-Type': 'text/plain'})
    res.write(req.method + ' ' + req.headers['x-forwarded-for'] + ' ')
    res.addTrailers({'X-Sum': String(n)})
    res.end(req.headers.via)
  })
}).listen(port, host)
`

// TestNode passes a body, an informational response and trailers on to and from Node.
func TestNode(t *testing.T) {
	addr := free(t)
	runBackend(t, addr, "node", "-e", nodeServer, addr)
	c, url := over3(t, "http://"+addr)
	var hint string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hint = fmt.Sprint(code, " ", h.Get("Link"))
			return nil
		},
	})
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 300_000)))
	r, err := http.NewRequestWithContext(ctx, "POST", url, body)
	require.NoError(t, err)
	resp, err := c.Do(r)
	require.NoError(t, err)
	require.Equal(t, "103 </style.css>; rel=preload", hint)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "POST 127.0.0.1 3.0 edge", string(b))
	require.Equal(t, "300000", resp.Trailer.Get("X-Sum"))
}

// begin starts a program that is killed when the test ends. If the test has failed, the log has its
// output.
func begin(t *testing.T, c *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
}
