package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestSlowBody ends requests whose clients send one byte at a time and never enough. It does not
// blame the backend.
func TestSlowBody(t *testing.T) {
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	e := start(t, "timeouts: {body: 100ms}\npools: {p: {backends: "+list(backend)+", eject: {failures: 1, for: 1h}}}\nroutes: [{pool: p}]\n")
	for _, proto := range protocols {
		c := e.client(proto)
		in, out := io.Pipe()
		go func() {
			for {
				if _, err := out.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
		r, err := http.NewRequest("POST", e.url("/"), in)
		require.NoError(t, err)
		resp, err := c.Do(r)
		if proto != "HTTP/1.1" { // there the client may find the connection closed instead
			require.NoError(t, err, proto)
		}
		if err == nil && resp.StatusCode != http.StatusOK { // the response had not begun
			require.Equal(t, http.StatusRequestTimeout, resp.StatusCode, proto)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body) // ends, in whatever way
			require.True(t, err != nil || resp.StatusCode != http.StatusOK)
			resp.Body.Close()
		}
		in.Close()
		require.True(t, e.site.Load().pools["p"].backends[0].condition.available(time.Now()))
		_, body := e.get(c, "/")
		require.Empty(t, body)
	}
}

// A pipeWriter is the response to a request that comes through a pipe.
type pipeWriter struct {
	http.ResponseWriter
	net.Conn
}

func (w pipeWriter) Write(b []byte) (int, error) { return w.ResponseWriter.Write(b) }

// TestBodyPace reads bodies of several paces, in virtual time.
func TestBodyPace(t *testing.T) {
	const limit = time.Second
	for _, c := range []struct {
		name         string
		size         int // of each piece
		every, think time.Duration
		slow         bool
	}{
		{"a byte at a time", 1, limit / 100, 0, true},
		{"nothing", 1, time.Hour, 0, true},
		{"just too slow", bodyStep/2 - 1, limit/2 - 1, 0, true},
		{"just fast enough", bodyStep / 2, limit/2 - 1, 0, false},
		{"large pieces, rarely", 2 * bodyStep, limit - 1, 0, false},
		{"the backend is slow", 100, 0, limit, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				ended := make(chan struct{})
				defer func() {
					server.Close()
					<-ended
				}()
				go func() {
					defer close(ended)
					defer client.Close()
					for range 200 {
						time.Sleep(c.every)
						if _, err := client.Write(make([]byte, c.size)); err != nil {
							return
						}
					}
				}()
				r := httptest.NewRequest("POST", "/", server)
				begin := time.Now()
				limitBody(pipeWriter{httptest.NewRecorder(), server}, r, limit)
				buf := make([]byte, 64<<10)
				total := 0
				var err error
				for err == nil {
					var n int
					n, err = r.Body.Read(buf)
					total += n
					time.Sleep(c.think)
				}
				if c.slow {
					require.ErrorIs(t, err, errSlowBody)
					require.Equal(t, limit, time.Since(begin))
					return
				}
				require.Equal(t, io.EOF, err)
				require.Equal(t, 200*c.size, total)
			})
		})
	}
}
