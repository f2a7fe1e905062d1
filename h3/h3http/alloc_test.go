package h3http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A bareEnd is a client or a server of HTTP/3 that runs on its loop, without the types of net/http.
// It allocates nothing for a request like the one before.
type bareEnd struct {
	http   *h3.Conn
	fields []h3.Field // what it sends
	body   []byte

	left int // how many requests a client still begins
	done chan struct{}
}

func (e *bareEnd) Flush(time.Time, *conn.Conn) {}

func (e *bareEnd) HandleEvent(now time.Time, ev conn.Event) {
	e.http.HandleEvent(now, ev)
	for ev, ok := e.http.NextEvent(); ok; ev, ok = e.http.NextEvent() {
		switch {
		case ev.Stream == nil:
		case e.done == nil && ev.Kind == h3.EventFields:
			ev.Stream.SendFields(e.fields, false)
			ev.Stream.Write(e.body)
			ev.Stream.CloseWrite()
			ev.Stream.Release()
		case e.done != nil && ev.Kind == h3.EventReadable && skip(ev.Stream):
			ev.Stream.Release()
			e.begin()
		}
	}
}

// skip drops what has come of a body. It reports whether the end has come.
func skip(s *h3.Stream) bool {
	for {
		b, err := s.Peek(1)
		s.Discard(len(b))
		if len(b) == 0 {
			return errors.Is(err, io.EOF)
		}
	}
}

// begin sends the next request of a client.
func (e *bareEnd) begin() {
	if e.left == 0 {
		e.done <- struct{}{}
		return
	}
	e.left--
	if _, err := e.http.OpenRequest(e.fields, true); err != nil {
		panic(err)
	}
}

// allocations returns how often one of n requests allocates memory, on both sides together.
func allocations(run func(n int)) float64 {
	const n = 1000
	run(n / 4)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / n
}

// requireAllocations fails if a request allocates clearly more often than is usual. The race
// detector makes a sync.Pool drop some of what it gets.
func requireAllocations(t *testing.T, usual, got float64) {
	t.Helper()
	t.Logf("%.2f allocations", got)
	limit := usual + 2
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		limit += 4
	}
	require.LessOrEqual(t, got, limit)
}

// TestServerAllocations counts what a request costs a Server, with a mux and a handler that sets a
// field.
func TestServerAllocations(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "hello, this is the answer to your request\n")
	})
	url := serveLoopback(t, &Server{Handler: mux, TLSConfig: serverConfig()}, new(Transport))
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer g.Close()
	cfg := &conn.Config{TLS: clientConfig()}
	cfg.TLS.NextProtos = []string{"h3"}
	lc, err := g.Dial(t.Context(), strings.TrimPrefix(url, "https://"), cfg)
	require.NoError(t, err)
	e := &bareEnd{done: make(chan struct{}), fields: []h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "lazo.test"},
		{Name: ":path", Value: "/hello"}, {Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"},
	}}
	err = lc.Do(t.Context(), func(_ time.Time, q *conn.Conn) {
		e.http, err = h3.NewConn(q, nil)
		lc.Loop().SetHandler(q, e)
	})
	require.NoError(t, err)
	got := allocations(func(n int) {
		lc.Do(context.Background(), func(time.Time, *conn.Conn) {
			e.left = n
			e.begin()
		})
		<-e.done
	})
	requireAllocations(t, 7, got)
}

// TestClientAllocations counts what a request costs a Transport.
func TestClientAllocations(t *testing.T) {
	fields := []h3.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/plain"}, {Name: "content-length", Value: "5"}}
	cfg := &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: serverConfig()}}}
	cfg.Endpoint.Server.TLS.NextProtos = []string{"h3"}
	cfg.NewHandler = func(_ *loop.Loop, q *conn.Conn) loop.Handler {
		e := &bareEnd{fields: fields, body: []byte("hello")}
		e.http, _ = h3.NewConn(q, nil)
		return e
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	require.NoError(t, err)
	defer g.Close()
	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	r, err := http.NewRequest("GET", "https://"+g.LocalAddr().String()+"/hello", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "*/*")
	buf := make([]byte, 100)
	got := allocations(func(n int) {
		for range n {
			resp, err := tr.RoundTrip(r)
			require.NoError(t, err)
			k, err := io.ReadFull(resp.Body, buf)
			require.Equal(t, io.ErrUnexpectedEOF, err)
			require.Equal(t, 5, k)
			require.NoError(t, resp.Body.Close())
		}
	})
	requireAllocations(t, 4, got)
}
