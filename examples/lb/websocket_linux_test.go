package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"

	"golang.org/x/net/websocket"

	"github.com/lazoquic/lazo/h3/h3http"
)

// A WebSocket over HTTP/3 begins with extended CONNECT, and its frames are the content of the
// stream (RFC 9220). golang.org/x/net/websocket has the frames, but begins with an Upgrade of
// HTTP/1.1. An upgradeStream is a stream that HTTP/3 has opened already, for that package: it
// drops the text of the upgrade that is written, and answers the client's.
type upgradeStream struct {
	*h3http.Stream
	written []byte       // of the upgrade, until it is whole
	whole   bool         // what follows is frames
	answer  bytes.Buffer // to the upgrade; only at the client
	client  bool
}

// endOfUpgrade ends the head of a message of HTTP/1.1.
const endOfUpgrade = "\r\n\r\n"

// Write is part of net.Conn.
func (s *upgradeStream) Write(p []byte) (int, error) {
	if s.whole {
		return s.Stream.Write(p)
	}
	s.written = append(s.written, p...)
	head, frames, whole := bytes.Cut(s.written, []byte(endOfUpgrade))
	if s.whole = whole; !whole {
		return len(p), nil
	}
	if s.client {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(head, endOfUpgrade...))))
		if err != nil {
			return 0, err
		}
		// RFC 6455, Section 4.2.2
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		s.answer.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + endOfUpgrade)
	}
	if len(frames) > 0 {
		if _, err := s.Stream.Write(frames); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Read is part of net.Conn.
func (s *upgradeStream) Read(p []byte) (int, error) {
	if s.answer.Len() > 0 {
		return s.answer.Read(p)
	}
	return s.Stream.Read(p)
}

// openWebSocket opens a WebSocket over HTTP/3, and returns it with the response.
func openWebSocket(t *h3http.Transport, r *http.Request) (*websocket.Conn, *http.Response, error) {
	r.Method = http.MethodConnect
	r.Header[":protocol"] = []string{"websocket"}
	r.Header.Set("Sec-WebSocket-Version", "13")
	s, resp, err := t.Connect(r)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		s.Close()
		return nil, nil, errors.New("no WebSocket: " + resp.Status)
	}
	cfg, err := websocket.NewConfig(r.URL.String(), "https://"+r.URL.Host)
	if err != nil {
		return nil, nil, err
	}
	ws, err := websocket.NewClient(cfg, &upgradeStream{Stream: s, client: true})
	return ws, resp, err
}

// A hijacker gives the stream of a request to a handler that wants a connection of HTTP/1.1.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	s, err := h3http.TakeStream(h.ResponseWriter)
	if err != nil {
		return nil, nil, err
	}
	c := &upgradeStream{Stream: s}
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// serveWebSocket accepts a WebSocket over HTTP/3.
func serveWebSocket(w http.ResponseWriter, r *http.Request, handle func(*websocket.Conn)) {
	if r.Method != http.MethodConnect || r.Header.Get(":protocol") != "websocket" {
		http.Error(w, "want a WebSocket", http.StatusBadRequest)
		return
	}
	up := r.Clone(r.Context())
	up.Method = http.MethodGet
	up.Header.Set("Connection", "Upgrade")
	up.Header.Set("Upgrade", "websocket")
	up.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") // RFC 6455, Section 1.3
	websocket.Server{Handler: handle}.ServeHTTP(hijacker{w}, up)
}
