package h3http

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A shouter is an Extension that answers each stream of type 0x54 with its settings and
// what the stream brought.
type shouter struct {
	c      *loop.Conn
	h      *h3.Conn
	saw    map[h3.EventKind]bool
	closed chan error
}

func (s *shouter) HandleHTTP(_ time.Time, ev h3.Event) {
	s.saw[ev.Kind] = true
	if ev.Kind != h3.EventStream {
		return
	}
	in := s.c.Adopt(ev.QUIC)
	qs, err := s.h.QUIC().OpenStream(conn.Uni)
	if err != nil {
		panic(err)
	}
	out := s.c.Adopt(qs)
	go func() {
		defer out.Close()
		defer in.Close()
		out.Write([]byte{0x40, 0x54}) // the type
		io.Copy(out, in)
	}()
}

func (s *shouter) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Kind == conn.EventClosed {
		s.closed <- ev.Err
	}
}

func TestExtension(t *testing.T) {
	shouters := make(chan *shouter, 2)
	extend := func(c *loop.Conn, h *h3.Conn) Extension {
		s := &shouter{c, h, make(map[h3.EventKind]bool), make(chan error, 1)}
		shouters <- s
		return s
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	p := newPair(t, h, func(p *pair) {
		p.srv.H3Config = &h3.Config{StreamTypes: []uint64{0x54}}
		p.srv.Extend = extend
	})
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer g.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cfg := &conn.Config{TLS: clientConfig()}
	cfg.TLS.NextProtos = []string{"h3"}
	c, err := g.Dial(ctx, p.url[len("https://"):], cfg)
	require.NoError(t, err)
	control, err := c.OpenStream(ctx, conn.Uni)
	require.NoError(t, err)
	control.Write([]byte{0, 4, 0}) // the control stream, with empty SETTINGS
	u, err := c.OpenStream(ctx, conn.Uni)
	require.NoError(t, err)
	io.WriteString(u, "\x40\x54hello")
	u.Close()
	for {
		s, err := c.AcceptStream(ctx)
		require.NoError(t, err)
		if s.ID() > 11 { // behind the three of HTTP/3
			b, err := io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, "\x40\x54hello", string(b))
			break
		}
	}
	c.Close(0x100, "")
	s := <-shouters
	require.Error(t, <-s.closed)
	require.Equal(t, map[h3.EventKind]bool{h3.EventSettings: true, h3.EventStream: true, h3.EventClosed: true}, s.saw)
}
