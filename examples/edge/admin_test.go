package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// requests returns the lines about requests.
func (l *logBuffer) requests(t *testing.T) (all []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for lines := bufio.NewScanner(bytes.NewReader(l.b.Bytes())); lines.Scan(); {
		var line map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		if line["msg"] == "request" {
			all = append(all, line)
		}
	}
	return all
}

// TestAccessLog checks that each request has a line with its outcome.
func TestAccessLog(t *testing.T) {
	var log logBuffer
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "hello")
		if r.URL.Path != "/broken" {
			io.WriteString(w, "hello")
		}
	})
	e := startLogging(t, onePool(backend), &log)
	for i, proto := range protocols {
		c := e.client(proto)
		for j, path := range []string{"/a?secret=1", "/broken", "/a/.."} {
			resp, err := c.Get(e.url(path))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			require.Equal(t, path == "/broken", err != nil, "%s %s", proto, path)
			require.Eventually(t, func() bool { return len(log.requests(t)) == 3*i+j+1 }, time.Minute, time.Millisecond)
		}
		lines := log.requests(t)[3*i:]
		for _, line := range lines {
			require.Equal(t, proto, line["proto"])
			require.Equal(t, "127.0.0.1", line["client"])
			require.Equal(t, "localhost", line["sni"])
		}
		require.Equal(t, "/a", lines[0]["path"])
		require.Equal(t, 202.0, lines[0]["status"])
		require.Equal(t, 10.0, lines[0]["bytes"])
		require.Equal(t, true, lines[0]["whole"])
		require.Equal(t, false, lines[0]["resumed"])
		require.Equal(t, false, lines[0]["early"])
		require.Equal(t, 1.0, lines[0]["attempts"])
		require.Equal(t, "p", lines[0]["pool"])
		require.Equal(t, backend, lines[0]["backend"])
		require.Equal(t, false, lines[1]["whole"])
		require.Equal(t, 400.0, lines[2]["status"])
		require.Equal(t, "", lines[2]["backend"])
		quic, _ := lines[0]["quic"].(map[string]any)
		require.Equal(t, proto == "HTTP/3.0", quic != nil)
		if quic != nil {
			require.Positive(t, quic["rtt_ms"].(float64))
			require.Positive(t, quic["window"].(float64))
			require.Positive(t, quic["sent"].(float64))
			require.Positive(t, quic["min_rtt_ms"].(float64))
			require.GreaterOrEqual(t, quic["lost"].(float64), 0.0)
			require.NotEmpty(t, quic["id"])
		}
	}
}

// TestNoAccessLog turns the lines off.
func TestNoAccessLog(t *testing.T) {
	var log logBuffer
	e := startLogging(t, "access_log: false\n"+onePool(serveTest(t, saying("x"))), &log)
	e.get(e.client("HTTP/3.0"), "/")
	e.stop()
	err := <-e.ended
	require.NoError(t, err)
	e.ended <- err
	require.Empty(t, log.requests(t))
}

// TestLimitedLog: clients that provoke errors do not fill the log with them. Each request still has
// its own line.
func TestLimitedLog(t *testing.T) {
	var log logBuffer
	bad := counting(t, failing)
	e := startLogging(t, poolWith("eject: {failures: 100000, for: 1ms}", bad.URL), &log)
	began, c := time.Now(), e.client("HTTP/3.0")
	const n = 100
	for range n {
		resp, err := c.Get(e.url("/"))
		require.NoError(t, err)
		require.Equal(t, http.StatusBadGateway, resp.StatusCode)
		resp.Body.Close()
	}
	require.Eventually(t, func() bool { return len(log.requests(t)) == n }, time.Minute, time.Millisecond)
	log.mu.Lock()
	defer log.mu.Unlock()
	lines := strings.Count(log.b.String(), `"msg":"a request failed"`)
	// 10 of them in 10 seconds
	require.True(t, 10 <= lines && lines <= 10*(1+int(time.Since(began)/(10*time.Second))), "%d lines", lines)
}

// TestDebugPages: /debug/ answers on a loopback address, and elsewhere only where the file says so,
// which a reload may change.
func TestDebugPages(t *testing.T) {
	pool := onePool(serveTest(t, saying("x")))
	for admin, want := range map[string]int{
		"admin: 127.0.0.1:0":               http.StatusOK,
		"admin: 127.0.0.1:0\ndebug: false": http.StatusNotFound,
		"admin: 0.0.0.0:0":                 http.StatusNotFound,
		"admin: 0.0.0.0:0\ndebug: true":    http.StatusOK,
	} {
		e := start(t, "drain_delay: 0s\n"+admin+"\n"+pool)
		ask := func(path string) int {
			port := e.adminLn.Addr().(*net.TCPAddr).Port
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
			require.NoError(t, err)
			resp.Body.Close()
			return resp.StatusCode
		}
		for _, path := range []string{"/debug/quic/", "/debug/pprof/heap", "/debug/pprof/trace?seconds=0.001"} {
			require.Equal(t, want, ask(path), "%s with %s", path, admin)
		}
		require.Equal(t, http.StatusOK, ask("/metrics"), admin)
		off := want == http.StatusNotFound
		e.configure(fmt.Sprintf("drain_delay: 0s\n%s\ndebug: %t\n", strings.Split(admin, "\n")[0], off) + pool)
		require.NoError(t, e.reload())
		require.Equal(t, off, ask("/debug/quic/") == http.StatusOK, "after a reload of %s", admin)
	}
}

// TestMetrics checks that each line has the format of Prometheus, and that the counts are right.
func TestMetrics(t *testing.T) {
	bad := counting(t, failing)
	e := start(t, "drain_delay: 0s\nadmin: 127.0.0.1:0\n"+poolWith("eject: {failures: 1, for: 1h}", bad.URL, serveTest(t, saying("x"))))
	for _, proto := range protocols {
		e.get(e.client(proto), "/")
	}
	ask := func(path string) string {
		resp, err := http.Get("http://" + e.adminLn.Addr().String() + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, "ok\n", ask("/healthz"))
	require.Equal(t, "ok\n", ask("/readyz"))
	require.Contains(t, ask("/debug/quic/"), "QUIC connections")
	require.Contains(t, ask("/debug/pprof/heap?debug=1"), "heap profile: ")
	var text string
	require.Eventually(t, func() bool {
		text = ask("/metrics")
		return strings.Contains(text, "edge_requests_in_progress 0\n")
	}, time.Minute, time.Millisecond)
	line := regexp.MustCompile(`^([a-z0-9_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+|# (HELP [a-z0-9_]+ .+|TYPE [a-z0-9_]+ (gauge|counter|histogram)))$`)
	for l := range strings.Lines(text) {
		require.True(t, line.MatchString(strings.TrimSuffix(l, "\n")), l)
	}
	for _, want := range []string{
		`edge_retries_total{pool="p",http="1",status="2xx"} 1`,
		`edge_request_seconds_bucket{pool="p",http="2",status="2xx",le="+Inf"} 1`,
		`edge_request_seconds_count{pool="p",http="3",status="2xx"} 1`,
		`edge_backend_up{pool="p",backend="` + bad.URL + `"} 0`,
		`edge_backend_requests_total{pool="p",backend="` + bad.URL + `"} 1`,
		`http3_connections 1`,
		`http3_responses_total{status="2xx"} 1`,
		`quic_handshake_duration_seconds_count{role="server"} 1`,
		`quic_connections{state="established"} 1`,
	} {
		require.Contains(t, text, want+"\n")
	}
	require.Contains(t, text, "\ngo_goroutines ")
	require.Contains(t, text, "\ngo_gc_heap_live_bytes ")
}
