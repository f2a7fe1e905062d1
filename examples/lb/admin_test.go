package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestAdmin: a balancer lives from its start on, and is ready as long as a backend answers.
func TestAdmin(t *testing.T) {
	get := func(b *balancer, path string) int {
		w := httptest.NewRecorder()
		b.admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	silent := listen(t, "udp", "127.0.0.1:0") // nobody reads from it
	b := startBalancer(t, backendsOf(silent.LocalAddr())+"health: {interval: 10ms, silent: 1, dead: 1000}\n")
	require.Eventually(t, func() bool { return get(b, "/readyz") == http.StatusServiceUnavailable }, time.Minute, time.Millisecond)
	require.Equal(t, http.StatusOK, get(b, "/healthz"))
	b = startBalancer(t, backendsOf(silent.LocalAddr())+"health: {off: true}\n")
	require.Equal(t, http.StatusOK, get(b, "/readyz"))
	require.Equal(t, http.StatusNotFound, get(b, "/"))
}

// TestServeAdmin: the page is at the address that the file says.
func TestServeAdmin(t *testing.T) {
	b := startBalancer(t, backendsOf(listen(t, "udp", "127.0.0.1:0").LocalAddr())+"health: {off: true}\n")
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	_, err := b.serveAdmin(taken.Listener.Addr().String())
	require.ErrorContains(t, err, "address already in use")
	stop, err := b.serveAdmin("127.0.0.1:0")
	require.NoError(t, err)
	stop()
	stop, err = b.serveAdmin("")
	require.NoError(t, err)
	stop()
}
