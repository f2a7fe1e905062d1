package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

var near = conntest.Link{Delay: time.Millisecond}

// pair returns both ends of a stream, on which one byte has travelled.
func (w *world) pair(client, server *loop.Conn) (a, b *loop.Stream) {
	w.Helper()
	a = w.open(client, conn.Bidi)
	if _, err := a.Write([]byte("!")); err != nil {
		w.Fatal(err)
	}
	b = w.accept(server)
	if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
		w.Fatal(err)
	}
	return a, b
}

func TestReadDeadline(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Second))
		p := make([]byte, 10)
		if _, err := a.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) || time.Since(start) != time.Second {
			t.Errorf("Read returned %v after %v", err, time.Since(start))
		}
		if _, err := a.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the deadline returned %v", err)
		}
		a.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { a.SetDeadline(time.Now()) }) // while Read waits
		if _, err := a.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read returned %v", err)
		}
		a.SetDeadline(time.Now().Add(time.Hour))
		b.Write([]byte("late"))
		if n, err := a.Read(p); string(p[:n]) != "late" || err != nil {
			t.Errorf("Read returned %q, %v", p[:n], err)
		}
	})
}

func TestWriteDeadline(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16*8)
		a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := a.Write(data) // nobody reads
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(data) {
			t.Fatalf("Write returned %d of %d, %v", n, len(data), err)
		}
		a.SetWriteDeadline(time.Time{})
		go func() {
			if _, err := a.Write(data[n:]); err != nil {
				t.Error(err)
			}
			a.CloseWrite()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d of %d bytes: %v", len(got), len(data), err)
		}
	})
}

func TestReset(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, b := w.pair(client, server)
		a.Write([]byte("before"))
		time.Sleep(time.Second)
		a.Reset(7)
		_, err := a.Write([]byte("x"))
		var se *conn.StreamError
		if !errors.As(err, &se) || se.Code != 7 || se.Remote || se.ID != a.ID() {
			t.Errorf("Write after Reset returned %v", err)
		}
		time.Sleep(time.Second)
		got, err := io.ReadAll(b) // what had arrived comes first
		if !errors.As(err, &se) || se.Code != 7 || !se.Remote || string(got) != "before" {
			t.Errorf("the peer read %q, %v", got, err)
		}
		// The other direction lives.
		b.Write([]byte("answer"))
		b.CloseWrite()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

func TestStopSending(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		b.StopSending(9)
		var se *conn.StreamError
		if _, err := b.Read(make([]byte, 1)); !errors.As(err, &se) || se.Code != 9 || se.Remote {
			t.Errorf("Read after StopSending returned %v", err)
		}
		_, err := io.Copy(a, zeros{}) // until it fails
		if !errors.As(err, &se) || se.Code != 9 || !se.Remote || se.ID != a.ID() {
			t.Errorf("Write returned %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestCloseUnblocks closes a stream while other goroutines read and write.
func TestCloseUnblocks(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		errs := make(chan error, 2)
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := io.Copy(a, zeros{}); errs <- err }()
		time.Sleep(time.Second)
		a.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if err := a.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetDeadline returned %v", err)
		}
		if err := a.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite returned %v", err)
		}
		// What was written before still arrives.
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Error(err)
		}
		var se *conn.StreamError
		if _, err := io.Copy(b, zeros{}); !errors.As(err, &se) || se.Code != 0 {
			t.Errorf("the peer wrote until %v", err)
		}
	})
}

// TestUseOfClosedStream: who closed a stream and meant its sending direction is told of CloseWrite.
func TestUseOfClosedStream(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		a.CloseWrite()
		_, err := a.Write([]byte("x"))
		if want := "loop: write after CloseWrite: use of closed network connection"; err == nil || err.Error() != want {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		b.Write([]byte("answer"))
		b.CloseWrite()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		a.Close()
		_, read := a.Read(make([]byte, 1))
		_, write := a.Write([]byte("x"))
		for what, err := range map[string]error{
			"Read": read, "Write": write, "CloseWrite": a.CloseWrite(), "Close": a.Close(), "SetDeadline": a.SetDeadline(time.Now()),
			"SetReadDeadline": a.SetReadDeadline(time.Now()), "SetWriteDeadline": a.SetWriteDeadline(time.Now()),
		} {
			const want = "loop: use of closed stream (Close ends both directions, CloseWrite only sending): use of closed network connection"
			if err == nil || err.Error() != want || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
	})
}

// TestStreamsAreReleased opens streams one after another, far beyond the limit, and
// ends them in different ways.
func TestStreamsAreReleased(t *testing.T) {
	ends := []struct {
		name string
		end  func(a, b *loop.Stream)
	}{
		{"close", func(a, b *loop.Stream) { a.Close(); b.Close() }},
		{"write and close", func(a, b *loop.Stream) { a.Write([]byte("x")); a.Close(); b.Close() }},
		{"reset", func(a, b *loop.Stream) { a.Reset(1); b.Reset(2); a.Close(); b.Close() }},
		{"stop", func(a, b *loop.Stream) { a.StopSending(1); b.StopSending(2); a.Close(); b.Close() }},
		{"read to the end", func(a, b *loop.Stream) {
			a.CloseWrite()
			b.CloseWrite()
			io.ReadAll(a)
			io.ReadAll(b)
			a.Close()
			b.Close()
		}},
		{"reset and stop", func(a, b *loop.Stream) { a.Reset(1); a.StopSending(2); a.Close(); b.Close() }},
		{"priority", func(a, b *loop.Stream) { a.SetPriority(conn.Priority{Urgency: -1}); a.Close(); b.Close() }},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			run(t, setup{link: near}, func(t *testing.T, w *world) {
				client, server := w.dial(nil)
				for range 250 {
					tt.end(w.pair(client, server))
				}
				time.Sleep(time.Second)
				if s := w.server.Stats(); s.Buffered != 0 {
					t.Errorf("%d bytes are still buffered", s.Buffered)
				}
			})
		})
	}
}

func TestContexts(t *testing.T) {
	link := conntest.Link{Delay: time.Second}
	cfg := serverConfig(func(c *conn.Config) { c.InitialMaxStreamsUni = 1 })
	run(t, setup{link: link, server: cfg}, func(t *testing.T, w *world) {
		client, server := w.dial(func(c *conn.Config) { c.MaxDatagramFrameSize = 1200 })
		w.open(client, conn.Uni)
		calls := map[string]func(ctx context.Context) error{
			"OpenStream":      func(ctx context.Context) error { _, err := client.OpenStream(ctx, conn.Uni); return err },
			"AcceptStream":    func(ctx context.Context) error { _, err := server.AcceptStream(ctx); return err },
			"ReceiveDatagram": func(ctx context.Context) error { _, err := client.ReceiveDatagram(ctx, nil); return err },
			"Accept":          func(ctx context.Context) error { _, err := w.server.Accept(ctx); return err },
			"Dial": func(ctx context.Context) error {
				_, err := w.client.Dial(ctx, "10.0.0.9:1", conntest.ClientConfig())
				return err
			},
			"Shutdown": func(ctx context.Context) error { return w.client.Shutdown(ctx) },
		}
		for _, name := range []string{"OpenStream", "AcceptStream", "ReceiveDatagram", "Accept", "Dial", "Shutdown"} {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			start := time.Now()
			if err := calls[name](ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s returned %v", name, err)
			}
			if d := time.Since(start); d != time.Second {
				t.Errorf("%s returned after %v, want 1s", name, d)
			}
			cancel()
		}
	})
}

// TestOpenStreamGivesUp: a caller gives up waiting for a stream. The stream must go to the next
// caller.
func TestOpenStreamGivesUp(t *testing.T) {
	cfg := serverConfig(func(c *conn.Config) { c.InitialMaxStreamsUni = 1 })
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		first := w.open(client, conn.Uni)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := client.OpenStream(ctx, conn.Uni); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		first.Close()
		w.accept(server).Close()
		second := w.open(client, conn.Uni)
		if second.ID() != first.ID()+4 {
			t.Errorf("stream %d follows %d", second.ID(), first.ID())
		}
	})
}

// TestPeerCloses checks what every waiting call returns when the peer closes.
func TestPeerCloses(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, b := w.pair(client, server)
		b.Write([]byte("left"))
		time.Sleep(time.Second)
		errs := make(map[string]chan error)
		start := func(name string, f func() error) {
			c := make(chan error, 1)
			errs[name] = c
			go func() { c <- f() }()
		}
		ctx := client.Context() // as many do; the error must not be that of the context
		start("AcceptStream", func() error { _, err := client.AcceptStream(ctx); return err })
		start("ReceiveDatagram", func() error { _, err := client.ReceiveDatagram(ctx, nil); return err })
		start("Write", func() error { _, err := io.Copy(a, zeros{}); return err })
		start("Read", func() error {
			got, err := io.ReadAll(a)
			if string(got) != "left" {
				t.Errorf("read %q", got)
			}
			return err
		})
		time.Sleep(time.Second)
		server.Close(42, "enough")
		<-ctx.Done()
		errs["cause"] = make(chan error, 1)
		errs["cause"] <- context.Cause(ctx)
		start("OpenStream", func() error { _, err := client.OpenStream(ctx, conn.Bidi); return err })
		start("late Write", func() error { _, err := a.Write([]byte("x")); return err })
		for name, c := range errs {
			err := <-c
			var ae *conn.ApplicationError
			if !errors.As(err, &ae) || ae.Code != 42 || ae.Reason != "enough" || !ae.Remote {
				t.Errorf("%s returned %v", name, err)
			}
			if !errors.Is(err, conn.ErrClosed) || errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v must match conn.ErrClosed and not net.ErrClosed", name, err)
			}
		}
		for name, err := range map[string]error{
			"AcceptStream": func() error { _, err := server.AcceptStream(w.ctx()); return err }(),
			"Write":        func() error { _, err := b.Write([]byte("x")); return err }(),
			"Read":         func() error { _, err := io.Copy(io.Discard, b); return err }(),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s on the side that closed returned %v", name, err)
			}
		}
		if client.Stats().PacketsReceived == 0 || client.TLS().NegotiatedProtocol == "" {
			t.Error("a closed connection has lost its statistics")
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, _ := w.dial(func(c *conn.Config) { c.MaxIdleTimeout = 5 * time.Second })
		_, err := client.AcceptStream(w.ctx())
		if !errors.Is(err, conn.ErrIdleTimeout) || !isTimeout(err) {
			t.Errorf("AcceptStream returned %v", err)
		}
	})
}

// TestOpenStreamOfNoDir: a wrong argument is an error of the call, here and in package conn.
func TestOpenStreamOfNoDir(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		c, _ := w.dial(nil)
		if _, err := c.OpenStream(w.ctx(), 7); err == nil {
			t.Error("a stream of direction 7 was opened")
		}
		c.Do(w.ctx(), func(_ time.Time, c *conn.Conn) {
			if _, err := c.OpenStream(7); err == nil {
				t.Error("a stream of direction 7 was opened")
			}
		})
	})
}

// TestOnFinalSize: the size is told when the peer has ended or reset the stream, although nobody
// reads, and at once if it is known.
func TestOnFinalSize(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		for _, end := range []func(s *loop.Stream){
			func(s *loop.Stream) { s.CloseWrite() },
			func(s *loop.Stream) { s.Reset(7) },
		} {
			a, b := w.pair(client, server)
			sizes := make(chan uint64, 4)
			b.OnFinalSize(func(uint64) { t.Error("a function that was replaced") })
			b.OnFinalSize(func(n uint64) { sizes <- n })
			if _, err := a.Write([]byte("12345")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if len(sizes) > 0 {
				t.Fatal("told before the end")
			}
			end(a)
			if n := <-sizes; n != 6 {
				t.Fatalf("the size is %d", n)
			}
			b.OnFinalSize(func(n uint64) { sizes <- n })
			if n := len(sizes); n != 1 {
				t.Fatalf("%d sizes", n)
			}
			a.Close()
			b.Close()
		}
	})
}
