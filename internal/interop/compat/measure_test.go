package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// measureBoth builds a program with quic-go and with Lazo, and logs what measure finds.
func measureBoth[C fmt.Stringer](t *testing.T, module, main string, measure func(t *testing.T, binary string, share int) C) {
	share, _ := strconv.Atoi(os.Getenv("LAZO_MEASURE"))
	if share <= 0 {
		t.Skip("LAZO_MEASURE=1 measures " + module)
	}
	lazo, translator := translatorCopy(t)
	p := programs[slices.IndexFunc(programs, func(p program) bool { return p.module == module })]
	binaries := make(map[string]string)
	for _, with := range []string{"quic-go", "Lazo"} {
		dir := filepath.Join(t.TempDir(), "program")
		copyTree(t, download(t, p.module, p.version), dir)
		p.edit(t, dir)
		if with == "Lazo" {
			command(t, dir, "go", "mod", "edit", "-replace", "github.com/lazoquic/lazo="+lazo, "-replace", quicGo+"="+translator)
		} else {
			command(t, dir, "go", "get", quicGo+"@v0.65.0")
		}
		command(t, dir, "go", "mod", "tidy")
		binaries[with] = filepath.Join(dir, "measured")
		command(t, dir, "go", "build", "-o", binaries[with], main)
	}
	for range 3 { // in turns, because machines change their speed
		for _, with := range []string{"quic-go", "Lazo"} {
			t.Logf("%-7s %v", with, measure(t, binaries[with], share))
		}
	}
}

// A costs is what one run of Caddy spends.
type costs struct {
	// CPU time of a request of a small file, of one by the proxy, and of a GiB
	request, proxied, gib time.Duration
	p99                   time.Duration // of the small file
	conn                  int           // bytes of memory for a connection that is idle
}

func (c costs) String() string {
	return fmt.Sprintf("CPU a request %v, by the proxy %v, a GiB %v; p99 %v; %d bytes a connection",
		c.request, c.proxied, c.gib.Round(time.Millisecond), c.p99.Round(time.Microsecond), c.conn)
}

// How much a run does, before it is divided by its share.
const (
	measuredRequests = 20000
	measuredMiB      = 4096
	measuredConns    = 500
	workers          = 16 // requests at a time, on as many connections
)

// measureCaddy runs Caddy, and a backend for its proxy.
func measureCaddy(t *testing.T, binary string, share int) (c costs) {
	work := t.TempDir()
	writeCertificate(t, work)
	const mib = 1 << 20
	require.NoError(t, os.WriteFile(filepath.Join(work, "small"), bytes.Repeat([]byte("x"), 1000), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(work, "large"), make([]byte, 64*mib), 0o644))
	backend := serveBackend(t)
	port := freePort(t)
	text := fmt.Appendf(nil, caddyfile, freePort(t), port, backend, 0)
	require.NoError(t, os.WriteFile(filepath.Join(work, "Caddyfile"), text, 0o644))
	s := exec.Command(binary, "run", "--config", "Caddyfile")
	s.Dir, s.Env = work, append(os.Environ(), "HOME="+work)
	require.NoError(t, s.Start())
	defer s.Wait()
	defer s.Process.Kill()
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	client := newMeasured()
	defer client.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := fetch(client, url+"/small")
		if err == nil {
			break
		}
		require.True(t, time.Now().Before(end), "Caddy does not answer: %v", err)
	}

	n := max(measuredRequests/share, workers)
	var took []time.Duration
	spent := func(path string, n int) time.Duration {
		before := cpuOf(t, s.Process.Pid)
		took = loadCaddy(t, url+path, n)
		return cpuOf(t, s.Process.Pid) - before
	}
	spent("/small", n/10+workers) // warm
	c.request = spent("/small", n) / time.Duration(n)
	slices.Sort(took)
	c.p99 = took[len(took)*99/100]
	c.proxied = spent("/proxy/small", n) / time.Duration(n)
	files := max(measuredMiB/64/share, 1)
	c.gib = spent("/large", files) * 16 / time.Duration(files)

	before := rssOf(t, s.Process.Pid)
	conns := max(measuredConns/share, 5)
	for range conns {
		idle := newMeasured()
		defer idle.Close()
		_, err := fetch(idle, url+"/small")
		require.NoError(t, err)
	}
	c.conn = (rssOf(t, s.Process.Pid) - before) / conns
	return c
}

// serveBackend serves 1,000 bytes, and returns its port.
func serveBackend(t *testing.T) int {
	port := freePort(t)
	s := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 1000))
	})}
	go s.ListenAndServe()
	t.Cleanup(func() { s.Close() })
	return port
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

// clockTick is the unit of times in /proc, which is the same on all Linux machines of today.
const clockTick = time.Second / 100

// cpuOf returns the time that a process has run (proc_pid_stat(5), fields 14 and 15).
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err := strconv.Atoi(f[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(f[12])
	require.NoError(t, err)
	return time.Duration(user+system) * clockTick
}

// rssOf returns the resident memory of a process in bytes (proc_pid_statm(5), field 2).
func rssOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
