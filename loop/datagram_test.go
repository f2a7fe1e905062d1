package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// withDatagrams allows datagrams, with a policy.
func withDatagrams(p conn.DatagramPolicy) func(*conn.Config) {
	return func(c *conn.Config) { c.MaxDatagramFrameSize, c.DatagramPolicy = 65535, p }
}

// dialDatagrams connects two sides that take datagrams.
func dialDatagrams(t *testing.T, link conntest.Link, p conn.DatagramPolicy, f func(t *testing.T, w *world, client, server *loop.Conn)) {
	run(t, setup{link: link, server: serverConfig(withDatagrams(p))}, func(t *testing.T, w *world) {
		client, server := w.dial(withDatagrams(p))
		f(t, w, client, server)
	})
}

func TestDatagrams(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		b := make([]byte, 2000)
		for i := range 500 {
			want := fmt.Sprint("datagram ", i)
			if err := client.SendDatagram(w.ctx(), []byte(want), 0); err != nil {
				t.Fatal(err)
			}
			if i%7 != 6 {
				continue // they come in batches
			}
			for k := i - 6; k <= i; k++ {
				n, err := server.ReceiveDatagram(w.ctx(), b)
				if want := fmt.Sprint("datagram ", k); string(b[:n]) != want || err != nil {
					t.Fatalf("got %q, %v; want %q", b[:n], err, want)
				}
			}
		}
		if n, err := server.ReceiveDatagram(w.ctx(), b[:3]); n != 3 || err != io.ErrShortBuffer {
			t.Errorf("a short buffer got %d, %v", n, err)
		}
	})
}

func TestAppendDatagram(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		for _, want := range []string{"", "one", "another"} {
			if err := client.SendDatagram(w.ctx(), []byte(want), 0); err != nil {
				t.Fatal(err)
			}
			b, err := server.AppendDatagram(w.ctx(), []byte("got "))
			if string(b) != "got "+want || err != nil {
				t.Errorf("%q, %v; want %q", b, err, want)
			}
		}
		client.Close(0, "")
		if b, err := server.AppendDatagram(w.ctx(), []byte("mine")); string(b) != "mine" || err == nil {
			t.Errorf("after the end: %q, %v", b, err)
		}
	})
}

func TestDatagramTooLarge(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		most := client.MaxDatagramSize()
		if most < 1100 {
			t.Fatalf("MaxDatagramSize is %d", most)
		}
		for _, n := range []int{most, most + 1000} {
			err := client.SendDatagram(w.ctx(), make([]byte, n), 0)
			if errors.Is(err, conn.ErrNoDatagrams) {
				t.Error(err)
			}
			if tooLarge := n > most; errors.Is(err, conn.ErrTooLarge) != tooLarge {
				t.Errorf("%d of at most %d bytes: %v", n, most, err)
			}
		}
		if n, err := server.ReceiveDatagram(w.ctx(), make([]byte, most)); n != most || err != nil {
			t.Errorf("got %d bytes of %d, %v", n, most, err)
		}
	})
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, _ := w.dial(nil)
		if err := client.SendDatagram(w.ctx(), nil, 0); !errors.Is(err, conn.ErrTooLarge) && err != nil {
			t.Error(err)
		}
		if err := client.SendDatagram(w.ctx(), []byte("x"), 0); !errors.Is(err, conn.ErrNoDatagrams) {
			t.Errorf("to a peer that takes none: %v", err)
		}
	})
}

// TestDatagramPolicies sends more datagrams than a slow path takes.
func TestDatagramPolicies(t *testing.T) {
	slow := conntest.Link{Delay: time.Millisecond, Rate: 1e6}
	const count = 2000
	send := func(t *testing.T, w *world, c *loop.Conn) time.Duration {
		start := time.Now()
		b := make([]byte, 1000)
		for i := range count {
			copy(b, fmt.Sprintf("%06d", i))
			if err := c.SendDatagram(w.ctx(), b, 0); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start)
	}
	receive := func(t *testing.T, c *loop.Conn) (numbers []int) {
		b := make([]byte, 1000)
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err := c.ReceiveDatagram(ctx, b)
			cancel()
			if err != nil {
				return numbers
			}
			var i int
			fmt.Sscanf(string(b), "%06d", &i)
			numbers = append(numbers, i)
		}
	}
	dialDatagrams(t, slow, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		got := make(chan []int, 1)
		go func() { got <- receive(t, server) }()
		if d := send(t, w, client); d < 10*time.Second {
			t.Errorf("%d datagrams of 1000 bytes went to a path of 1 Mbit/s in %v", count, d)
		}
		if n := len(<-got); n != count {
			t.Errorf("%d datagrams arrived of %d", n, count)
		}
	})
	dialDatagrams(t, slow, conn.DatagramDropOldest, func(t *testing.T, w *world, client, server *loop.Conn) {
		if d := send(t, w, client); d != 0 {
			t.Errorf("sending took %v", d)
		}
		got := receive(t, server)
		if len(got) == 0 || len(got) > count/2 || got[len(got)-1] != count-1 {
			t.Errorf("%d datagrams arrived; want some, the last among them", len(got))
		}
	})
	dialDatagrams(t, slow, conn.DatagramDropNewest, func(t *testing.T, w *world, client, server *loop.Conn) {
		if d := send(t, w, client); d != 0 {
			t.Errorf("sending took %v", d)
		}
		got := receive(t, server)
		if len(got) == 0 || len(got) > count/2 || got[0] != 0 {
			t.Errorf("%d datagrams arrived; want some, the first among them", len(got))
		}
	})
}

// TestDatagramSendersWait: several senders wait for room, and one of them gives up.
func TestDatagramSendersWait(t *testing.T) {
	slow := conntest.Link{Delay: time.Millisecond, Rate: 100e3}
	dialDatagrams(t, slow, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		done := make(chan error, 4)
		for i := range 4 {
			go func() {
				ctx, count := w.ctx(), 200
				if i == 0 {
					count = 5000 // for which there is no room in time, even without the others
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				var err error
				for k := 0; k < count && err == nil; k++ {
					err = client.SendDatagram(ctx, make([]byte, 1000), 0)
				}
				done <- err
			}()
		}
		var failed int
		for range 4 {
			if err := <-done; errors.Is(err, context.DeadlineExceeded) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%d gave up, want 1", failed)
		}
	})
}

// TestDatagramBurst: what several turns of a loop bring is there when the reader comes to it.
func TestDatagramBurst(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		const count = 1700 // 256 would wait in the connection
		b := make([]byte, 1000)
		for i := range 1 + count {
			copy(b, fmt.Sprintf("%06d", i))
			if err := client.SendDatagram(w.ctx(), b, 0); err != nil {
				t.Fatal(err)
			}
			if i == 0 { // from here on the loop brings datagrams
				if _, err := server.ReceiveDatagram(w.ctx(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		for i := range count {
			ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
			_, err := server.ReceiveDatagram(ctx, b)
			cancel()
			if want := fmt.Sprintf("%06d", i+1); err != nil || string(b[:6]) != want {
				t.Fatalf("got %s, %v; want %s", b[:6], err, want)
			}
		}
	})
}

// TestDatagramReaderIsSlow lets datagrams pile up. The oldest are dropped.
func TestDatagramReaderIsSlow(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		for i := range 1000 {
			if err := client.SendDatagram(w.ctx(), fmt.Appendf(nil, "%d", i), 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		b := make([]byte, 100)
		var got int
		var last string
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			n, err := server.ReceiveDatagram(ctx, b)
			cancel()
			if err != nil {
				break
			}
			got++
			last = string(b[:n])
		}
		if got < 64 || got > 300 || last != "999" {
			t.Errorf("got %d datagrams, the last is %s; want about 128 and 999", got, last)
		}
	})
}

// TestDatagramSizeAfterClose: a connection that has ended sends nothing of any size.
func TestDatagramSizeAfterClose(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		client.Close(7, "bye")
		<-server.Context().Done()
		<-client.Context().Done()
		for _, c := range []*loop.Conn{client, server} {
			if n := c.MaxDatagramSize(); n != 0 {
				t.Errorf("MaxDatagramSize is %d", n)
			}
			var app *conn.ApplicationError
			if err := c.SendDatagram(w.ctx(), []byte("x"), 0); !errors.As(err, &app) || app.Code != 7 {
				t.Errorf("SendDatagram = %v", err)
			}
		}
	})
}
