package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// dialTLS opens a connection over TCP for a version of HTTP.
func (e *running) dialTLS(alpn string) net.Conn {
	e.t.Helper()
	tc := e.trust.Clone()
	tc.NextProtos = []string{alpn}
	c, err := tls.Dial("tcp", e.at, tc)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Minute))
	return c
}

// http2Preface begins a connection of HTTP/2, with empty SETTINGS (RFC 9113, Section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// TestHeaderTimeout checks that a client that begins a request and does not go on is left.
func TestHeaderTimeout(t *testing.T) {
	e := start(t, "timeouts: {header: 50ms, idle: 1h}\n"+onePool("http://127.0.0.1:1"))
	c := e.dialTLS("http/1.1")
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n")
	_, err := io.ReadAll(c)
	require.NoError(t, err, "the edge does not close it")
}

// TestIdleTimeout checks that connections without requests end, of all versions of HTTP.
func TestIdleTimeout(t *testing.T) {
	e := start(t, "timeouts: {header: 1h, idle: 50ms}\n"+onePool(serveTest(t, saying("hello"))))
	one := e.dialTLS("http/1.1")
	fmt.Fprint(one, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b, err := io.ReadAll(one)
	require.NoError(t, err, "the edge does not close it")
	require.Contains(t, string(b), "hello")

	two := e.dialTLS("h2")
	fmt.Fprint(two, http2Preface)
	b, err = io.ReadAll(two)
	require.NoError(t, err, "the edge does not close it")
	require.NotEmpty(t, b)

	resp, _ := e.get(e.client("HTTP/3.0"), "/")
	select {
	case <-h3http.ConnOf(resp.Request).Context().Done():
	case <-time.After(time.Minute):
		t.Error("the edge does not close it")
	}
}
