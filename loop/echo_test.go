package loop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

func TestEcho(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: 10 * time.Millisecond}}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		start := time.Now()
		c := w.dialOnly(nil)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("the handshake took %v, want one round trip of 20ms", d)
		}
		s := w.open(c, conn.Bidi)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("the first stream took %v more", d-20*time.Millisecond)
		}
		start = time.Now()
		transfer(t, s, 5, 1)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("the echo took %v, want one round trip of 20ms", d)
		}
	})
}

func TestTransfers(t *testing.T) {
	tests := []struct {
		name string
		link conntest.Link
		size int
	}{
		{"perfect", conntest.Link{}, 4 << 20},
		{"delay", conntest.Link{Delay: 5 * time.Millisecond, Rate: 100e6, Queue: 100e3}, 4 << 20},
		{"loss", conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.02}, 1 << 20},
		{"all", conntest.Link{
			Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond,
			Loss: 0.05, Duplicate: 0.05, Corrupt: 0.05, Reorder: 0.05, Mark: 0.05,
		}, 1 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, setup{link: tt.link, seed: 3}, func(t *testing.T, w *world) {
				go serveEcho(t, w.server)
				c := w.dialOnly(nil)
				start := time.Now()
				transfer(t, w.open(c, conn.Bidi), tt.size, 1)
				t.Logf("%d bytes there and back in %v, %d turns", tt.size, time.Since(start), w.server.Stats().Turns)
			})
		})
	}
}

func TestManyStreams(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.01}
	run(t, setup{link: link, seed: 5}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		c := w.dialOnly(nil)
		var wg sync.WaitGroup
		for i := range 300 { // three times the peer's limit: OpenStream waits
			wg.Go(func() { transfer(t, w.open(c, conn.Bidi), 100*i, uint64(i)) })
		}
		wg.Wait()
	})
}

func TestManyConnections(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: 10 * time.Millisecond}}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				c := w.dialOnly(nil)
				transfer(t, w.open(c, conn.Bidi), 20_000, uint64(i))
				if err := c.Close(0, ""); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if got := w.server.Stats(); got.Accepted != 40 || got.ClosedByPeer != 40 || got.Conns != 0 {
			t.Errorf("accepted %d connections, the peer closed %d, %d are left; want 40, 40, 0",
				got.Accepted, got.ClosedByPeer, got.Conns)
		}
	})
}

// TestUni sends on unidirectional streams, both ways.
func TestUni(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: time.Millisecond}}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		out := w.open(client, conn.Uni)
		if _, err := out.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read of a stream that only sends returned %v", err)
		}
		io.WriteString(out, "hello")
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		in := w.accept(server)
		if in.ID() != out.ID() || in.ID().Dir() != conn.Uni || in.Conn() != server {
			t.Errorf("accepted stream %d, want %d", in.ID(), out.ID())
		}
		if _, err := in.Write([]byte("x")); err == nil {
			t.Error("Write to a stream that only receives succeeded")
		}
		if b, err := io.ReadAll(in); string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := in.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close returned %v", err)
		}
	})
}

// TestSlowReader: a reader that does not read holds the writer up. When it reads, both go on.
func TestSlowReader(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: time.Millisecond}}, func(t *testing.T, w *world) {
		client, server := w.dial(func(c *conn.Config) { c.MaxStreamData = 512 << 10 })
		out := w.open(server, conn.Uni)
		const size = 32 << 20
		var written atomic.Int64
		go func() {
			p := make([]byte, 64<<10)
			for written.Load() < size {
				n, err := out.Write(p)
				if written.Add(int64(n)); err != nil {
					t.Error(err)
					return
				}
			}
			out.Close()
		}()
		in := w.accept(client)
		time.Sleep(10 * time.Second)
		// Buffers of both tiers on both sides, and the window.
		if most := int64(2<<20 + 64<<10); written.Load() > most {
			t.Errorf("%d bytes written with nobody reading, want at most %d", written.Load(), most)
		}
		if got := server.Stats().MTU; got == 0 {
			t.Error("the loop does not answer")
		}
		if n, err := io.Copy(io.Discard, in); n != size || err != nil {
			t.Errorf("read %d of %d bytes: %v", n, size, err)
		}
		in.Close()
	})
}

// TestCloseDeliversWhatWasWritten closes a stream with all buffers full.
func TestCloseDeliversWhatWasWritten(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6}}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		out := w.open(client, conn.Uni)
		data := bytes.Repeat([]byte("0123456789"), 60_000) // as much as the buffers hold
		if n, err := out.Write(data); n != len(data) || err != nil {
			t.Fatal(n, err)
		}
		out.Close()
		done := make(chan error, 1)
		go func() { done <- client.Shutdown(w.ctx(), 7, "bye") }()
		in := w.accept(server)
		got, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d of %d bytes: %v", len(got), len(data), err)
		}
		if err := <-done; err != nil {
			t.Error("shutdown: ", err)
		}
		_, err = server.AcceptStream(w.ctx())
		var app *conn.ApplicationError
		if !errors.As(err, &app) || app.Code != 7 || app.Reason != "bye" || !app.Remote {
			t.Errorf("the peer saw %v", err)
		}
	})
}

// TestLoopsDoNotSpin counts turns: about one for each batch and timer.
func TestLoopsDoNotSpin(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: 10 * time.Millisecond}}, func(t *testing.T, w *world) {
		client, server := w.dial(func(c *conn.Config) { c.KeepAlive = 10 * time.Second })
		s := w.open(client, conn.Bidi)
		fmt.Fprint(s, "x")
		time.Sleep(10 * time.Minute)
		for name, g := range map[string]uint64{"client": w.client.Stats().Turns, "server": w.server.Stats().Turns} {
			if g > 600 {
				t.Errorf("%d turns of the %s in 10 minutes with 60 keep-alives", g, name)
			}
		}
		if err := server.Context().Err(); err != nil {
			t.Error(context.Cause(server.Context()))
		}
	})
}
