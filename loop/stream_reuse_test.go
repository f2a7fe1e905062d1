package loop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// useOver calls all methods of a Stream that is over. None of them may do anything.
func useOver(t *testing.T, s *loop.Stream) {
	t.Helper()
	b := make([]byte, 8)
	for name, call := range map[string]func() error{
		"Read":             func() error { _, err := s.Read(b); return err },
		"Peek":             func() error { _, err := s.Peek(b); return err },
		"Buffered":         func() error { _, err := s.Buffered(); return err },
		"Write":            func() error { _, err := s.Write(b); return err },
		"WriteShared":      func() error { _, err := s.WriteShared(b); return err },
		"WriteSent":        func() error { _, err := s.WriteSent(b, 0); return err },
		"TryWrite":         func() error { return s.TryWrite(b) },
		"CloseWrite":       s.CloseWrite,
		"Close":            s.Close,
		"ResetAt":          func() error { return s.ResetAt(1, 0) },
		"SetDeadline":      func() error { return s.SetDeadline(time.Unix(1, 0)) },
		"SetReadDeadline":  func() error { return s.SetReadDeadline(time.Unix(1, 0)) },
		"SetWriteDeadline": func() error { return s.SetWriteDeadline(time.Unix(1, 0)) },
		"Context":          func() error { return context.Cause(s.Context()) },
		"OnWriteEnd": func() (err error) {
			s.OnWriteEnd(func(e error) { err = e })
			return err
		},
	} {
		if err := call(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s of a stream that is over: %v", name, err)
		}
	}
	s.Reset(1)
	s.StopSending(1)
	if n := s.StopReading(1); n != 0 || s.Early() {
		t.Errorf("a stream that is over has %d bytes, early %t", n, s.Early())
	}
	s.SetPriority(conn.Priority{Urgency: 1})
	s.SetRedundant(true)
	s.OnFinalSize(func(uint64) { t.Error("a stream that is over has a final size") })
}

// TestStreamOver: a Stream whose state serves another one by now has no influence on that.
func TestStreamOver(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		serving(context.Background(), server, answer(t))
		first := w.ask(client, 1)
		id, state := first.ID(), loop.State(first)
		asked(t, first)
		first.Close()
		time.Sleep(time.Second)
		if loop.State(first) != nil {
			t.Fatal("the stream is not over")
		}
		useOver(t, first)

		second := w.ask(client, 2)
		if loop.State(second) != state {
			t.Error("the second stream has a state of its own")
		}
		time.Sleep(time.Second) // its answer has come
		useOver(t, first)
		if n := asked(t, second); n != 2 {
			t.Errorf("the answer is %d, want 2", n)
		}
		if first.ID() != id || first.Conn() != client || first.LocalAddr() == nil {
			t.Error("the stream that is over has forgotten what it was")
		}
		second.Close()
	})
}

// TestStreamOverAtOnce: calls for streams that are over, while their states serve others.
func TestStreamOverAtOnce(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		serving(context.Background(), server, func(s *loop.Stream) {
			answer(t)(s)
			for range 3 {
				s.SetPriority(conn.Priority{}) // it is closed, and perhaps over
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Read of a closed stream: %v", err)
				}
			}
		})
		done := make(chan bool)
		const width, each = 8, 50
		for i := range uint64(width) {
			go func() {
				defer func() { done <- true }()
				var old []*loop.Stream
				for k := range uint64(each) {
					s := w.ask(client, i*each+k)
					for _, o := range old {
						useOver(t, o)
					}
					if n := asked(t, s); n != i*each+k {
						t.Errorf("the answer is %d, want %d", n, i*each+k)
					}
					s.Close()
					if loop.State(s) == nil {
						old = append(old, s)[max(0, len(old)-2):]
					}
				}
				if len(old) == 0 {
					t.Error("no stream is over when it is closed")
				}
			}()
		}
		for range width {
			<-done
		}
	})
}

// TestCloseWakesReader: the Read that Close ends does not wait for the data of the stream that is
// opened next.
func TestCloseWakesReader(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		for range 20 {
			s := w.open(client, conn.Bidi)
			s.CloseWrite()
			b := w.accept(server)
			ended := make(chan error, 1)
			go func() {
				_, err := s.Read(make([]byte, 1))
				ended <- err
			}()
			time.Sleep(time.Second) // the end has been acknowledged: only Read is left
			s.Close()
			next := w.open(client, conn.Bidi)
			next.Write([]byte("!"))
			time.Sleep(time.Second)
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read returned %v", err)
			}
			n := w.accept(server)
			if _, err := io.ReadFull(n, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			for _, s := range []*loop.Stream{b, next, n} {
				s.Close()
			}
		}
	})
}

// TestPeekEndsStream: a Peek that brings a Close to the loop, and with it the end of the stream.
func TestPeekEndsStream(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		c := w.dialOnly(nil)
		server, err := w.server.Accept(w.ctx())
		require.NoError(t, err)
		h := &sharer{handle: server, ends: make(chan int, 4)}
		server.Do(w.ctx(), func(_ time.Time, q *conn.Conn) { server.Loop().Share(q, h, true) })
		_, err = io.WriteString(w.open(c, conn.Bidi), "hello")
		require.NoError(t, err)
		s := w.accept(server)
		time.Sleep(time.Second)
		server.Do(w.ctx(), func(time.Time, *conn.Conn) {
			s.Reset(1)
			s.Close()
			loop.Lent(server.Loop(), func() {
				peeked := make(chan error)
				go func() {
					_, err := s.Peek(make([]byte, 2000)) // more than the loop brings by itself
					peeked <- err
				}()
				if err := <-peeked; !errors.Is(err, net.ErrClosed) {
					t.Errorf("Peek: %v", err)
				}
			})
		})
	})
}
