package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestShutdownSaysWhatWasLost: Shutdown of a connection returns nil only if the peer has
// acknowledged all streams that were ended.
func TestShutdownSaysWhatWasLost(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 30_000)
	short := func(c *conn.Config) { c.MaxIdleTimeout = 5 * time.Second }

	t.Run("idle timeout", func(t *testing.T) {
		run(t, setup{link: near}, func(t *testing.T, w *world) {
			client, _ := w.dial(short)
			out := w.open(client, conn.Uni)
			w.net.Connect(serverAddr, clientAddr, conntest.Link{Loss: 1})
			out.Write(data)
			out.Close()
			err := client.Shutdown(w.ctx(), 0, "")
			if !errors.Is(err, conn.ErrIdleTimeout) {
				t.Errorf("Shutdown returned %v for %d bytes that never arrived", err, len(data))
			}
			if err := client.Shutdown(w.ctx(), 0, ""); !errors.Is(err, conn.ErrIdleTimeout) {
				t.Errorf("a second Shutdown returned %v", err)
			}
		})
	})
	t.Run("Close before", func(t *testing.T) {
		run(t, setup{link: near}, func(t *testing.T, w *world) {
			client, _ := w.dial(nil)
			out := w.open(client, conn.Uni)
			out.Write(data)
			out.Close()
			client.Close(0, "")
			if err := client.Shutdown(w.ctx(), 0, ""); !errors.Is(err, conn.ErrClosed) {
				t.Errorf("Shutdown returned %v behind Close", err)
			}
		})
	})
	t.Run("context", func(t *testing.T) {
		run(t, setup{link: near}, func(t *testing.T, w *world) {
			client, _ := w.dial(nil)
			out := w.open(client, conn.Uni)
			w.net.Connect(serverAddr, clientAddr, conntest.Link{Loss: 1})
			out.Write(data)
			out.Close()
			ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
			defer cancel()
			if err := client.Shutdown(ctx, 0, ""); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown returned %v", err)
			}
		})
	})
	t.Run("not wanted", func(t *testing.T) {
		run(t, setup{link: near}, func(t *testing.T, w *world) {
			client, server := w.dial(nil)
			out := w.open(client, conn.Uni)
			out.Write(data)
			out.Close()
			w.accept(server).StopSending(1)
			if err := client.Shutdown(w.ctx(), 0, ""); err != nil {
				t.Errorf("Shutdown returned %v for what the peer did not want", err)
			}
		})
	})
}

// TestCloseAcknowledges: a reader that reads to the end and closes at once tells the peer that it
// has everything.
func TestCloseAcknowledges(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		out := w.open(client, conn.Uni)
		out.Write([]byte("all there is"))
		out.Close()
		done := make(chan error, 1)
		go func() { done <- client.Shutdown(w.ctx(), 0, "") }()
		if got, err := io.ReadAll(w.accept(server)); string(got) != "all there is" || err != nil {
			t.Errorf("read %q: %v", got, err)
		}
		server.Close(0, "")
		if err := <-done; err != nil {
			t.Errorf("Shutdown returned %v though all was read", err)
		}
	})
}
