package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/internal/require"
)

// TestMeasureCaddy builds Caddy with quic-go and with Lazo, and logs what both spend. The client is
// quic-go's. LAZO_MEASURE=1 asks for it, on a quiet machine; LAZO_MEASURE=100 takes a hundredth of
// the requests, to see that it works.
func TestMeasureCaddy(t *testing.T) {
	measureBoth(t, "github.com/caddyserver/caddy/v2", "./cmd/caddy", measureCaddy)
}

// How much a run does, before it is divided by its share.
const (
	measuredRequests = 20000
	measuredMiB      = 4096
	measuredConns    = 1000
	workers          = 16 // requests at a time, on as many connections
)

// measureCaddy runs Caddy, and a backend for its proxy.
func measureCaddy(t *testing.T, binary string, share int) []cost {
	url, s := startCaddy(t, binary)
	defer s.Wait()
	defer s.Process.Kill()
	memory := idleCaddy(t, url, s.Process.Pid, max(measuredConns/share, 5))

	var took []time.Duration
	spent := func(path string, n int) time.Duration {
		before := cpuOf(t, s.Process.Pid)
		took = loadCaddy(t, url+path, n)
		return cpuOf(t, s.Process.Pid) - before
	}
	n := max(measuredRequests/share, workers)
	spent("/small", n/10+workers) // warm
	request := spent("/small", n) / time.Duration(n)
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	proxied := spent("/proxy/small", n) / time.Duration(n)
	files := max(measuredMiB/64/share, 1)
	gib := spent("/large", files) * 16 / time.Duration(files)
	return []cost{
		micros("CPU time a request of 1 KB", request),
		micros("p99 of these requests", p99),
		micros("CPU time a request by the proxy", proxied),
		millis("CPU time a GiB", gib),
		kib("memory a connection", memory),
	}
}

// startCaddy starts Caddy with a small file, a large one, and a backend, and waits until it
// answers.
func startCaddy(t *testing.T, binary string) (url string, s *exec.Cmd) {
	t.Helper()
	work := t.TempDir()
	writeCertificate(t, work)
	const mib = 1 << 20
	require.NoError(t, os.WriteFile(filepath.Join(work, "small"), bytes.Repeat([]byte("x"), 1000), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(work, "large"), make([]byte, 64*mib), 0o644))
	port := freePort(t)
	text := fmt.Appendf(nil, caddyfile, freePort(t), port, serveBackend(t), 0)
	require.NoError(t, os.WriteFile(filepath.Join(work, "Caddyfile"), text, 0o644))
	s = exec.Command(binary, "run", "--config", "Caddyfile")
	s.Dir, s.Env = work, append(os.Environ(), "HOME="+work)
	require.NoError(t, s.Start())
	url = fmt.Sprintf("https://127.0.0.1:%d", port)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		client := newMeasured()
		_, err := fetch(client, url+"/small")
		client.Close()
		if err == nil {
			return url, s
		}
		if time.Now().After(end) {
			s.Process.Kill()
			s.Wait()
			t.Fatalf("Caddy does not answer: %v", err)
		}
	}
}

// idleCaddy makes n connections with one request each, and returns how much memory each takes of a
// process that has not done much yet: later it has free memory of its own to give them.
func idleCaddy(t *testing.T, url string, pid, n int) int {
	t.Helper()
	before := rssOf(t, pid)
	for range n {
		idle := newMeasured()
		defer idle.Close()
		_, err := fetch(idle, url+"/small")
		require.NoError(t, err)
	}
	return (rssOf(t, pid) - before) / n
}

// serveBackend serves 1,000 bytes, and returns its port.
func serveBackend(t *testing.T) int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1000)) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func newMeasured() *http3.Transport {
	return &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}}
}

// fetch reads a response and returns how long that took.
func fetch(client *http3.Transport, url string) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	r.Host = "localhost"
	resp, err := client.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	return time.Since(start), nil
}

// loadCaddy makes n requests, and returns how long each took.
func loadCaddy(t *testing.T, url string, n int) (all []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for w := range min(workers, n) {
		wg.Go(func() {
			client := newMeasured()
			defer client.Close()
			for i := w; i < n; i += workers {
				d, err := fetch(client, url)
				mu.Lock()
				all = append(all, d)
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NoError(t, failed)
	return all
}
