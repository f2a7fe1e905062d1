package main

import (
	"crypto/tls"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// TestAdmission checks each step of the load, for one loop and for four.
func TestAdmission(t *testing.T) {
	for _, c := range []struct {
		above, loops, pending int
		token                 conn.TokenKind
		want                  conn.Admission
	}{
		{8, 1, 7, conn.TokenNone, conn.AdmissionAccept},
		{8, 1, 8, conn.TokenNone, conn.AdmissionRetry},
		{8, 1, 31, conn.TokenRetry, conn.AdmissionAccept},
		{8, 1, 31, conn.TokenNewToken, conn.AdmissionAccept},
		{8, 1, 32, conn.TokenRetry, conn.AdmissionIgnore},
		{8, 4, 1, conn.TokenNone, conn.AdmissionAccept},
		{8, 4, 2, conn.TokenNone, conn.AdmissionRetry},
		{1, 4, 0, conn.TokenNone, conn.AdmissionAccept},
		{1, 4, 1, conn.TokenNone, conn.AdmissionRetry},
		{0, 4, 0, conn.TokenNone, conn.AdmissionRetry},
		{0, 4, 0, conn.TokenRetry, conn.AdmissionAccept},
		{0, 4, 1024, conn.TokenRetry, conn.AdmissionIgnore},
	} {
		got := admission(conn.AdmissionRequest{Pending: c.pending, Token: c.token}, c.above, c.loops)
		require.Equal(t, c.want, got, c)
	}
}

// TestRetryAbove asks each new client for a token, and after a reload only those that come while
// handshakes are in progress.
func TestRetryAbove(t *testing.T) {
	routes := onePool(serveTest(t, saying("hello")))
	e := start(t, "retry_above: 0\n"+routes)
	e.get(e.client("HTTP/3.0"), "/")
	retries := e.udp.Stats().Retries // a ClientHello may fill two packets
	require.Positive(t, retries)

	e.configure("retry_above: 1\n" + routes)
	require.NoError(t, e.reload())
	e.get(e.client("HTTP/3.0"), "/")
	require.Equal(t, retries, e.udp.Stats().Retries)

	// These clients do not go on with their handshakes until the end of the test.
	hold := make(chan struct{})
	done := make(chan struct{})
	trust := e.trust
	e.trust = trust.Clone()
	e.trust.VerifyConnection = func(tls.ConnectionState) error { <-hold; return nil }
	// Some of them come to one loop. All of them together are within what the loops take: a client
	// that is ignored at each of its tries runs into its handshake timeout.
	clients := 2*runtime.GOMAXPROCS(0) + 2
	for range clients {
		c := e.client("HTTP/3.0")
		go func() {
			resp, err := c.Get(e.url("/"))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Error(err)
			}
			done <- struct{}{}
		}()
	}
	require.Eventually(t, func() bool { return e.udp.Stats().Retries > retries }, time.Minute, time.Millisecond)
	close(hold)
	for range clients {
		<-done
	}
}
