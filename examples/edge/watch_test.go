package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestAuthoritiesReload changes the file of a pool's authorities: backends that were refused are
// taken, and the other way round. A file without a certificate changes nothing, and requests in
// progress end as they began.
func TestAuthoritiesReload(t *testing.T) {
	for _, scheme := range []string{"https", "h3", "h3+https"} {
		t.Run(scheme, func(t *testing.T) {
			end := make(chan struct{})
			h := slow(end)
			behind := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					h(w, r)
				}
			})))
			right, err := os.ReadFile(filepath.Join(filepath.Dir(behind.file), "cert.pem"))
			require.NoError(t, err)
			other := &demo{dir: t.TempDir()}
			require.NoError(t, other.writeCertificate())
			wrong, err := os.ReadFile(other.cert())
			require.NoError(t, err)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			write := func(text []byte) { t.Helper(); require.NoError(t, os.WriteFile(ca, text, 0o600)) }
			write(wrong)
			var log logBuffer
			e := startLogging(t, fmt.Sprintf("pools: {p: {backends: [%q], ca: %q, server_name: localhost}}\nroutes: [{pool: p}]\n", scheme+"://"+behind.at, ca), &log)
			c := e.client("HTTP/3.0")
			status := func() int {
				t.Helper()
				resp, _ := e.get(c, "/")
				return resp.StatusCode
			}
			require.Equal(t, http.StatusBadGateway, status())
			write(right)
			require.NoError(t, e.reload())
			require.Equal(t, http.StatusOK, status(), "after a signal")
			finish := e.begin([]*http.Client{c})

			write([]byte("nothing"))
			e.refresh()
			require.Contains(t, log.String(), `"authorities of pool p are as before"`)
			require.Equal(t, http.StatusOK, status())

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go e.keepCurrent(ctx, nil, time.Millisecond)
			write(wrong)
			require.Eventually(t, func() bool { return status() == http.StatusBadGateway }, time.Minute, time.Millisecond)
			close(end)
			finish()
		})
	}
}

// TestResetSecretChange checks that a new secret for stateless resets is an error: connections that
// are there would not know its tokens.
func TestResetSecretChange(t *testing.T) {
	name := filepath.Join(t.TempDir(), "reset")
	write := func(text string) { require.NoError(t, os.WriteFile(name, []byte(strings.Repeat(text, 16)), 0o600)) }
	write("one")
	var log logBuffer
	e := startLogging(t, "reset_secret: "+name+"\n"+onePool("http://127.0.0.1:1"), &log)
	key := e.resets.key
	require.NoError(t, e.reload())
	write("other")
	e.refresh()
	require.Contains(t, log.String(), "stateless resets are as before")
	require.ErrorContains(t, e.reload(), "reset_secret: cannot change without a restart")
	require.Equal(t, key, e.resets.key)
	write("one")
	require.NoError(t, e.reload())
}
