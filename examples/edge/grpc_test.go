package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestGRPCFailure: a call that no backend answers gets a status of gRPC.
func TestGRPCFailure(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	silent := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	for _, row := range []struct{ backend, keys, timeout, status, message string }{
		{gone.URL, "retries: {max: 0}", "", "14", "Bad Gateway"},
		{silent, "timeouts: {header: 20ms}", "", "4", "Gateway Timeout"},
		{serveTest(t, failing), "retries: {max: 0}", "1n", "4", "Bad Gateway"},
		{serveTest(t, failing), "retries: {max: 0}", "1H", "14", "Bad Gateway"},
	} {
		e := start(t, poolWith(row.keys, row.backend))
		for _, proto := range protocols[1:] {
			r, err := http.NewRequest("POST", e.url("/service/Method"), strings.NewReader("message"))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/grpc+proto")
			if row.timeout != "" {
				r.Header.Set("Grpc-Timeout", row.timeout)
			}
			resp, body := e.do(e.client(proto), r)
			require.Equal(t, 200, resp.StatusCode)
			require.Empty(t, body)
			require.Equal(t, "application/grpc", resp.Header.Get("Content-Type"))
			require.Equal(t, row.status, resp.Header.Get("Grpc-Status"), row)
			require.Equal(t, row.message, resp.Header.Get("Grpc-Message"))
		}
	}
}

func TestGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "20m": 20 * time.Millisecond, "99999999H": 0, "5": 0, "H": 0, "": 0, "-1S": 0, "1x": 0, "123456789S": 0,
	} {
		got, ok := grpcTimeout(text)
		if text == "99999999H" {
			require.True(t, ok)
			require.Positive(t, got, "no overflow")
			continue
		}
		require.Equal(t, want != 0, ok, text)
		require.Equal(t, want, got, text)
	}
}
