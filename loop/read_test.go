package loop_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// reads counts the calls of ReadBatch.
type reads struct {
	loop.Backend
	n atomic.Int64
}

func (r *reads) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	r.n.Add(1)
	return r.Backend.ReadBatch(ms, deadline)
}

// A chain posts a function when data comes, and that function posts another one. It notes how many
// reads come before each of them.
type chain struct {
	l    *loop.Loop
	r    *reads
	said *atomic.Pointer[[2]int64]
}

func (c *chain) HandleEvent(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	start := c.r.n.Load()
	c.l.Post(func(time.Time) {
		first := c.r.n.Load()
		c.l.Post(func(time.Time) { c.said.Store(&[2]int64{first - start, c.r.n.Load() - first}) })
	})
}

func (c *chain) Flush(time.Time, *conn.Conn) {}

// TestReadsBesideLetters: a turn for letters right after a read that has emptied the Backend does
// not read. The turn after it does, so that letters without end do not keep datagrams out.
func TestReadsBesideLetters(t *testing.T) {
	var r *reads
	var said atomic.Pointer[[2]int64]
	cfg := serverConfig(nil)
	cfg.NewHandler = func(l *loop.Loop, _ *conn.Conn) loop.Handler { return &chain{l, r, &said} }
	wrap := func(b loop.Backend) loop.Backend {
		w := &reads{Backend: b}
		if r == nil {
			r = w // the server's
		}
		return w
	}
	run(t, setup{link: near, server: cfg, wrap: wrap}, func(t *testing.T, w *world) {
		s := w.open(w.dialOnly(nil), conn.Uni)
		time.Sleep(time.Second) // what belongs to the handshake is done
		s.Write([]byte("x"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := said.Load(); got == nil || *got != [2]int64{0, 1} {
			t.Errorf("reads before the first letter and before the second: %v", got)
		}
	})
}

// wakes notes for each read that ended without datagrams in which turn of the loop it was.
type wakes struct {
	loop.Backend
	turns *notebook
	at    []int
}

func (w *wakes) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := w.Backend.ReadBatch(ms, deadline)
	w.turns.mu.Lock()
	defer w.turns.mu.Unlock()
	if n == 0 {
		w.at = append(w.at, len(w.turns.took))
	}
	return n, err
}

// TestReadsAfterTLS: a loop that was woken by a step of TLS reads once more before its turn goes
// on. The Backend of udpio does not look for datagrams when it is woken, and in the time of a step
// some have come. Other letters do not cost that read.
func TestReadsAfterTLS(t *testing.T) {
	turns := new(notebook)
	cfg, _ := slowTLS(20 * time.Millisecond)
	cfg.Observe = func(int) loop.Observer { return turns }
	var server *wakes
	wrap := func(b loop.Backend) loop.Backend {
		w := &wakes{Backend: b, turns: turns}
		if server == nil {
			server = w
		} else {
			w.turns = new(notebook)
		}
		return w
	}
	run(t, setup{link: near, server: cfg, wrap: wrap}, func(t *testing.T, w *world) {
		twice := func() (turns int) {
			server.turns.mu.Lock()
			defer server.turns.mu.Unlock()
			for i := range server.at[1:] {
				if server.at[i] == server.at[i+1] {
					turns++
				}
			}
			server.at = server.at[:0]
			return turns
		}
		w.dialOnly(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := twice(); n == 0 {
			t.Error("no turn after a step of TLS has read twice")
		}
		w.server.Loops()[0].Post(func(time.Time) {})
		time.Sleep(time.Second)
		synctest.Wait()
		if n := twice(); n > 0 {
			t.Errorf("%d turns after a posted function have read twice", n)
		}
	})
}
