package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// socketServer accepts WebSockets, says what it saw, and then echoes all bytes unchanged. It ends
// when it reads "bye". It says "left" when the client has ended its side, and then ends too.
func socketServer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.Method != "GET" || len(r.Header.Get("Sec-Websocket-Key")) != 24 {
		http.Error(w, "no WebSocket", http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/page" {
		return
	}
	if r.URL.Path == "/forbidden" {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	c, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	key := r.Header.Get("Sec-Websocket-Key")
	if r.URL.Path == "/wrong" {
		key = "another"
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Secret\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n"+
		"X-Secret: 1\r\nAlt-Svc: h3=\":1\"\r\nContent-Length: 3\r\nSec-WebSocket-Protocol: chat\r\nX-For: %s\r\n\r\n", accept(key), r.Header.Get("X-Forwarded-For"))
	buf := make([]byte, 100)
	for {
		n, err := in.Read(buf)
		if err == io.EOF {
			io.WriteString(c, "left")
		}
		if err != nil || string(buf[:n]) == "bye" {
			return
		}
		c.Write(buf[:n])
	}
}

// connect opens a WebSocket over HTTP/3, with fields NAME: VALUE besides those it needs.
func (e *running) connect(path string, fields ...string) (*h3http.Stream, *http.Response) {
	e.t.Helper()
	r, err := http.NewRequest("CONNECT", e.url(path), nil)
	require.NoError(e.t, err)
	r.Header[":protocol"] = []string{"websocket"}
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	s, resp, err := e.client("HTTP/3.0").Transport.(*h3http.Transport).Connect(r)
	require.NoError(e.t, err)
	return s, resp
}

// TestWebSocket checks that a WebSocket over HTTP/3 reaches the backend over HTTP/1.1, both ways
// and to the end.
func TestWebSocket(t *testing.T) {
	e := start(t, onePool(serveTest(t, socketServer)))
	s, resp := e.connect("/")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "chat", resp.Header.Get("Sec-Websocket-Protocol"))
	require.Equal(t, "127.0.0.1", resp.Header.Get("X-For"))
	for _, name := range []string{"Upgrade", "Connection", "Sec-Websocket-Accept", "X-Secret", "Alt-Svc", "Content-Length"} {
		require.Empty(t, resp.Header[name])
	}
	buf := make([]byte, 100)
	for _, text := range []string{"hello", strings.Repeat("x", 100)} {
		io.WriteString(s, text)
		_, err := io.ReadFull(s, buf[:len(text)])
		require.NoError(t, err)
		require.Equal(t, text, string(buf[:len(text)]))
	}
	io.WriteString(s, "bye")
	_, err := s.Read(buf)
	require.Equal(t, io.EOF, err)
	s.Close()

	s, _ = e.connect("/") // the client ends
	require.NoError(t, s.CloseWrite())
	answer, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "left", string(answer))
	s.Close()
	backend := e.site.Load().pools["p"].backends[0]
	require.Eventually(t, func() bool { return backend.inflight.Load() == 0 }, time.Minute, time.Millisecond)
}

// TestWebSocketWithoutClient checks that a WebSocket ends whose client has ended its side and is
// then gone, although the backend stays.
func TestWebSocketWithoutClient(t *testing.T) {
	end, left := make(chan struct{}), make(chan struct{})
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		c, in, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			accept(r.Header.Get("Sec-Websocket-Key")))
		io.Copy(io.Discard, in)
		close(left)
		<-end
	})))
	defer close(end)
	s, _ := e.connect("/")
	require.NoError(t, s.CloseWrite())
	<-left
	backend := e.site.Load().pools["p"].backends[0]
	require.Equal(t, int64(1), backend.inflight.Load())
	s.Cancel(h3.RequestCancelled)
	require.Eventually(t, func() bool { return backend.inflight.Load() == 0 }, time.Minute, time.Millisecond)
}

// TestNoWebSocket checks that the answer of a backend that accepts no WebSocket goes to the client,
// unless the client would take it for a WebSocket.
func TestNoWebSocket(t *testing.T) {
	e := start(t, onePool(serveTest(t, socketServer)))
	for path, want := range map[string]string{"/forbidden": "403 forbidden\n", "/wrong": "502 ", "/page": "502 "} {
		_, resp := e.connect(path)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, want, fmt.Sprint(resp.StatusCode, " ", string(b)))
	}
}

// TestWebSocketIsNoGRPC: a WebSocket that fails does so with its status, although its Content-Type
// is that of gRPC. The status 200 of a call that fails would be an open WebSocket.
func TestWebSocketIsNoGRPC(t *testing.T) {
	const kind = "Content-Type: application/grpc"
	e := start(t, onePool(serveTest(t, socketServer)))
	for _, path := range []string{"/wrong", "/page"} {
		_, resp := e.connect(path, kind)
		require.Equal(t, http.StatusBadGateway, resp.StatusCode, path)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, resp := start(t, poolWith("retries: {max: 0}", gone.URL)).connect("/", kind)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Empty(t, resp.Header["Grpc-Status"])
}

// upgrade opens a WebSocket over HTTP/1.1.
func (e *running) upgrade() (net.Conn, *bufio.Reader, *http.Response) {
	e.t.Helper()
	tc := e.trust.Clone()
	tc.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", e.at, tc)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { c.Close() })
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: %s\r\n\r\n", key)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(e.t, err)
	return c, in, resp
}

// TestUpgrade checks that a WebSocket over HTTP/1.1 goes on, too.
func TestUpgrade(t *testing.T) {
	e := start(t, onePool(serveTest(t, socketServer)))
	c, in, resp := e.upgrade()
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	// RFC 6455, Section 1.3
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.Header.Get("Sec-Websocket-Accept"))
	io.WriteString(c, "hello")
	buf := make([]byte, 5)
	_, err := io.ReadFull(in, buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf))
	require.NoError(t, c.(*tls.Conn).CloseWrite())
	answer, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "left", string(answer))
}
