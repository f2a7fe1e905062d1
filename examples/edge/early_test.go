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

// TestEarlyData: requests of 0-RTT go on as such where the route takes them, and wait elsewhere. One
// that the backend finds too early goes to it again.
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
	e := start(t, fmt.Sprintf("pools: {p: {backends: %s}}\nroutes: [{pool: p}, {path: /take, pool: p, early_data: true}]\n", list(backend)))
	tc := e.trust.Clone()
	tc.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, row := range []struct {
		path   string
		fields []string
		asked  []string
	}{
		{"/take/first", nil, []string{"/take/first "}}, // a full handshake
		{"/take/early", nil, []string{"/take/early 1"}},
		{"/wait", nil, []string{"/wait "}},
		{"/take/careful", nil, []string{"/take/careful 1", "/take/careful "}},
	} {
		// The transport sends what is too early again itself, so that the edge must be quicker.
		tr := &h3http.Transport{TLSClientConfig: tc, QUICConfig: &conn.Config{Enable0RTT: true}}
		resp, _ := e.get(&http.Client{Transport: tr, Timeout: time.Minute}, row.path, row.fields...)
		require.Equal(t, 200, resp.StatusCode)
		mu.Lock()
		require.Equal(t, row.asked, asked)
		asked = nil
		mu.Unlock()
		require.Eventually(t, func() bool {
			_, there := tc.ClientSessionCache.Get("localhost")
			return there
		}, time.Minute, time.Millisecond)
		tr.Close()
	}
}

// TestSaidEarly: a client that says itself that a request is early gets the status.
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
