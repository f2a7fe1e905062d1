package main

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
)

// isWebSocket reports whether r opens a WebSocket over a stream of HTTP/3 (RFC 9220).
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor == 3 && len(r.Header[":protocol"]) == 1 && r.Header[":protocol"][0] == "websocket"
}

// A webSocket passes WebSockets over HTTP/3 on to backends, as an Upgrade of HTTP/1.1.
// httputil.ReverseProxy passes on WebSockets over HTTP/1.1.
type webSocket struct {
	proxy *httputil.ReverseProxy
}

func (h webSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, key := upgrade(r)
	h.proxy.Rewrite(&httputil.ProxyRequest{In: r, Out: out})
	resp, err := h.proxy.Transport.RoundTrip(out)
	if err != nil {
		h.proxy.ErrorHandler(w, out, err)
		return
	}
	defer resp.Body.Close()
	backend, switched := resp.Body.(io.ReadWriteCloser)
	switch {
	case switched && resp.Header.Get("Sec-Websocket-Accept") != accept(key):
		h.proxy.ErrorHandler(w, out, errors.New("edge: a backend accepts another WebSocket than was asked for"))
		return
	case !switched && resp.StatusCode/100 == 2:
		// For the client that would be a WebSocket (RFC 8441, Section 5).
		h.proxy.ErrorHandler(w, out, fmt.Errorf("edge: a backend answers a WebSocket with status %d", resp.StatusCode))
		return
	case switched:
		resp.Header.Del("Content-Length") // RFC 9110, Section 8.6
	}
	dropConnectionFields(resp.Header)
	dropAltSvc(resp.Header)
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	if !switched {
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	w.WriteHeader(http.StatusOK) // stands for 101
	client, err := h3http.TakeStream(w)
	if err != nil {
		return
	}
	join(client, backend)
}

// dropConnectionFields removes the fields of the connection to a backend (RFC 9110, Section 7.6.1;
// RFC 6455, Section 4.2.2), as httputil.ReverseProxy does for other responses.
func dropConnectionFields(h http.Header) {
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Upgrade", "Sec-Websocket-Accept", "Keep-Alive", "Transfer-Encoding",
		"Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer",
	} {
		h.Del(name)
	}
}

// upgrade translates r to a request of HTTP/1.1. It returns that request and its key.
func upgrade(r *http.Request) (out *http.Request, key string) {
	out = r.Clone(r.Context())
	out.Method, out.Body, out.ContentLength = http.MethodGet, nil, 0
	delete(out.Header, ":protocol")
	var nonce [16]byte
	rand.Read(nonce[:])
	key = base64.StdEncoding.EncodeToString(nonce[:])
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", "websocket")
	out.Header.Set("Sec-Websocket-Key", key)
	for _, name := range forwarding {
		out.Header.Del(name)
	}
	return out, key
}

// accept returns what a backend must answer to a key (RFC 6455, Section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// join copies both ways until both have ended, or one has failed. It passes the end of one side on
// to the other. FIN stands for FIN, and H3_REQUEST_CANCELLED for RST (RFC 9220, Section 3). A
// client may end its side with its Close frame. The backend's Close frame is still to come then.
func join(client *h3http.Stream, backend io.ReadWriteCloser) {
	defer client.Close()
	// A backend may be quiet for any time, also after the client has ended its side.
	stop := context.AfterFunc(client.Context(), func() { backend.Close() })
	defer stop()
	var left atomic.Bool // the client has ended its side
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, err := io.Copy(backend, client)
		left.Store(err == nil)
		if half, ok := backend.(interface{ CloseWrite() error }); !ok || err != nil || half.CloseWrite() != nil {
			backend.Close() // this ends the copy below
		}
	}()
	if _, err := io.Copy(client, backend); err != nil && !left.Load() {
		client.Cancel(h3.RequestCancelled)
	} else {
		client.CloseWrite()
		client.StopSending(h3.NoError) // a WebSocket ends with its server's side
	}
	backend.Close()
	<-up
}
