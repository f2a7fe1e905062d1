package loop_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// clogged is a Backend that takes few messages at times, or none.
type clogged struct {
	loop.Backend
	room func() int // messages of the next call; negative: all
}

func (c *clogged) WriteBatch(ms []udpio.Message) (int, error) {
	if n := c.room(); n >= 0 {
		ms = ms[:min(n, len(ms))]
	}
	if len(ms) == 0 {
		return 0, nil
	}
	return c.Backend.WriteBatch(ms)
}

// TestCloseTellsAll: a Group with many connections closes. All peers learn of it, although the
// socket takes only one datagram now and then.
func TestCloseTellsAll(t *testing.T) {
	const many = 300
	var closing atomic.Bool
	calls := 0
	wrap := func(b loop.Backend) loop.Backend {
		if b.LocalAddr().String() != serverAddr {
			return b
		}
		return &clogged{b, func() int {
			if !closing.Load() {
				return -1
			}
			calls++
			return calls % 2 // every other time there is no room
		}}
	}
	run(t, setup{link: conntest.Link{Delay: 10 * time.Millisecond}, wrap: wrap}, func(t *testing.T, w *world) {
		var conns []*loop.Conn
		for range many {
			conns = append(conns, w.dialOnly(nil))
			if _, err := w.server.Accept(w.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		closing.Store(true)
		w.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		for i, c := range conns {
			select {
			case <-c.Context().Done():
			case <-ctx.Done():
				t.Fatalf("%d of %d peers learnt of the end in time", i, many)
			}
		}
	})
}

// TestCloseOfABlockedGroup: a socket that takes nothing any more does not delay Close for long.
func TestCloseOfABlockedGroup(t *testing.T) {
	var closing atomic.Bool
	wrap := func(b loop.Backend) loop.Backend {
		return &clogged{b, func() int {
			if closing.Load() {
				return 0
			}
			return -1
		}}
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		w.dialOnly(nil)
		closing.Store(true)
		start := time.Now()
		w.server.Close()
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

// TestWriteAfterClose: a call that was queued when the connection closed, and comes to the loop
// before the event of that, gets the error of the others.
func TestWriteAfterClose(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, _ := w.pair(w.dial(nil))
		busy := make(chan struct{})
		go a.Conn().Do(w.ctx(), func(time.Time, *conn.Conn) { <-busy })
		synctest.Wait()
		if _, err := a.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		go a.Conn().Do(w.ctx(), func(_ time.Time, cc *conn.Conn) { cc.Close(7, "enough") })
		synctest.Wait()
		close(busy)
		<-a.Conn().Context().Done()
		_, writeErr := a.Write([]byte("later"))
		_, readErr := a.Read(make([]byte, 1))
		_, openErr := a.Conn().OpenStream(w.ctx(), conn.Uni)
		for _, err := range []error{writeErr, readErr, openErr} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v does not match net.ErrClosed", err)
			}
		}
	})
}
