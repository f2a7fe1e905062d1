package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// TestServer makes the requests of perf compare.
func TestServer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	cert, err := selfSigned()
	require.NoError(t, err)
	srv := newServer(cert)
	go srv.Serve(c)
	t.Cleanup(func() { srv.Close(); c.Close() })
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { tr.Close() })
	client := &http.Client{Transport: tr, Timeout: time.Minute}
	url := "https://" + c.LocalAddr().String()
	for path, want := range map[string]int{"/100": http.StatusOK, "/200000": http.StatusOK, "/x": http.StatusNotFound} {
		resp, err := client.Get(url + path)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode)
		if want == http.StatusOK {
			require.EqualValues(t, resp.ContentLength, len(b))
			require.NotEmpty(t, b)
		}
	}
	resp, err := client.Post(url+"/", "application/octet-stream", strings.NewReader(strings.Repeat("x", 300_000)))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
