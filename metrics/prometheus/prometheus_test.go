package prometheus_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/metrics"
	lazo "github.com/lazoquic/lazo/metrics/prometheus"
)

// A program that has a registry of the client library adds QUIC and HTTP/3 to it.
func Example() {
	srv := &h3http.Server{TLSConfig: conntest.ServerTLS()} // the certificate of a test
	m := new(metrics.Metrics)
	cfg := srv.LoopConfig()
	m.Observe(cfg)
	group, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer group.Close()
	m.AddGroup(group)
	m.AddServer(srv)

	registry := prometheus.NewRegistry()
	registry.MustRegister(lazo.New(m))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	n, err := testutil.GatherAndCount(registry, "http3_requests_total")
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// loaded returns the metrics of a server that has answered a request.
func loaded(t *testing.T) *metrics.Metrics {
	srv := &h3http.Server{TLSConfig: conntest.ServerTLS(), Handler: http.NotFoundHandler()}
	m := new(metrics.Metrics)
	cfg := srv.LoopConfig()
	m.Observe(cfg)
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	m.AddGroup(g)
	m.AddServer(srv)
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	resp, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("https://%v/", g.LocalAddr()))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, tr.Close())
	require.NoError(t, g.Close()) // nothing changes any more
	return m
}

// TestCollector: a registry that checks all it is told takes the metrics, and writes the same page
// as package metrics does.
func TestCollector(t *testing.T) {
	m := loaded(t)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(lazo.New(m)))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)

	own := httptest.NewRecorder()
	m.ServeHTTP(own, httptest.NewRequest("GET", "/metrics", nil))
	theirs, ours := lines(w.Body), lines(own.Body)
	require.True(t, len(ours) > 200, "%d lines", len(ours))
	for line := range ours {
		if !theirs[line] {
			t.Errorf("the client library does not write %q", line)
		}
	}
	for line := range theirs {
		if !ours[line] {
			t.Errorf("package metrics does not write %q", line)
		}
	}
}

// lines returns the lines of a page as the client library orders the labels in them.
func lines(r io.Reader) map[string]bool {
	b, _ := io.ReadAll(r)
	set := make(map[string]bool)
	for line := range bytes.Lines(b) {
		set[sortLabels(string(line))] = true
	}
	return set
}

// TestLint: the client library has no objection to the names.
func TestLint(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, metrics.WriteText(&page, loaded(t).Gather()))
	problems, err := promlint.New(&page).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
func sortLabels(line string) string {
	name, rest, ok := strings.Cut(line, "{")
	if !ok || strings.HasPrefix(line, "#") {
		return line
	}
	labels, value, _ := strings.Cut(rest, "}")
	words := strings.Split(labels, ",")
	slices.Sort(words)
	return name + "{" + strings.Join(words, ",") + "}" + value
}
