package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// TestEnvoy has Envoy as a backend of HTTP/3: requests, bodies of both directions, and trailers.
// LAZO_ENVOY is the path of the program.
func TestEnvoy(t *testing.T) {
	path := os.Getenv("LAZO_ENVOY")
	if path == "" && os.Getenv("LAZO_BACKENDS") != "all" {
		t.Skip("LAZO_ENVOY is not set")
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
		fmt.Fprint(w, r.Header["Via"])
		w.Header().Set("X-Sum", fmt.Sprint(len(b)))
	}))
	t.Cleanup(origin.Close)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cert, key)
	addr := free(t) // of TCP, but Envoy takes UDP
	config := EnvoyConfig(netip.MustParseAddrPort(addr), cert, key, netip.MustParseAddrPort(origin.Listener.Addr().String()))
	file := filepath.Join(dir, "envoy.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	begin(t, exec.Command(path, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"))
	p := start(t, fmt.Sprintf("pools: {p: {backends: [%q], ca: %q, server_name: localhost, retries: {max: 0}}}\nroutes: [{pool: p}]\n", "h3://"+addr, cert))
	p.drainLog()
	tr := &h3http.Transport{TLSClientConfig: p.trust, DisableCompression: true}
	t.Cleanup(func() { tr.Close() })
	c := &http.Client{Transport: tr, Timeout: time.Minute}
	body := strings.Repeat("0123456789", 50_000)
	var resp *http.Response
	var b []byte
	require.Eventually(t, func() bool { // Envoy is not there at once
		var err error
		resp, err = c.Post("https://"+p.addr+"/", "text/plain", io.MultiReader(strings.NewReader(body)))
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err = io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "envoy", resp.Header.Get("Server"))
	require.True(t, body+"[3.0 edge]" == string(b), "%d bytes", len(b))
	require.Equal(t, fmt.Sprint(len(body)), resp.Trailer.Get("X-Sum"))
}
