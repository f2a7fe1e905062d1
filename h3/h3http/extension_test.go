package h3http

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A collector is an Extension that collects streams of type 0x54 and what else it sees.
type collector struct {
	c       *loop.Conn
	h       *h3.Conn
	streams chan *loop.Stream
	saw     map[h3.EventKind]bool // until the connection closes
	closed  chan error
}

func (s *collector) HandleHTTP(_ time.Time, ev h3.Event) {
	s.saw[ev.Kind] = true
	if ev.Kind == h3.EventStream {
		s.streams <- s.c.Adopt(ev.QUIC)
	}
}

func (s *collector) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Kind == conn.EventClosed {
		s.closed <- ev.Err
	}
}

// open opens a stream of type 0x54.
func (s *collector) open(t *testing.T) *loop.Stream {
	var st *loop.Stream
	err := s.c.Do(t.Context(), func(_ time.Time, q *conn.Conn) {
		qs, err := q.OpenStream(conn.Uni)
		if err != nil {
			panic(err)
		}
		st = s.c.Adopt(qs)
		st.Write([]byte{0x40, 0x54})
	})
	require.NoError(t, err)
	return st
}

// TestExtension exchanges streams of an extension. The connection is made before there is a request
// for it.
func TestExtension(t *testing.T) {
	made := make(chan *collector, 2)
	extend := func(c *loop.Conn, h *h3.Conn) Extension {
		s := &collector{c, h, make(chan *loop.Stream, 10), make(map[h3.EventKind]bool), make(chan error, 1)}
		made <- s
		return s
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	p := newPair(t, h, func(p *pair) {
		p.srv.H3Config = &h3.Config{StreamTypes: []uint64{0x54}}
		p.srv.Extend = extend
		p.tr.H3Config = p.srv.H3Config
		p.tr.Extend = extend
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u, err := url.Parse(p.url)
	require.NoError(t, err)
	c, err := p.tr.Preconnect(ctx, u)
	require.NoError(t, err)
	again, err := p.tr.Preconnect(ctx, u)
	require.NoError(t, err)
	require.Same(t, c, again)
	resp, _ := p.get("/")
	require.Same(t, c, ConnOf(resp.Request))
	srv, cli := <-made, <-made
	if srv.c == c {
		srv, cli = cli, srv
	}
	for _, way := range []struct{ from, to *collector }{{srv, cli}, {cli, srv}} {
		out := way.from.open(t)
		io.WriteString(out, "hello")
		out.Close()
		in := <-way.to.streams
		b, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
		in.Close()
	}
	require.NoError(t, p.tr.Close())
	require.Error(t, <-srv.closed)
	require.Error(t, <-cli.closed)
	want := map[h3.EventKind]bool{h3.EventSettings: true, h3.EventStream: true, h3.EventClosed: true}
	require.Equal(t, want, srv.saw)
	_, err = p.tr.Preconnect(ctx, u)
	require.Error(t, err)
}
