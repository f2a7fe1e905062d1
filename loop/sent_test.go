package loop_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// window makes the server allow n bytes of each stream, and all of them together.
func window(n int64) *loop.Config {
	return serverConfig(func(c *conn.Config) {
		c.InitialMaxStreamData, c.MaxStreamData, c.InitialMaxData, c.MaxData = n, n, n, n
	})
}

// TestWriteSentDeadline: bytes that had to wait are taken back when the deadline passes, and are
// not sent later, whether the stream or the connection had them.
func TestWriteSentDeadline(t *testing.T) {
	for _, size := range []int{2000, 100_000, 1 << 20} {
		run(t, setup{link: near, server: window(1000)}, func(t *testing.T, w *world) {
			client, server := w.dial(nil)
			a := w.open(client, conn.Uni)
			data := bytes.Repeat([]byte("0123456789"), size/10)
			a.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := a.WriteSent(data, 900) // nobody accepts the stream
			if !errors.Is(err, os.ErrDeadlineExceeded) || n != 1000 {
				t.Fatalf("WriteSent returned %d, %v", n, err)
			}
			b := w.accept(server)
			b.SetReadDeadline(time.Now().Add(time.Second))
			got, err := io.ReadAll(b)
			if !errors.Is(err, os.ErrDeadlineExceeded) || !bytes.Equal(got, data[:n]) {
				t.Fatalf("read %d bytes, %v", len(got), err)
			}
			a.SetWriteDeadline(time.Time{})
			a.WriteSent([]byte("end"), 900)
			a.CloseWrite()
			b.SetReadDeadline(time.Time{})
			if got, err := io.ReadAll(b); string(got) != "end" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

// TestWriteSentWaits: WriteSent returns when all but the rest may be sent, not before.
func TestWriteSentWaits(t *testing.T) {
	run(t, setup{link: near, server: window(10_000)}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a := w.open(client, conn.Uni)
		if n, err := a.WriteSent(make([]byte, 10_000), 100); n != 10_000 || err != nil {
			t.Fatalf("WriteSent returned %d, %v for what the window lets go", n, err)
		}
		time.Sleep(time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := a.WriteSent(make([]byte, 5_000), 100)
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("WriteSent returned %v beyond the window", err)
		default:
		}
		b := w.accept(server) // its reader gives credit
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		a.CloseWrite()
		if got, err := io.ReadAll(b); len(got) != 15_000 || err != nil {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
	})
}

// TestWriteSentAhead: no more than some KiB wait for congestion control, and all of a long transfer
// arrives.
func TestWriteSentAhead(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, b := w.pair(client, server)
		const size = 8 << 20
		go func() {
			p := make([]byte, 32<<10)
			for off := 0; off < size; off += len(p) {
				for i := range p {
					p[i] = byte((off + i) / 1021)
				}
				if n, err := a.WriteSent(p, 1000); n != len(p) || err != nil {
					t.Errorf("WriteSent returned %d, %v", n, err)
				}
				var unsent int
				client.Do(w.ctx(), func(time.Time, *conn.Conn) { unsent = loop.Unsent(a) })
				if unsent > 64<<10+1000 {
					t.Errorf("%d bytes wait at %d", unsent, off)
				}
			}
			a.CloseWrite()
		}()
		got, err := io.ReadAll(b)
		if err != nil || len(got) != size {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
		for i, x := range got {
			if x != byte(i/1021) {
				t.Fatalf("byte %d is wrong", i)
			}
		}
	})
}

// TestWriteSentEnds: whatever ends sending, WriteSent says how much was sent.
func TestWriteSentEnds(t *testing.T) {
	ends := map[string]func(w *world, a *loop.Stream, server *loop.Conn){
		"reset":     func(_ *world, a *loop.Stream, _ *loop.Conn) { a.Reset(7) },
		"and close": func(_ *world, a *loop.Stream, _ *loop.Conn) { a.Reset(7); a.Close() },
		"closed":    func(_ *world, a *loop.Stream, _ *loop.Conn) { a.Conn().Close(7, "") },
		"by peer":   func(_ *world, _ *loop.Stream, server *loop.Conn) { server.Close(7, "") },
		"stopped":   func(w *world, _ *loop.Stream, server *loop.Conn) { w.accept(server).StopSending(7) },
		"reset at":  func(_ *world, a *loop.Stream, _ *loop.Conn) { a.ResetAt(7, 500) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			run(t, setup{link: near, server: window(1000)}, func(t *testing.T, w *world) {
				client, server := w.dial(nil)
				a := w.open(client, conn.Uni)
				time.AfterFunc(time.Second, func() { end(w, a, server) })
				n, err := a.WriteSent(make([]byte, 500_000), 100) // nobody accepts the stream
				if n != 1000 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("WriteSent returned %d, %v", n, err)
				}
			})
		})
	}
}

// TestWriteSentNoRest: the loop rests while the last byte waits for credit, and what is empty does
// not wait.
func TestWriteSentNoRest(t *testing.T) {
	run(t, setup{link: near, server: window(1000)}, func(t *testing.T, w *world) {
		client, _ := w.dial(nil)
		a := w.open(client, conn.Uni)
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.WriteSent(make([]byte, 1001), 0); n != 1000 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteSent returned %d, %v", n, err)
		}
		a.SetWriteDeadline(time.Time{})
		if err := a.TryWrite(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if n, err := a.WriteSent(nil, 0); n != 0 || err != nil {
			t.Errorf("of nothing, WriteSent returned %d, %v", n, err)
		}
	})
}

// TestWriteSentBesideResetAt: what ResetAt promises is not taken back.
func TestWriteSentBesideResetAt(t *testing.T) {
	run(t, setup{link: near, server: window(1000)}, func(t *testing.T, w *world) {
		client, server := w.dial(func(c *conn.Config) { c.UnsentBytes = 8192 })
		a := w.open(client, conn.Uni)
		reset := make(chan error, 1)
		time.AfterFunc(time.Second, func() { reset <- a.ResetAt(7, 40_000) })
		a.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if n, err := a.WriteSent(make([]byte, 50_000), 0); n != 40_000 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteSent returned %d, %v", n, err)
		}
		got, err := io.ReadAll(w.accept(server))
		var se *conn.StreamError
		if len(got) != 40_000 || !errors.As(err, &se) || se.Code != 7 {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if err := <-reset; err != nil {
			t.Errorf("ResetAt returned %v", err)
		}
	})
}

// TestWriteSentBesideCloseWrite: the deadline passes while the loop is busy, and the stream ends
// before the loop has taken the bytes back.
func TestWriteSentBesideCloseWrite(t *testing.T) {
	run(t, setup{link: near, server: window(1000)}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a := w.open(client, conn.Uni)
		a.SetWriteDeadline(time.Now().Add(2 * time.Second))
		time.AfterFunc(time.Second, func() {
			client.Do(w.ctx(), func(time.Time, *conn.Conn) { time.Sleep(2 * time.Second) })
		})
		time.AfterFunc(2500*time.Millisecond, func() { a.CloseWrite() })
		if n, err := a.WriteSent(make([]byte, 5000), 100); n != 1000 || err == nil {
			t.Errorf("WriteSent returned %d, %v", n, err)
		}
		if got, err := io.ReadAll(w.accept(server)); len(got) != 1000 || err != nil {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
}

// TestResetAndCloseInOneTurn: an event of a stream that was reset and closed comes before the loop
// knows of that. The peer gets the code of the reset nevertheless.
func TestResetAndCloseInOneTurn(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a := w.open(client, conn.Uni)
		a.Write([]byte("x"))
		b := w.accept(server)
		io.ReadFull(b, make([]byte, 1))
		client.Do(w.ctx(), func(time.Time, *conn.Conn) { // nobody can borrow the loop
			a.Reset(7)
			a.Close()
			loop.Handle(a, conn.Event{Kind: conn.EventStreamWritable})
		})
		var se *conn.StreamError
		if _, err := b.Read(make([]byte, 1)); !errors.As(err, &se) || se.Code != 7 {
			t.Errorf("the peer got %v", err)
		}
	})
}
