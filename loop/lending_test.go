package loop_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestCallsOfSleepingLoop: while the loop sleeps, a stream is opened without a turn. Writing to it
// wakes the loop, because there is something to send then.
func TestCallsOfSleepingLoop(t *testing.T) {
	var all []*reads
	wrap := func(b loop.Backend) loop.Backend {
		all = append(all, &reads{Backend: b})
		return all[len(all)-1]
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		w.pair(client, server)
		turns := &all[1].n // of the client's loop
		rest := func() int64 {
			time.Sleep(time.Second)
			synctest.Wait()
			return turns.Load()
		}
		before := rest()
		a := w.open(client, conn.Bidi)
		synctest.Wait()
		if n := turns.Load() - before; n != 0 {
			t.Errorf("OpenStream took %d turns", n)
		}
		a.Write([]byte("hello"))
		b := w.accept(server)
		p := make([]byte, 5)
		if _, err := io.ReadFull(b, p); err != nil || string(p) != "hello" {
			t.Errorf("the peer read %q, %v", p, err)
		}
		if n := rest() - before; n == 0 {
			t.Error("Write took no turn")
		}
	})
}

// TestFinalSizeBehindLeftBytes: a few bytes that nobody reads do not hide the end behind them.
func TestFinalSizeBehindLeftBytes(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		a.Write([]byte("hello"))
		time.Sleep(time.Second)
		var size atomic.Uint64
		b.OnFinalSize(func(n uint64) { size.Store(n) })
		a.CloseWrite()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := size.Load(); n != 6 {
			t.Errorf("the final size is %d, want 6", n)
		}
	})
}

// TestBufferedLeftBytes: bytes that wait in the connection count as well.
func TestBufferedLeftBytes(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		time.Sleep(time.Second)
		a.Write([]byte("hello"))
		a.CloseWrite()
		time.Sleep(near.Delay)
		synctest.Wait() // they have come, and no turn has followed
		if n, err := b.Buffered(); n != 5 || err != io.EOF {
			t.Errorf("%d bytes and %v are there, want 5 and EOF", n, err)
		}
		if got, err := io.ReadAll(b); string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// TestLeftDatagrams: a reader that stops after the first datagram of a burst finds the others, and
// those that came meanwhile. 256 would wait in the connection.
func TestLeftDatagrams(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		const burst, bursts = 50, 8
		b := make([]byte, 1000)
		read := func(i int) {
			ctx, cancel := context.WithTimeout(w.ctx(), 10*time.Second)
			defer cancel()
			n, err := server.ReceiveDatagram(ctx, b)
			if want := fmt.Sprint(i); err != nil || string(b[:n]) != want {
				t.Errorf("got %s, %v; want %s", b[:n], err, want)
			}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			read(0) // waits
			time.Sleep(time.Minute)
			for i := 1; i < burst*bursts && !t.Failed(); i++ {
				read(i)
			}
		}()
		for i := range burst * bursts {
			if i%burst == 0 {
				time.Sleep(time.Second)
			}
			if err := client.SendDatagram(w.ctx(), fmt.Append(nil, i), 0); err != nil {
				t.Fatal(err)
			}
		}
		<-done
	})
}

// A slowTurn has a function run at the end of the turn that follows the next read of datagrams.
type slowTurn struct {
	loop.Backend
	l   *loop.Loop
	end func() // nil for none
}

func (b *slowTurn) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := b.Backend.ReadBatch(ms, deadline)
	if end := b.end; n > 0 && end != nil {
		b.l.Post(func(time.Time) { end() })
		b.end = nil
	}
	return n, err
}

// TestDatagramDuringTurn: a reader that is woken while the loop is still at work leaves a letter.
// Otherwise it would get the datagram when something else wakes the loop.
func TestDatagramDuringTurn(t *testing.T) {
	var server *slowTurn
	wrap := func(b loop.Backend) loop.Backend {
		w := &slowTurn{Backend: b}
		if server == nil {
			server = w
		}
		return w
	}
	cfg := serverConfig(withDatagrams(conn.DatagramWait))
	run(t, setup{link: near, server: cfg, wrap: wrap}, func(t *testing.T, w *world) {
		a, b := w.dial(withDatagrams(conn.DatagramWait))
		done := make(chan error)
		go func() {
			_, err := b.ReceiveDatagram(w.ctx(), make([]byte, 10))
			done <- err
		}()
		time.Sleep(time.Second)
		var posted atomic.Bool
		server.l = w.server.Loops()[0]
		server.l.Do(w.ctx(), func(time.Time) {
			server.end = func() {
				time.Sleep(time.Millisecond) // the reader comes, and cannot borrow
				posted.Store(loop.Posted(b))
			}
		})
		if err := a.SendDatagram(w.ctx(), []byte("hello"), 0); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || !posted.Load() {
			t.Errorf("the reader got %v, and has left a letter: %v", err, posted.Load())
		}
	})
}

// TestTimersWhileOthersRun: a goroutine that runs while a turn lets others run sends a datagram. A
// timer is due by then, but its ACK waits in the socket, and goes first.
func TestTimersWhileOthersRun(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		time.Sleep(time.Second)
		send := func(text string) {
			if err := client.SendDatagram(w.ctx(), []byte(text), 0); err != nil {
				t.Error(err)
			}
		}
		probes := func() (n uint64) {
			client.Do(w.ctx(), func(_ time.Time, c *conn.Conn) { n = c.Stats().PTOs })
			return n
		}
		before := probes()
		send("first")
		synctest.Wait() // it is on its way
		client.Do(w.ctx(), func(time.Time, *conn.Conn) {
			loop.LetRun(w.client.Loops()[0], func() {
				time.Sleep(time.Second)
				send("second")
			})
		})
		b := make([]byte, 10)
		for _, want := range []string{"first", "second"} {
			if n, err := server.ReceiveDatagram(w.ctx(), b); string(b[:n]) != want || err != nil {
				t.Errorf("the peer got %q, %v; want %q", b[:n], err, want)
			}
		}
		if n := probes() - before; n != 0 {
			t.Errorf("%d probes were sent, although an ACK waited", n)
		}
	})
}

// TestBorrowersInARow: goroutines that run one after another while a turn lets others run all
// borrow the loop, although time goes on meanwhile.
func TestBorrowersInARow(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		time.Sleep(time.Second)
		ran := 0
		send := func() {
			ran++
			time.Sleep(20 * time.Microsecond)
			if err := client.SendDatagram(w.ctx(), fmt.Append(nil, ran), 0); err != nil {
				t.Error(err)
			}
			if loop.Posted(client) {
				t.Errorf("call %d left a letter", ran)
			}
		}
		client.Do(w.ctx(), func(time.Time, *conn.Conn) {
			loop.LetRunAgain(w.client.Loops()[0], send, send, send)
		})
		if ran != 3 {
			t.Errorf("%d goroutines ran, want 3", ran)
		}
		b := make([]byte, 10)
		for i := range ran {
			if n, err := server.ReceiveDatagram(w.ctx(), b); string(b[:n]) != fmt.Sprint(i+1) || err != nil {
				t.Errorf("the peer got %q, %v; want %d", b[:n], err, i+1)
			}
		}
	})
}

// TestMaxAgeWhileOthersRun: a goroutine that runs while a turn lets others run sends a datagram.
// Output waits, so the time of the Endpoint stands still. The age of the datagram counts from the
// call.
func TestMaxAgeWhileOthersRun(t *testing.T) {
	dialDatagrams(t, near, conn.DatagramWait, func(t *testing.T, w *world, client, server *loop.Conn) {
		time.Sleep(time.Second)
		client.Do(w.ctx(), func(_ time.Time, c *conn.Conn) {
			if _, err := c.SendDatagram([]byte("first"), conn.DatagramOptions{}); err != nil {
				t.Error(err)
			}
			loop.LetRun(w.client.Loops()[0], func() {
				time.Sleep(10 * time.Millisecond)
				if err := client.SendDatagram(w.ctx(), []byte("second"), 5*time.Millisecond); err != nil {
					t.Error(err)
				}
			})
		})
		b := make([]byte, 10)
		for _, want := range []string{"first", "second"} {
			if n, err := server.ReceiveDatagram(w.ctx(), b); string(b[:n]) != want || err != nil {
				t.Errorf("the peer got %q, %v; want %q", b[:n], err, want)
			}
		}
	})
}

// TestYieldOfHandler: a turn that lets goroutines run in its middle still does what Yield asked for
// at its end. The others may be goroutines that cannot borrow the loop.
func TestYieldOfHandler(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		l := w.client.Loops()[0]
		for _, asked := range []bool{false, true} {
			l.Do(w.ctx(), func(time.Time) {
				if asked {
					l.Yield()
				}
				woken, err := loop.SendEarly(l)
				if woken != asked || err != nil {
					t.Errorf("asked to yield: %v; in the middle of the turn: %v, %v", asked, woken, err)
				}
			})
		}
	})
}
