package compat

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/internal/require"
)

// caddyfile has files, and a proxy to a backend.
const caddyfile = `{
	admin 127.0.0.1:%[1]d
	auto_https disable_redirects
	skip_install_trust
}
https://localhost:%[2]d {
	bind 127.0.0.1
	tls cert.pem key.pem
	header X-Generation %[4]d
	handle /proxy/* {
		reverse_proxy 127.0.0.1:%[3]d
	}
	handle {
		root * .
		file_server
	}
}
`

// serveCaddy has Caddy serve files and a proxy over HTTP/3, while it reloads its configuration. The
// client is quic-go's.
func serveCaddy(t *testing.T, dir string) {
	caddy := filepath.Join(dir, "caddy")
	command(t, dir, "go", "build", "-o", caddy, "./cmd/caddy")
	work := t.TempDir()
	writeCertificate(t, work)
	file := bytes.Repeat([]byte("Lazo"), 1<<18)
	require.NoError(t, os.WriteFile(filepath.Join(work, "file"), file, 0o644))
	backend, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	go http.Serve(backend, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	admin, port := freePort(t), freePort(t)
	configure := func(generation int) {
		text := fmt.Appendf(nil, caddyfile, admin, port, backend.Addr().(*net.TCPAddr).Port, generation)
		require.NoError(t, os.WriteFile(filepath.Join(work, "Caddyfile"), text, 0o644))
	}
	configure(0)
	s := exec.Command(caddy, "run", "--config", "Caddyfile")
	s.Dir, s.Env = work, append(os.Environ(), "HOME="+work)
	s.Stderr = t.Output()
	require.NoError(t, s.Start())
	defer s.Wait()
	defer s.Process.Kill()

	client := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}}
	defer client.Close()
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	get := func() (generation string, err error) { return useCaddy(client, url, file) }
	for end := time.Now().Add(time.Minute); ; {
		if _, err = get(); err == nil || time.Now().After(end) {
			break
		}
	}
	require.NoError(t, err)
	const reloads = 5
	for generation := 1; generation <= reloads; generation++ {
		configure(generation)
		reloaded := make(chan error, 1)
		go func() {
			c := exec.Command(caddy, "reload", "--config", "Caddyfile")
			c.Dir, c.Env = work, s.Env
			reloaded <- c.Run()
		}()
		for done := false; !done; {
			select {
			case err := <-reloaded:
				require.NoError(t, err)
				done = true
			default:
			}
			_, err := get()
			require.NoError(t, err)
		}
		got, err := get()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(generation), got)
	}
}

// useCaddy fetches the file, and sends it to the backend and back.
func useCaddy(client http.RoundTripper, url string, file []byte) (generation string, err error) {
	for path, body := range map[string]io.Reader{"/file": nil, "/proxy/echo": bytes.NewReader(file)} {
		method := http.MethodGet
		if body != nil {
			method = http.MethodPost
		}
		r, err := http.NewRequest(method, url+path, body)
		if err != nil {
			return "", err
		}
		r.Host = "localhost"
		resp, err := client.RoundTrip(r)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(b, file) {
			return "", fmt.Errorf("%s: status %d and %d bytes: %w", path, resp.StatusCode, len(b), err)
		}
		generation = resp.Header.Get("X-Generation")
	}
	return generation, nil
}
