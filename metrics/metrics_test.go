package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/metrics"
)

// A site is a server on loopback whose metrics are gathered.
type site struct {
	t   *testing.T
	srv *h3http.Server
	g   *loop.Group
	m   metrics.Metrics
}

func newSite(t *testing.T) *site {
	s := &site{t: t, srv: &h3http.Server{TLSConfig: conntest.ServerTLS()}}
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Write(make([]byte, 10000))
	})
	cfg := s.srv.LoopConfig()
	s.m.Observe(cfg)
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	s.g = g
	s.m.AddGroup(g)
	s.m.AddServer(s.srv)
	return s
}

// get asks for a path and closes the connection.
func (s *site) get(path string) {
	s.t.Helper()
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("https://%v%s", s.g.LocalAddr(), path))
	require.NoError(s.t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
}

// page returns the metrics as Prometheus reads them: names with labels, and values.
func (s *site) page() map[string]string {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(s.t, metrics.TextType, w.Header().Get("Content-Type"))
	lines := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if line[0] == '#' {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		lines[line[:i]] = strings.TrimSpace(line[i:])
	}
	return lines
}

// waitFor waits until the page has a value for a name.
func (s *site) waitFor(name, value string) {
	s.t.Helper()
	end := time.Now().Add(time.Minute)
	for s.page()[name] != value {
		if time.Now().After(end) {
			s.t.Fatalf("%s is %q, want %q", name, s.page()[name], value)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestClientPage: the requests of Transports are counted by themselves, those that have ended too.
func TestClientPage(t *testing.T) {
	s := newSite(t)
	for _, paths := range [][]string{{"/", "/none"}, {"/"}} {
		tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
		defer tr.Close()
		s.m.AddTransport(tr)
		for _, path := range paths {
			resp, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("https://%v%s", s.g.LocalAddr(), path))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		if len(paths) == 1 {
			tr.Close()
		}
	}
	for name, want := range map[string]string{
		`http3_client_connections`:                               "1",
		`http3_client_open_requests`:                             "0",
		`http3_client_requests_total`:                            "3",
		`http3_client_responses_total{status="2xx"}`:             "2",
		`http3_client_responses_total{status="4xx"}`:             "1",
		`http3_client_failed_responses_total{cause="too_large"}`: "0",
		`http3_client_canceled_streams_total`:                    "0",
		`http3_client_timeouts_total{what="read"}`:               "0",
		`http3_client_dropped_datagrams_total`:                   "0",
		`http3_client_field_section_bytes`:                       "0",
		`http3_requests_total`:                                   "3",
	} {
		s.waitFor(name, want)
	}
}

func TestPage(t *testing.T) {
	s := newSite(t)
	for range 3 {
		s.get("/")
	}
	s.get("/none")
	s.waitFor(`quic_closed_connections_total{role="server",by="peer",reason="application_closed"}`, "4")
	p := s.page()
	for name, want := range map[string]string{
		`quic_connections{state="handshake"}`:                                        "0",
		`quic_connections{state="established"}`:                                      "0",
		`quic_connections_started_total{role="server"}`:                              "4",
		`quic_connections_started_total{role="client"}`:                              "0",
		`quic_handshakes_completed_total`:                                            "4",
		`quic_handshake_duration_seconds_count{role="server"}`:                       "4",
		`quic_handshake_duration_seconds_bucket{role="server",le="+Inf"}`:            "4",
		`quic_connection_duration_seconds_count{role="server"}`:                      "4",
		`quic_ended_connections_total{cause="closed_by_peer"}`:                       "4",
		`http3_closed_connections_total{role="server",by="peer",code="h3_no_error"}`: "4",
		`http3_requests_total`:                                                       "4",
		`http3_responses_total{status="2xx"}`:                                        "3",
		`http3_responses_total{status="4xx"}`:                                        "1",
		`http3_open_requests`:                                                        "0",
		`quic_dropped_packets_total{cause="malformed"}`:                              "0",
		`quic_early_data_connections_total{result="accepted"}`:                       "0",
		`quic_accepted_connections_total{token="none"}`:                              "4",
		`quic_memory_bytes{kind="connections"}`:                                      "0",
	} {
		if p[name] != want {
			t.Errorf("%s is %q, want %q", name, p[name], want)
		}
	}
	for _, name := range []string{"quic_sent_bytes_total", "quic_received_packets_total", "quic_loop_turns_total",
		"quic_round_trip_seconds_count", "quic_round_trip_seconds_sum", "quic_loop_turn_duration_seconds_count"} {
		if p[name] == "" || p[name] == "0" {
			t.Errorf("%s is %q", name, p[name])
		}
	}
}

// TestTotalsNeverGoBack: counters of connections that have ended, and of Groups that have, stay.
func TestTotalsNeverGoBack(t *testing.T) {
	s := newSite(t)
	s.get("/")
	before := s.m.Gather()
	require.NoError(t, s.g.Close())
	after := make(map[string]float64)
	each(s.m.Gather(), func(name string, v float64) { after[name] = v })
	for _, f := range before {
		if f.Kind == metrics.Counter {
			each([]metrics.Family{f}, func(name string, v float64) {
				if after[name] < v {
					t.Errorf("%s fell from %v to %v", name, v, after[name])
				}
			})
		}
	}
}

func each(all []metrics.Family, f func(name string, v float64)) {
	for _, fam := range all {
		for _, s := range fam.Samples {
			f(fmt.Sprint(fam.Name, s.Labels), s.Value)
		}
	}
}

// TestNames: names follow the conventions, and none comes twice.
func TestNames(t *testing.T) {
	s := newSite(t)
	seen := make(map[string]bool)
	name := regexp.MustCompile(`^(quic|http3)_[a-z0-9_]*[a-z]$`)
	for _, f := range s.m.Gather() {
		if seen[f.Name] || !name.MatchString(f.Name) || (f.Kind == metrics.Counter) != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s of kind %v", f.Name, f.Kind)
		}
		if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: %q", f.Name, f.Help)
		}
		seen[f.Name] = true
	}
	require.True(t, len(seen) > 50)
}

// TestDocumented: docs/metrics.md has each name with its labels, and no other.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	rows := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:quic|http3)_[a-z0-9_]+)` \\|(.*)\\|.*\\|$").FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = row[2]
	}
	s := newSite(t)
	s.m.AddTransport(new(h3http.Transport))
	s.get("/")
	s.waitFor(`http3_closed_connections_total{role="server",by="peer",code="h3_no_error"}`, "1")
	for _, f := range s.m.Gather() {
		labels, ok := rows[f.Name]
		if !ok {
			t.Errorf("%s is not there", f.Name)
		}
		delete(rows, f.Name)
		require.True(t, len(f.Samples) > 0, f.Name)
		for _, l := range f.Samples[0].Labels {
			if !strings.Contains(labels, "`"+l.Name+"`") {
				t.Errorf("%s does not have the label %s", f.Name, l.Name)
			}
		}
	}
	for name := range rows {
		t.Errorf("%s does not exist", name)
	}
}

// TestDeployed: the dashboard and the alerts ask for nothing that does not exist, and the dashboard
// shows each metric of servers.
func TestDeployed(t *testing.T) {
	s := newSite(t)
	exists := make(map[string]bool)
	for _, f := range s.m.Gather() {
		exists[f.Name] = true
	}
	names := regexp.MustCompile(`\b(?:quic|http3)_[a-z0-9_]+`)
	for file, all := range map[string]bool{"../deploy/grafana/lazo.json": true, "../deploy/prometheus/alerts.yml": false} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		shown := make(map[string]bool)
		for _, name := range names.FindAllString(string(b), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if shown[name] = true; !exists[name] {
				t.Errorf("%s: %s does not exist", file, name)
			}
		}
		for name := range exists {
			if all && !shown[name] {
				t.Errorf("%s does not show %s", file, name)
			}
		}
	}
}

// TestPeersMakeNoLabels: whatever codes clients close connections with, the samples stay few.
func TestPeersMakeNoLabels(t *testing.T) {
	s := newSite(t)
	completed := 0
	dial := func(alpn string, code uint64) {
		tc := conntest.ClientTLS()
		tc.NextProtos = []string{alpn}
		g, err := loop.Open("udp", "127.0.0.1:0", 1, nil)
		require.NoError(t, err)
		defer g.Close()
		c, err := g.Dial(t.Context(), s.g.LocalAddr().String(), &conn.Config{TLS: tc})
		if err != nil { // the server knows only "h3"
			return
		}
		completed++
		// the server's side, too
		s.waitFor("quic_handshakes_completed_total", fmt.Sprint(completed))
		c.Close(code, "a reason")
		<-c.Context().Done()
	}
	const each = 20
	for i := range uint64(each) {
		dial("h3", 1000+i*i*1e6)
		dial(fmt.Sprint("protocol", i), 0)
	}
	s.waitFor(`quic_closed_connections_total{role="server",by="peer",reason="application_error"}`, fmt.Sprint(each))
	s.waitFor(`http3_closed_connections_total{role="server",by="peer",code="other"}`, fmt.Sprint(each))
	s.waitFor(`quic_closed_connections_total{role="server",by="local",reason="crypto_error"}`, fmt.Sprint(each))
	n := 0
	for _, f := range s.m.Gather() {
		if strings.HasSuffix(f.Name, "_closed_connections_total") {
			n += len(f.Samples)
		}
	}
	require.Equal(t, 3, n)
}

// TestGatherBeside: metrics may be gathered while connections come and go.
func TestGatherBeside(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := metrics.WriteText(io.Discard, s.m.Gather()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 5 {
		s.get("/")
	}
	cancel()
	require.NoError(t, <-done)
}

var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }

func TestWriteTextFails(t *testing.T) {
	f := []metrics.Family{{Name: "quic_x", Help: "A \\ and\na line.", Kind: metrics.Gauge, Samples: []metrics.Sample{
		{Labels: []metrics.Label{{Name: "a", Value: "\"\\\n"}}, Value: 1.5}}}}
	require.ErrorIs(t, metrics.WriteText(fullWriter{}, f), errFull)
	var b strings.Builder
	require.NoError(t, metrics.WriteText(&b, f))
	require.Equal(t, "# HELP quic_x A \\\\ and\\na line.\n# TYPE quic_x gauge\nquic_x{a=\"\\\"\\\\\\n\"} 1.5\n", b.String())
}
