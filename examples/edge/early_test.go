package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// TestEarlyData checks that 0-RTT requests go on early if the route takes them, and wait otherwise.
// If the backend finds one too early, it gets it again later.
func TestEarlyData(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Early-Data"))
		if r.URL.Path == "/take/careful" && r.Header.Get("Early-Data") != "" {
			w.WriteHeader(http.StatusTooEarly)
		}
		io.WriteString(w, r.Header.Get("Early-Data"))
	})
	var log logBuffer
	e := startLogging(t, fmt.Sprintf("pools: {p: {backends: %s}}\nroutes: [{pool: p}, {path: /take, pool: p, early_data: true}]\n", list(backend)), &log)
	tc := e.trust.Clone()
	tc.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	visit := func(path string) []string {
		tr := &h3http.Transport{TLSClientConfig: tc, QUICConfig: &conn.Config{Enable0RTT: true}}
		defer tr.Close()
		resp, _ := e.get(&http.Client{Transport: tr, Timeout: time.Minute}, path)
		require.Equal(t, 200, resp.StatusCode)
		require.Eventually(t, func() bool {
			_, there := tc.ClientSessionCache.Get("localhost")
			return there
		}, time.Minute, time.Millisecond, "the next connection needs a ticket")
		mu.Lock()
		defer mu.Unlock()
		defer func() { asked = nil }()
		return asked
	}
	visit("/first")
	for path, want := range map[string][]string{
		"/take/early":   {"/take/early 1"},
		"/take/careful": {"/take/careful 1", "/take/careful "},
	} {
		// A slow client sends its request after the handshake. Then it is not early.
		require.Eventually(t, func() bool {
			got := visit(path)
			if len(got) > 1 || got[0] != path+" " {
				require.Equal(t, want, got)
				return true
			}
			return false
		}, time.Minute, time.Millisecond)
	}
	again := 0 // by the edge, because the client would send its request again, too
	for _, line := range log.requests(t) {
		if line["path"] == "/take/careful" && line["attempts"] == 2.0 {
			require.Equal(t, 200.0, line["status"])
			require.Equal(t, true, line["early"])
			again++
		}
	}
	require.Equal(t, 1, again)
	for range 5 {
		require.Equal(t, []string{"/wait "}, visit("/wait"))
	}
}

// TestSaidEarly checks that a client that marks a request as early itself gets the status.
func TestSaidEarly(t *testing.T) {
	backend := counting(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTooEarly)
		io.WriteString(w, r.Header.Get("Early-Data"))
	})
	e := start(t, onePool(backend.URL))
	for _, proto := range protocols {
		backend.n.Store(0)
		resp, body := e.get(e.client(proto), "/", "Early-Data", "1")
		require.Equal(t, http.StatusTooEarly, resp.StatusCode)
		require.Equal(t, "1", body)
		require.EqualValues(t, 1, backend.n.Load())
	}
}
