package loop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// An echoer is a Handler that echoes streams and datagrams, and notes what it sees.
type echoer struct {
	c       *conn.Conn
	log     []string
	flushes int
	unsent  map[*conn.Stream][]byte
}

func newEchoer(c *conn.Conn) *echoer {
	return &echoer{c: c, unsent: make(map[*conn.Stream][]byte)}
}

var eventNames = map[conn.EventKind]string{
	conn.EventAccepted:         "accepted",
	conn.EventConnected:        "connected",
	conn.EventStreamOpened:     "opened",
	conn.EventStreamReadable:   "readable",
	conn.EventStreamAcked:      "acked",
	conn.EventDatagramReadable: "datagram",
	conn.EventTimer:            "timer",
	conn.EventClosed:           "closed",
}

func (e *echoer) HandleEvent(now time.Time, ev conn.Event) {
	if name := eventNames[ev.Kind]; name != "" {
		e.log = append(e.log, name)
	}
	switch ev.Kind {
	case conn.EventStreamReadable, conn.EventStreamWritable:
		e.echo(ev.Stream)
	case conn.EventDatagramReadable:
		for b, ok := e.c.ReceiveDatagram(); ok; b, ok = e.c.ReceiveDatagram() {
			e.c.SendDatagram(b, conn.DatagramOptions{})
		}
	}
}

func (e *echoer) Flush(now time.Time, c *conn.Conn) {
	e.flushes++
	if c != e.c {
		panic("flush of another connection")
	}
}

func (e *echoer) echo(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		if len(b) > 0 {
			n, err := s.Write(b)
			s.Discard(n)
			if err != nil {
				return
			}
			continue
		}
		if !errors.Is(err, conn.ErrWouldBlock) {
			s.CloseWrite()
			s.Release()
		}
		return
	}
}

func TestHandler(t *testing.T) {
	var handlers []*echoer
	cfg := serverConfig(withDatagrams(conn.DatagramWait))
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		h := newEchoer(c)
		handlers = append(handlers, h)
		return h
	}
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		handlers = nil
		c := w.dialOnly(withDatagrams(conn.DatagramWait))
		transfer(t, w.open(c, conn.Bidi), 1<<20, 1)
		if err := c.SendDatagram(w.ctx(), []byte("datagram"), 0); err != nil {
			t.Error(err)
		}
		b := make([]byte, 100)
		if n, err := c.ReceiveDatagram(w.ctx(), b); string(b[:n]) != "datagram" || err != nil {
			t.Errorf("got %q, %v", b[:n], err)
		}
		c.Close(0, "")
		time.Sleep(time.Second)
		l := w.server.Loops()[0]
		l.Do(w.ctx(), func(time.Time) {
			log := strings.Join(handlers[0].log, " ")
			if !strings.HasPrefix(log, "accepted connected opened readable") || !strings.HasSuffix(log, "datagram closed") {
				t.Errorf("events: %s", log)
			}
			if h := handlers[0]; h.flushes == 0 || h.flushes > len(h.log) {
				t.Errorf("%d flushes for %d events", h.flushes, len(h.log))
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if c, err := w.server.Accept(ctx); err == nil {
			t.Errorf("Accept returned %v, which has a Handler", c.ID())
		}
	})
}

// TestHandlerTimerAndPost sends from a timer and from Post in the same turn.
func TestHandlerTimerAndPost(t *testing.T) {
	var at []time.Time
	cfg := serverConfig(nil)
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		var s *conn.Stream
		return handlerFunc(func(now time.Time, ev conn.Event) {
			switch ev.Kind {
			case conn.EventConnected:
				s, _ = c.OpenStream(conn.Uni)
				c.SetTimer(now.Add(time.Second))
			case conn.EventTimer:
				at = append(at, now)
				fmt.Fprint(s, "tick ")
				l.Post(func(time.Time) { fmt.Fprint(s, "tock ") })
				if len(at) < 3 {
					c.SetTimer(now.Add(time.Second))
				} else {
					l.Post(func(time.Time) { s.CloseWrite(); s.Release() })
				}
			}
		})
	}
	run(t, setup{link: conntest.Link{}, server: cfg}, func(t *testing.T, w *world) {
		at = nil
		start := time.Now()
		s := w.accept(w.dialOnly(nil))
		got, err := io.ReadAll(s)
		if string(got) != "tick tock tick tock tick tock " || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("the end came after %v, want 3s", d)
		}
		s.Close()
	})
}

type handlerFunc func(now time.Time, ev conn.Event)

func (f handlerFunc) HandleEvent(now time.Time, ev conn.Event) { f(now, ev) }
func (f handlerFunc) Flush(time.Time, *conn.Conn)              {}

// TestSetHandler sets a Handler on a connection that Dial has returned. Streams of the peer have
// come before.
func TestSetHandler(t *testing.T) {
	run(t, setup{link: near, server: serverConfig(withDatagrams(0))}, func(t *testing.T, w *world) {
		client, server := w.dial(withDatagrams(0))
		early := w.open(server, conn.Bidi)
		early.Write([]byte("early"))
		server.SendDatagram(w.ctx(), []byte("early datagram"), 0)
		own := w.open(client, conn.Bidi) // before there is a Handler: stays ours
		time.Sleep(time.Second)

		waiting := make(chan error, 2)
		go func() { _, err := client.OpenStream(context.Background(), conn.Uni); waiting <- err }()
		var h *echoer
		err := client.Do(w.ctx(), func(now time.Time, c *conn.Conn) {
			h = newEchoer(c)
			client.Loop().SetHandler(c, h)
			if got := fmt.Sprint(h.log); got != "[connected opened readable datagram]" {
				t.Errorf("described by %v", got)
			}
			if client.Loop().Conn(c) != client {
				t.Error("another handle")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		<-waiting // opened before, or refused
		early.CloseWrite()
		if got, err := io.ReadAll(early); string(got) != "early" || err != nil {
			t.Errorf("echo of the stream from before: %q, %v", got, err)
		}
		b := make([]byte, 100)
		if n, err := server.ReceiveDatagram(w.ctx(), b); string(b[:n]) != "early datagram" || err != nil {
			t.Errorf("echo of the datagram from before: %q, %v", b[:n], err)
		}
		transfer(t, w.open(server, conn.Bidi), 100_000, 1)

		own.Write([]byte("ours"))
		other := w.accept(server)
		if _, err := io.ReadFull(other, b[:4]); string(b[:4]) != "ours" || err != nil {
			t.Errorf("%q, %v", b[:4], err)
		}
		for name, err := range map[string]error{
			"OpenStream":      second(client.OpenStream(w.ctx(), conn.Uni)),
			"AcceptStream":    second(client.AcceptStream(w.ctx())),
			"SendDatagram":    client.SendDatagram(w.ctx(), b[:1], 0),
			"ReceiveDatagram": second(client.ReceiveDatagram(w.ctx(), b)),
		} {
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s of a connection with a Handler returned %v", name, err)
			}
		}
		flushes := 0
		client.Do(w.ctx(), func(time.Time, *conn.Conn) { flushes = h.flushes })
		client.Do(w.ctx(), func(time.Time, *conn.Conn) { flushes = h.flushes - flushes })
		if flushes != 1 {
			t.Errorf("%d flushes after Do, want 1", flushes)
		}
		client.Close(0, "")
		if got := h.log[len(h.log)-1]; got != "closed" {
			t.Errorf("the last event is %q", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestSetHandlerOfClosed: the Handler of a closed connection gets EventClosed.
func TestSetHandlerOfClosed(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, _ := w.dial(nil)
		client.Close(5, "")
		h := newEchoer(nil)
		client.Do(w.ctx(), func(now time.Time, c *conn.Conn) {
			h.c = c
			client.Loop().SetHandler(c, h)
		})
		if got := fmt.Sprint(h.log); got != "[closed]" {
			t.Errorf("events: %v", got)
		}
	})
}

// TestEndpointDial makes connections inside the loop. One has a Handler, one gets the Handler of
// NewHandler, and one is for Accept.
func TestEndpointDial(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		var fromNew *echoer
		own := w.net.Listen("10.0.0.3:1")
		g, err := loop.New(&loop.Config{NewHandler: func(l *loop.Loop, c *conn.Conn) loop.Handler {
			if fromNew == nil {
				fromNew = newEchoer(c)
				return fromNew
			}
			return nil
		}}, own)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		l := g.Loops()[0]
		set := newEchoer(nil)
		dial := func(now time.Time) *conn.Conn {
			c, err := l.Endpoint().Dial(now, conn.Target{Remote: w.server.LocalAddr()}, conntest.ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		l.Do(w.ctx(), func(now time.Time) {
			set.c = dial(now)
			l.SetHandler(set.c, set)
			dial(now)
			dial(now)
		})
		c, err := g.Accept(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		transfer(t, w.open(c, conn.Bidi), 1000, 1)
		l.Do(w.ctx(), func(now time.Time) {
			for _, h := range []*echoer{set, fromNew} {
				if got := fmt.Sprint(h.log); got != "[connected]" {
					t.Errorf("events: %v", got)
				}
			}
		})
	})
}

// TestGroupServesBothTiers gives every other connection a Handler.
func TestGroupServesBothTiers(t *testing.T) {
	n := 0
	cfg := serverConfig(nil)
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		if n++; n%2 == 0 {
			return nil
		}
		return newEchoer(c)
	}
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		for i := range 6 {
			c := w.dialOnly(nil)
			transfer(t, w.open(c, conn.Bidi), 10_000, uint64(i))
			c.Close(0, "")
		}
		if n != 6 {
			t.Errorf("NewHandler was called %d times, want 6", n)
		}
	})
}

// TestPostToAll writes to all connections of a loop from another goroutine, as a broadcast does.
func TestPostToAll(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		var streams []*loop.Stream
		for range 3 {
			client, server := w.dial(nil)
			a, b := w.pair(client, server)
			streams = append(streams, a)
			defer b.Close()
		}
		l := w.server.Loops()[0]
		err := l.Do(w.ctx(), func(now time.Time) {
			for c := range l.Endpoint().Conns() {
				s, err := c.OpenStream(conn.Uni)
				if err != nil {
					t.Error(err)
					continue
				}
				s.Write([]byte("news"))
				s.CloseWrite()
				s.Release()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range streams {
			got, err := io.ReadAll(w.accept(s.Conn()))
			if !bytes.Equal(got, []byte("news")) || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		}
	})
}

// TestTakeConn: NewHandler may take the handle of a connection, which is then not for Accept.
func TestTakeConn(t *testing.T) {
	taken := make(chan *loop.Conn, 1)
	cfg := serverConfig(nil)
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		taken <- l.Conn(c)
		return nil
	}
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		client := w.dialOnly(nil)
		server := <-taken
		a := w.open(client, conn.Bidi)
		if err := a.TryWrite(make([]byte, 1<<20)); !errors.Is(err, conn.ErrWouldBlock) {
			t.Errorf("TryWrite of too much returned %v", err)
		}
		if err := a.TryWrite([]byte("hello")); err != nil {
			t.Errorf("TryWrite returned %v", err)
		}
		a.CloseWrite()
		if err := a.TryWrite([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("TryWrite after CloseWrite returned %v", err)
		}
		b := w.accept(server)
		time.Sleep(time.Second)
		if n, err := b.Buffered(); n != 5 || err != io.EOF {
			t.Errorf("Buffered returned %d, %v", n, err)
		}
		if n, err := a.Buffered(); n != 0 || err != nil {
			t.Errorf("Buffered returned %d, %v where nothing came", n, err)
		}
		if got, err := io.ReadAll(b); string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if c, err := w.server.Accept(ctx); c != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Accept returned %v, %v", c, err)
		}
	})
}
