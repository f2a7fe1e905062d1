package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestRole is the body of processes of other tests. Without roleEnv it does nothing.
func TestRole(t *testing.T) {
	role, parameter, _ := strings.Cut(os.Getenv(roleEnv), " ")
	var err error
	switch role {
	case "lb":
		err = run(t.Context(), []string{"-config", parameter}, os.Stdout, os.Stderr)
	case "server":
		err = serve(t.Context(), parameter[0])
	}
	require.NoError(t, err)
}

// serve is a server of HTTP/3 in two loops, until its process is killed. Its keys are those of all
// servers.
func serve(ctx context.Context, id byte) error {
	key := [16]byte{5: 1}
	s := &h3http.Server{
		TLSConfig: conntest.ServerTLS(), ExtendedConnect: true, Secret: make([]byte, 16), Handler: handler(id),
	}
	cfg := s.LoopConfig()
	cfg.Shard = func(_ int, cfg *loop.Config) {
		source, err := quiclb.NewSource(quiclb.Config{ID: 3, ServerID: []byte{10, id}, NonceLen: 6, Key: &key}, rand.Reader)
		if err != nil {
			panic(err)
		}
		cfg.Endpoint.ConnIDs = source
	}
	g, err := loop.Listen("udp", ":443", 2, cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// handler answers as server id. Each response says who the server is and whom it sees, and lasts as
// long as the connection.
func handler(id byte) http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, work func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", string(id))
			w.Header().Set("Seen", r.RemoteAddr)
			work(w, r)
		})
	}
	answer(download, func(w http.ResponseWriter, r *http.Request) {
		for part := content(); ; {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	answer(upload, func(w http.ResponseWriter, r *http.Request) { // says what each part was
		c := http.NewResponseController(w)
		for b := content(); c.Flush() == nil; {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			sum := sha256.Sum256(b)
			w.Write(sum[:])
		}
	})
	answer(socket, func(w http.ResponseWriter, r *http.Request) {
		serveWebSocket(w, r, func(ws *websocket.Conn) {
			for {
				var message string
				if websocket.Message.Receive(ws, &message) != nil || websocket.Message.Send(ws, message) != nil {
					return
				}
			}
		})
	})
	return mux
}

// The paths are what a client does.
const (
	download = "/download"
	upload   = "/upload"
	socket   = "/socket" // a WebSocket that sends back what it gets
)

// kinds are all of them.
func kinds() []string { return []string{download, upload, socket} }

// content is one part of what is downloaded or uploaded.
func content() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 8<<10) }
