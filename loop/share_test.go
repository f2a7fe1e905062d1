package loop_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// A sharer is a Handler that keeps unidirectional streams, whose bytes it counts, and passes on
// everything else.
type sharer struct {
	handle *loop.Conn
	ends   chan int
	got    int
}

func (h *sharer) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Stream == nil || ev.Stream.ID().Dir() == conn.Bidi && ev.Stream.UserData != h {
		h.handle.Pass(ev)
		return
	}
	if ev.Kind == conn.EventStreamReadable {
		h.read(ev.Stream)
	}
}

// read reads all that has come.
func (h *sharer) read(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		if len(b) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) {
				h.ends <- h.got
				s.UserData = nil
				s.Release()
			}
			return
		}
		h.got += len(b)
		s.Discard(len(b))
	}
}

func (h *sharer) Flush(time.Time, *conn.Conn) {}

// TestShare: a Handler and goroutines use one connection, with the streams and datagrams that came
// before it too, and the Handler takes a stream back that a goroutine has peeked at.
func TestShare(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.Endpoint.Server.MaxDatagramFrameSize = 1000
	run(t, setup{link: conntest.Link{Delay: 5 * time.Millisecond}, server: cfg}, func(t *testing.T, w *world) {
		c := w.dialOnly(func(cfg *conn.Config) { cfg.MaxDatagramFrameSize = 1000 })
		server, err := w.server.Accept(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		send := func(dir conn.Dir, text string) *loop.Stream {
			s := w.open(c, dir)
			io.WriteString(s, text)
			s.CloseWrite()
			return s
		}
		send(conn.Uni, "early")
		echo := send(conn.Bidi, "to be echoed")
		if err := c.SendDatagram(w.ctx(), []byte("datagram"), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		h := &sharer{handle: server, ends: make(chan int, 4)}
		err = server.Do(w.ctx(), func(_ time.Time, q *conn.Conn) { server.Loop().Share(q, h, true) })
		if err != nil {
			t.Fatal(err)
		}
		if n := <-h.ends; n != len("early") {
			t.Fatalf("the Handler has %d bytes", n)
		}
		b := make([]byte, 100)
		n, err := server.ReceiveDatagram(w.ctx(), b)
		if err != nil || string(b[:n]) != "datagram" {
			t.Fatalf("received %q, %v", b[:n], err)
		}
		s := w.accept(server)
		if n, err := s.Peek(b[:5]); string(b[:n]) != "to be" || err != nil {
			t.Fatalf("peeked at %q, %v", b[:n], err)
		}
		if n, err := s.Peek(b); string(b[:n]) != "to be echoed" || err != io.EOF {
			t.Fatalf("peeked at %q, %v", b[:n], err)
		}
		if _, err := io.Copy(s, s); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if b, err := io.ReadAll(echo); string(b) != "to be echoed" || err != nil {
			t.Fatalf("read %q, %v", b, err)
		}
		own := w.open(server, conn.Uni)
		own.Close()
		takeBack(t, w, c, h)
	})
}

// takeBack lets h take a stream that a goroutine has peeked at, and refuses another that was read.
func takeBack(t *testing.T, w *world, c *loop.Conn, h *sharer) {
	take := func(id conn.StreamID) (err error) {
		h.handle.Do(w.ctx(), func(_ time.Time, _ *conn.Conn) {
			var cs *conn.Stream
			if cs, err = h.handle.TakeBack(id); err == nil {
				cs.UserData = h
				h.got = 0
				h.read(cs)
			}
		})
		return err
	}
	payload := bytes.Repeat([]byte("x"), 100_000)
	for _, read := range []bool{false, true} {
		out := w.open(c, conn.Bidi)
		go func() {
			out.Write(payload)
			out.CloseWrite()
		}()
		s := w.accept(h.handle)
		b := make([]byte, 2)
		if n, err := s.Peek(b); n != 2 || err != nil {
			t.Fatalf("peeked at %q, %v", b[:n], err)
		}
		if read {
			if _, err := s.Read(b[:1]); err != nil {
				t.Fatal(err)
			}
			if err := take(s.ID()); err == nil {
				t.Fatal("took a stream back that was read")
			}
			if rest, err := io.ReadAll(s); len(rest) != len(payload)-1 || err != nil {
				t.Fatalf("read %d bytes, %v", len(rest), err)
			}
			s.Close()
			continue
		}
		if err := take(s.ID()); err != nil {
			t.Fatal(err)
		}
		if n := <-h.ends; n != len(payload) {
			t.Fatalf("the Handler has %d bytes", n)
		}
		if _, err := s.Read(b); err == nil {
			t.Fatal("read a stream of the Handler")
		}
		if _, err := s.Write(b); err == nil {
			t.Fatal("wrote to a stream of the Handler")
		}
		if err := take(s.ID()); err == nil {
			t.Fatal("took a stream back twice")
		}
	}
	c.Close(0, "")
	<-h.handle.Context().Done()
}
