package loop_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// ask writes n to a new stream of c, and returns the stream.
func (w *world) ask(c *loop.Conn, n uint64) *loop.Stream {
	w.Helper()
	s := w.open(c, conn.Bidi)
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, n)); err != nil {
		w.Fatal("write: ", err)
	}
	s.CloseWrite()
	return s
}

// asked returns the number that ask has written.
func asked(t *testing.T, s *loop.Stream) uint64 {
	b, err := io.ReadAll(s)
	if err != nil || len(b) != 8 {
		t.Errorf("stream %d: %d bytes, %v", s.ID(), len(b), err)
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// answer echoes what ask has written.
func answer(t *testing.T) func(s *loop.Stream) {
	return func(s *loop.Stream) {
		defer s.Close()
		s.Write(binary.BigEndian.AppendUint64(nil, asked(t, s)))
	}
}

// serving calls ServeStreams of c. The channel has the error that it returns.
func serving(ctx context.Context, c *loop.Conn, f func(*loop.Stream)) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- c.ServeStreams(ctx, f) }()
	return ended
}

// TestServeStreams: each stream is served once, those that had come before, too. There are more
// streams than the server allows at a time. ServeStreams ends with the connection.
func TestServeStreams(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		early := w.ask(client, 1000)
		time.Sleep(time.Second)
		ended := serving(context.Background(), server, answer(t))
		if n := asked(t, early); n != 1000 {
			t.Errorf("the answer is %d, want 1000", n)
		}
		early.Close()

		done := make(chan bool)
		const width, each = 50, 20
		for i := range uint64(width) {
			go func() {
				defer func() { done <- true }() // ask may end the goroutine
				for k := range uint64(each) {
					s := w.ask(client, i*each+k)
					if n := asked(t, s); n != i*each+k {
						t.Errorf("the answer is %d, want %d", n, i*each+k)
					}
					s.Close()
				}
			}()
		}
		for range width {
			<-done
		}
		client.Close(7, "")
		var closed *conn.ApplicationError
		if err := <-ended; !errors.As(err, &closed) || closed.Code != 7 {
			t.Errorf("ServeStreams returned %v", err)
		}
		if err := server.ServeStreams(w.ctx(), answer(t)); !errors.As(err, &closed) {
			t.Errorf("after the end ServeStreams returned %v", err)
		}
	})
}

// TestServeStreamsTogether: no call waits for another one. All of them are under way before the
// first returns.
func TestServeStreamsTogether(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		const n = 40
		came, all := make(chan bool), make(chan bool)
		serving(context.Background(), server, func(s *loop.Stream) {
			came <- true
			<-all
			answer(t)(s)
		})
		var streams []*loop.Stream
		for i := range uint64(n) {
			streams = append(streams, w.ask(client, i))
		}
		for range n {
			<-came
		}
		close(all)
		for i, s := range streams {
			if got := asked(t, s); got != uint64(i) {
				t.Errorf("the answer is %d, want %d", got, i)
			}
			s.Close()
		}
	})
}

// TestServeStreamsContext: once ctx is done, streams are left to AcceptStream. Calls go on.
func TestServeStreamsContext(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		ctx, cancel := context.WithCancel(context.Background())
		came, goOn := make(chan bool, 2), make(chan bool)
		ended := serving(ctx, server, func(s *loop.Stream) {
			came <- true
			<-goOn
			answer(t)(s)
		})
		first := w.ask(client, 1)
		<-came
		if err := server.ServeStreams(w.ctx(), answer(t)); err == nil {
			t.Error("two calls of ServeStreams at a time")
		}
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("ServeStreams returned %v", err)
		}
		second := w.ask(client, 2)
		time.Sleep(time.Second) // it has arrived
		close(goOn)
		if n := asked(t, first); n != 1 {
			t.Errorf("the answer is %d, want 1", n)
		}
		synctest.Wait() // the goroutine of the call has looked for another stream
		if len(came) > 0 {
			t.Fatal("a stream was served after the end of ctx")
		}
		answer(t)(w.accept(server))
		if n := asked(t, second); n != 2 {
			t.Errorf("the answer is %d, want 2", n)
		}

		ended = serving(context.Background(), server, answer(t))
		third := w.ask(client, 3)
		if n := asked(t, third); n != 3 {
			t.Errorf("the answer is %d, want 3", n)
		}
		for _, s := range []*loop.Stream{first, second, third} {
			s.Close()
		}
		server.Close(0, "")
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ServeStreams returned %v", err)
		}
	})
}

// TestServeStreamsAfterTheEnd: streams that have come before the end of the connection are served
// after it, and what has come on them is read.
func TestServeStreamsAfterTheEnd(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		for i := range uint64(5) {
			w.ask(client, i).Close()
		}
		time.Sleep(time.Second)
		client.Close(0, "")
		<-server.Context().Done()
		got := make(chan uint64)
		if err := <-serving(context.Background(), server, func(s *loop.Stream) {
			got <- asked(t, s)
			s.Close()
		}); err == nil {
			t.Error("ServeStreams returned no error")
		}
		sum := uint64(0)
		for range 5 {
			sum += <-got
		}
		if sum != 0+1+2+3+4 {
			t.Errorf("the sum of all streams is %d", sum)
		}
	})
}

// TestServeStreamsHandler: a Handler gets the streams that come later, and ServeStreams ends.
func TestServeStreamsHandler(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		ended := serving(context.Background(), server, answer(t))
		synctest.Wait()
		h := &counter{}
		server.Do(w.ctx(), func(_ time.Time, c *conn.Conn) { server.Loop().SetHandler(c, h) })
		if err := <-ended; err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("ServeStreams returned %v", err)
		}
		if err := server.ServeStreams(w.ctx(), answer(t)); err == nil {
			t.Error("ServeStreams of a connection with a Handler returned no error")
		}
		w.ask(client, 1)
		time.Sleep(time.Second)
		server.Loop().Do(w.ctx(), func(time.Time) {
			if h.opened != 1 {
				t.Errorf("the Handler got %d streams", h.opened)
			}
		})
	})
}

// A counter is a Handler that counts streams. It leaves them to the end of the connection.
type counter struct{ opened int }

func (h *counter) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Kind == conn.EventStreamOpened {
		h.opened++
	}
}

func (h *counter) Flush(time.Time, *conn.Conn) {}
