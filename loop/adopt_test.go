package loop_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// An adopter is a Handler that reads the first byte of each stream and then hands the stream on.
type adopter struct {
	l       *loop.Loop
	streams chan *loop.Stream
}

func (a *adopter) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	if b, err := ev.Stream.Peek(1); len(b) > 0 && b[0] == '>' {
		ev.Stream.Discard(1)
		a.streams <- a.l.Conn(ev.Conn).Adopt(ev.Stream)
	} else if !errors.Is(err, conn.ErrWouldBlock) {
		ev.Stream.Release()
	}
}

func (a *adopter) Flush(time.Time, *conn.Conn) {}

// TestAdopt hands streams of a Handler to another goroutine, together with the data that has come
// on them. One of them was opened by the Handler.
func TestAdopt(t *testing.T) {
	var streams chan *loop.Stream
	cfg := serverConfig(nil)
	var server *loop.Conn
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		server = l.Conn(c)
		return &adopter{l, streams}
	}
	run(t, setup{link: conntest.Link{Delay: 5 * time.Millisecond}, server: cfg}, func(t *testing.T, w *world) {
		streams = make(chan *loop.Stream, 10)
		c := w.dialOnly(nil)
		go func() {
			for s := range streams {
				if s.ID().Dir() == conn.Uni {
					b, err := io.ReadAll(s)
					if string(b) != "hello" || err != nil {
						t.Errorf("read %q, %v", b, err)
					}
					if _, err := s.Write([]byte("x")); err == nil {
						t.Error("wrote to a stream of the peer")
					}
				} else {
					io.Copy(s, s)
				}
				s.Close()
			}
		}()
		defer close(streams)
		u := w.open(c, conn.Uni)
		io.WriteString(u, ">hello")
		u.Close()
		for seed := range uint64(3) {
			s := w.open(c, conn.Bidi)
			io.WriteString(s, ">")
			transfer(t, s, 1<<20, seed)
		}

		var own *loop.Stream
		err := server.Do(w.ctx(), func(_ time.Time, q *conn.Conn) {
			cs, err := q.OpenStream(conn.Bidi)
			if err != nil {
				t.Error(err)
				return
			}
			own = server.Adopt(cs)
			io.WriteString(own, "header and more")
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := own.ResetAt(7, 6); err != nil {
			t.Fatal(err)
		}
		s := w.accept(c)
		b, err := io.ReadAll(s)
		var serr *conn.StreamError
		if !strings.HasPrefix(string(b), "header") || !errors.As(err, &serr) || serr.Code != 7 {
			t.Fatalf("read %q, %v", b, err)
		}
		c.Close(0, "")
		if _, err := own.Read(make([]byte, 1)); err == nil {
			t.Fatal("read after the connection closed")
		}
	})
}
