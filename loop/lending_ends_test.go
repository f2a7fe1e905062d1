package loop_test

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestStopBesideLeftBytes: bytes that the loop has left in the connection do not come to the buffer
// of a stream whose reader wants no more.
func TestStopBesideLeftBytes(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(s *loop.Stream)
	}{
		{"Close", func(s *loop.Stream) { s.Close() }},
		{"StopSending", func(s *loop.Stream) { s.StopSending(1) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, setup{link: near}, func(t *testing.T, w *world) {
				a, b := w.pair(w.dial(nil))
				b.OnFinalSize(func(uint64) {}) // calls of b write letters because of it
				time.Sleep(time.Second)
				a.Write([]byte("hello"))
				time.Sleep(near.Delay)
				synctest.Wait() // they have come, and no turn has followed
				test.stop(b)
				a.Close()
				time.Sleep(time.Second)
				if n, err := b.Read(make([]byte, 10)); n != 0 || err == nil {
					t.Errorf("read %d bytes, %v", n, err)
				}
				w.checkAccounts()
			})
		})
	}
}

// TestPeekWithLittleRoom: where many bytes wait in other streams, a Peek still gets what it waits
// for.
func TestPeekWithLittleRoom(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.Endpoint.MaxBuffered = 2 << 20
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		const size = 200 << 10
		for range 4 {
			client, server := w.dial(nil)
			out := w.open(client, conn.Uni)
			go func() {
				out.Write(make([]byte, size))
				out.Close()
			}()
			w.accept(server)
		}
		a, b := w.pair(w.dial(nil))
		time.Sleep(5 * time.Second)
		want := bytes.Repeat([]byte("x"), 64<<10)
		go a.Write(want)
		got := make([]byte, len(want))
		if n, err := b.Peek(got); n != len(want) || err != nil || !bytes.Equal(got, want) {
			t.Errorf("Peek returns %d bytes, %v", n, err)
		}
		if n, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Read returns %d bytes, %v", n, err)
		}
	})
}

// A lateBackend is that of a loop that gets no processor for a while after it was woken.
type lateBackend struct {
	loop.Backend
	by atomic.Int64 // a time.Duration
}

func (b *lateBackend) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := b.Backend.ReadBatch(ms, deadline)
	time.Sleep(time.Duration(b.by.Load()))
	return n, err
}

// TestTimersOfLateLoop: a goroutine that borrows a loop which wakes late runs no timers. The loop
// first reads the datagrams that have come in time.
func TestTimersOfLateLoop(t *testing.T) {
	var client *lateBackend
	wrap := func(b loop.Backend) loop.Backend {
		client = &lateBackend{Backend: b} // the client's is made last
		return client
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		time.Sleep(time.Second)
		before := w.client.Stats().PTOs
		a.Write([]byte("hello"))
		time.Sleep(near.Delay)
		synctest.Wait() // it has arrived, and no answer has come
		client.by.Store(int64(5 * time.Second))
		b.Write([]byte("hello"))
		time.Sleep(4 * time.Second)
		a.Write([]byte("again"))
		client.by.Store(0)
		time.Sleep(4 * time.Second)
		if n := w.client.Stats().PTOs - before; n != 0 {
			t.Errorf("%d probe timeouts", n)
		}
	})
}
