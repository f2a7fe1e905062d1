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

// TestStreamOutlivesConnection: bytes that a stream has received stay readable, however the
// connection ends.
func TestStreamOutlivesConnection(t *testing.T) {
	want := bytes.Repeat([]byte("x"), 700_000) // more than the Stream itself buffers
	for _, end := range []string{"Close of the peer", "Close", "idle timeout", "Close of the Group"} {
		t.Run(end, func(t *testing.T) {
			cfg := serverConfig(func(c *conn.Config) { c.InitialMaxStreamData = 1 << 20 })
			run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
				client, server := w.dial(nil)
				var in []*loop.Stream
				for range 2 { // one is accepted before the end
					out := w.open(client, conn.Uni)
					out.Write(want[:len(want)/2])
					out.Close()
				}
				in = append(in, w.accept(server))
				time.Sleep(time.Second)
				switch end {
				case "Close of the peer":
					client.Close(0, "")
				case "Close":
					server.Close(0, "")
				case "Close of the Group":
					w.server.Close()
				default:
					w.net.Connect(serverAddr, clientAddr, conntest.Link{Loss: 1})
				}
				<-server.Context().Done()
				in = append(in, w.accept(server))
				for _, s := range in {
					if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want[:len(want)/2]) {
						t.Errorf("read %d of %d bytes: %v", len(got), len(want)/2, err)
					}
				}
			})
		})
	}
}

// TestRemainsAreBounded: peers fill one connection after another, and end each. The bytes that are
// kept take no more than a quarter of MaxBuffered. Readers are told that the rest is missing.
func TestRemainsAreBounded(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.Endpoint.MaxBuffered = 4 << 20
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		const size = 200 << 10
		fill := func() *loop.Stream {
			client, server := w.dial(nil)
			out := w.open(client, conn.Uni)
			out.Write(make([]byte, size))
			out.Close()
			in := w.accept(server)
			time.Sleep(time.Second)
			client.Close(0, "")
			<-server.Context().Done()
			return in
		}
		for round := range 2 { // the first leaves nothing behind
			var in []*loop.Stream
			for range 8 {
				in = append(in, fill())
			}
			total, whole := 0, 0
			for i, s := range in {
				if i == 0 {
					s.Close() // instead of reading
					continue
				}
				got, err := io.ReadAll(s)
				total += len(got)
				switch {
				case err == nil && len(got) == size:
					whole++
				case err == nil:
					t.Errorf("%d of %d bytes passed for the whole", len(got), size)
				case !errors.Is(err, conn.ErrClosed):
					t.Error(err)
				}
			}
			if total > 1<<20 || whole != 4 {
				t.Errorf("round %d: %d bytes were kept, %d streams whole, want 4 of 7 and 1 MiB at most", round, total, whole)
			}
		}
	})
}

// TestUnreadStreamsAreBounded: peers fill many streams that nobody reads. The buffers of the
// streams take less once all together hold a quarter of MaxBuffered, and nothing more from a half
// on. The rest stays in the connections, where flow control stops the peers, and nothing is lost.
func TestUnreadStreamsAreBounded(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.Endpoint.MaxBuffered = 8 << 20
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		const size = 200 << 10
		want := bytes.Repeat([]byte("x"), size)
		var in []*loop.Stream
		for range 8 {
			client, server := w.dial(nil)
			for range 4 {
				out := w.open(client, conn.Uni)
				go func() {
					out.Write(want)
					out.Close()
				}()
				in = append(in, w.accept(server))
			}
		}
		time.Sleep(5 * time.Second)
		total := 0
		for _, s := range in {
			n, _ := s.Buffered()
			total += n
		}
		if total > 4<<20 || total < 1<<20 {
			t.Errorf("%d bytes wait in streams that nobody reads", total)
		}
		if n := w.server.Stats().Held; n < int64(len(in)*size) || n > 8<<20 {
			t.Errorf("%d bytes are held", n)
		}
		w.checkAccounts()
		for i, s := range in {
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: read %d of %d bytes: %v", i, len(got), size, err)
			}
		}
	})
}
