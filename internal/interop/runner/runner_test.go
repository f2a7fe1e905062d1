package runner

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// A pairing is a client and a server.
type pairing struct{ client, server implementation }

func (p pairing) String() string { return p.client.String() + " to " + p.server.String() }

var pairings = []pairing{{lazo{}, lazo{}}, {lazo{}, quicGo{}}, {quicGo{}, lazo{}}}

// A testCase is a case of quic-interop-runner.
type testCase struct {
	name  string
	asked string // what the runner asks of both sides
	daily string // what runs without LAZO_RUNNER=full, if that is less
	run   func(*run)

	// lacking, if not nil, runs in place of the case with quic-go, which lacks a feature that the
	// case needs. It proves that, and returns what quic-go lacks.
	lacking func(*run) string
}

// A run is a case with a pairing.
type run struct {
	testing.TB
	pairing
	full  bool
	files files
	tap   tap

	serverTLS, clientTLS *tls.Config
	addr                 netip.AddrPort // of the server, for the client
	// connection IDs may be unknown, and a stateless reset answers an unknown one
	resets bool
	relay  *netrelay.Relay
}

// atOnce is how many runs take place at the same time: most of them wait for a slow link.
const atOnce = 8

// TestRunner runs the cases of quic-interop-runner, with this module as client, as server and as
// both.
//
// The files are smaller than the runner's, and some runs shorter, unless LAZO_RUNNER is full. The
// results are compared with the table in docs/interop.md. LAZO_RUNNER_TABLE=write writes that
// table.
func TestRunner(t *testing.T) {
	full := os.Getenv("LAZO_RUNNER") == "full"
	var tb table
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, tc := range cases {
		tb.rows = append(tb.rows, row{testCase: tc})
	}
	for i, tc := range cases {
		for j, p := range pairings {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				result, took := "failed", time.Now()
				if t.Run(tc.name+"/"+strings.ReplaceAll(p.String(), " ", "_"), func(t *testing.T) { result = runCase(t, tc, p, full) }) {
					tb.set(i, j, result, time.Since(took))
				} else {
					tb.set(i, j, "failed", time.Since(took))
				}
			})
		}
	}
	wg.Wait()
	t.Logf("\n%s", tb.text(full))
	tb.compare(t, "../../../docs/interop.md")
}

// runCase runs a case, and returns the result for the table.
func runCase(t *testing.T, tc testCase, p pairing, full bool) string {
	r := &run{TB: t, pairing: p, full: full}
	r.trust(1, 0)
	if lazo := (pairing{lazo{}, lazo{}}); tc.lacking != nil && p != lazo {
		return "quic-go: " + tc.lacking(r)
	}
	tc.run(r)
	return "pass"
}

// trust gives both sides new credentials.
func (r *run) trust(length, names int) {
	r.serverTLS, r.clientTLS = credentials(r, length, names)
	r.serverTLS.KeyLogWriter, r.clientTLS.KeyLogWriter = &r.tap.secrets, &r.tap.secrets
}

// size returns the size of a file: that of the runner, or a smaller one.
func (r *run) size(full, daily int) int {
	if r.full {
		return full
	}
	return daily
}

// time returns a duration: that of the runner, or a shorter one.
func (r *run) time(full, daily time.Duration) time.Duration {
	if r.full {
		return full
	}
	return daily
}

// context returns a context that ends when a step takes too long.
func (r *run) context(full, daily time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), r.time(full, daily))
	r.Cleanup(cancel)
	return ctx
}

// begin starts a server behind a relay.
func (r *run) begin(scenario netrelay.Config, cfg serverConfig) {
	r.Helper()
	cfg.tls, cfg.files = r.serverTLS, &r.files
	if !cfg.ip.IsValid() {
		cfg.ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	scenario.Server = r.server.serve(r, cfg)
	r.relay = r.tap.relay(r, scenario)
	r.addr = r.relay.Addr()
}

// timeout is twice that of the runner for most cases, because this machine may be busy.
const timeout = 2 * time.Minute

// connect connects the client to the server.
func (r *run) connect(ctx context.Context, cfg clientConfig) client {
	r.Helper()
	c, err := r.tryConnect(ctx, cfg)
	require.NoError(r, err)
	return c
}

func (r *run) tryConnect(ctx context.Context, cfg clientConfig) (client, error) {
	cfg.tls, cfg.server = r.clientTLS, r.addr
	return r.client.dial(ctx, cfg)
}

// download gets files over one connection, and returns its trace after it has closed.
func (r *run) download(names ...string) *trace {
	r.Helper()
	ctx := r.context(timeout, timeout)
	c := r.connect(ctx, clientConfig{})
	require.NoError(r, r.files.check(ctx, c, names...))
	require.NoError(r, c.close())
	return r.closedTrace(1)
}

// closedTrace returns the trace once n clients have closed their connections without an error.
func (r *run) closedTrace(n int) (tr *trace) {
	r.Helper()
	require.Eventually(r, func() bool {
		tr = r.tap.trace()
		return tr.closedWithoutError() >= n
	}, time.Minute, 20*time.Millisecond, "no CONNECTION_CLOSE with code 0")
	return tr
}

// A table holds the results of all cases.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	testCase
	results [3]string
	took    [3]time.Duration
}

func (tb *table) set(i, j int, result string, took time.Duration) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.rows[i].results[j], tb.rows[i].took[j] = result, took
}

// text returns the cases that ran, with their times.
func (tb *table) text(full bool) string {
	var b strings.Builder
	for _, row := range tb.rows {
		for j, p := range pairings {
			if row.results[j] != "" {
				fmt.Fprintf(&b, "%-20s %-16s %6.2fs  %s\n", row.name, p, row.took[j].Seconds(), row.results[j])
			}
		}
		if row.daily != "" && !full {
			fmt.Fprintf(&b, "%-20s reduced: %s\n", "", row.daily)
		}
	}
	return b.String()
}

// markdown returns the table for the document, without times.
func (tb *table) markdown() string {
	var b strings.Builder
	b.WriteString("| case | what it asks | daily |")
	for _, p := range pairings {
		fmt.Fprintf(&b, " %s |", p)
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", 3+len(pairings)) + "\n")
	for _, row := range tb.rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s |", row.name, row.asked, row.daily)
		for _, result := range row.results {
			fmt.Fprintf(&b, " %s |", result)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// The table stands between these lines.
const (
	tableBegins = "<!-- table -->\n"
	tableEnds   = "<!-- end of table -->\n"
)

// compare fails the test if the document differs from the table. With LAZO_RUNNER_TABLE=write it
// writes the document instead.
func (tb *table) compare(t *testing.T, doc string) {
	for _, row := range tb.rows {
		for _, result := range row.results {
			if result == "" || result == "failed" {
				return // not all cases ran, or the test has failed anyway
			}
		}
	}
	b, err := os.ReadFile(doc)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), tableBegins)
	require.True(t, ok, "no table in %s", doc)
	was, after, ok := strings.Cut(rest, tableEnds)
	require.True(t, ok, "no end of the table in %s", doc)
	is := tb.markdown()
	if os.Getenv("LAZO_RUNNER_TABLE") == "write" {
		require.NoError(t, os.WriteFile(doc, []byte(before+tableBegins+is+tableEnds+after), 0o644))
		return
	}
	require.Equal(t, was, is, "LAZO_RUNNER_TABLE=write writes the table")
}
