package loop_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// A source is a Handler that sends zeros on each stream of the peer, for ever.
type source struct{ zero [64 << 10]byte }

func (h *source) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamOpened, conn.EventStreamWritable:
		for {
			if _, err := ev.Stream.Write(h.zero[:]); err != nil {
				return
			}
		}
	}
}

func (h *source) Flush(time.Time, *conn.Conn) {}

// sink is a Handler that reads until it has had enough.
type sink struct {
	left int
	done chan struct{}
}

func (h *sink) HandleEvent(now time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	for {
		b, err := ev.Stream.Peek(1)
		if len(b) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) {
				close(h.done)
			}
			return
		}
		ev.Stream.Discard(len(b))
		if h.left > 0 && h.left <= len(b) {
			close(h.done)
		}
		h.left -= len(b)
	}
}

func (h *sink) Flush(time.Time, *conn.Conn) {}

// download starts a server, connects to it, and returns the client's connection.
func download(b *testing.B, newHandler func(*loop.Loop, *conn.Conn) loop.Handler) (g *loop.Group, c *loop.Conn) {
	cfg := serverConfig(nil)
	cfg.NewHandler = newHandler
	g, err := loop.Listen("udp4", "127.0.0.1:0", 1, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { g.Close() })
	c, err = loop.Dial(context.Background(), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(0, "") })
	return g, c
}

const unit = 1 << 20 // bytes that one operation of a benchmark moves

func BenchmarkDownloadHandler(b *testing.B) {
	_, c := download(b, func(*loop.Loop, *conn.Conn) loop.Handler { return new(source) })
	h := &sink{left: b.N * unit, done: make(chan struct{})}
	b.SetBytes(unit)
	b.ReportAllocs()
	b.ResetTimer()
	c.Do(context.Background(), func(now time.Time, cc *conn.Conn) {
		c.Loop().SetHandler(cc, h)
		s, err := cc.OpenStream(conn.Bidi)
		if err != nil {
			b.Error(err)
			return
		}
		s.Write([]byte("x"))
	})
	<-h.done
}

func BenchmarkDownloadStream(b *testing.B) {
	g, c := download(b, nil)
	peer, err := g.Accept(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		s, err := peer.AcceptStream(context.Background())
		if err != nil {
			return
		}
		zero := make([]byte, 64<<10)
		for err == nil {
			_, err = s.Write(zero)
		}
	}()
	s, err := c.OpenStream(context.Background(), conn.Bidi)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(unit)
	b.ReportAllocs()
	b.ResetTimer()
	s.Write([]byte("x"))
	p := make([]byte, 64<<10)
	for n := 0; n < b.N*unit; {
		k, err := s.Read(p)
		if n += k; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequest opens a stream, sends a byte and waits for the echo.
func BenchmarkRequest(b *testing.B) {
	g, c := download(b, nil)
	go serveEcho(b, g)
	b.ReportAllocs()
	p := make([]byte, 1)
	for b.Loop() {
		s, err := c.OpenStream(context.Background(), conn.Bidi)
		if err != nil {
			b.Fatal(err)
		}
		s.Write(p)
		s.CloseWrite()
		if _, err := io.ReadFull(s, p); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkPing sends a byte and waits for the echo, on one stream.
func BenchmarkPing(b *testing.B) {
	g, c := download(b, nil)
	go serveEcho(b, g)
	s, err := c.OpenStream(context.Background(), conn.Bidi)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	p := make([]byte, 1)
	for b.Loop() {
		s.Write(p)
		if _, err := io.ReadFull(s, p); err != nil {
			b.Fatal(err)
		}
	}
}
