package loop_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A notebook is an Observer that writes down what it is told.
type notebook struct {
	mu         sync.Mutex
	handshakes []time.Duration
	samples    []time.Duration
	took, late []time.Duration
	closed     []error
	lasted     []time.Duration
}

func (n *notebook) HandshakeDone(_ *conn.Conn, took time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handshakes = append(n.handshakes, took)
}

func (n *notebook) ConnClosed(_ *conn.Conn, err error, lasted time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed, n.lasted = append(n.closed, err), append(n.lasted, lasted)
}

func (n *notebook) RTTSample(_ *conn.Conn, rtt time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.samples = append(n.samples, rtt)
}

func (n *notebook) TurnDone(took, late time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.took, n.late = append(n.took, took), append(n.late, late)
}

// observedWorld runs f with an Observer of the server.
func observedWorld(t *testing.T, f func(w *world, n *notebook)) {
	n := new(notebook)
	cfg := serverConfig(nil)
	cfg.Observe = func(i int) loop.Observer {
		if i != 0 {
			t.Errorf("an Observer of loop %d", i)
		}
		return n
	}
	run(t, setup{link: conntest.Link{Delay: 20 * time.Millisecond}, server: cfg}, func(t *testing.T, w *world) { f(w, n) })
}

// TestObserver: a server's Observer hears of the handshake, of samples of the round-trip time, and
// of the end, with the times of the network.
func TestObserver(t *testing.T) {
	observedWorld(t, func(w *world, n *notebook) {
		c, _ := w.dial(nil)
		time.Sleep(time.Second)
		c.Close(7, "")
		time.Sleep(time.Second)
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if !slices.Equal(n.handshakes, []time.Duration{40 * time.Millisecond}) {
			w.Errorf("handshakes: %v", n.handshakes)
		}
		if len(n.samples) == 0 || n.samples[0] < 40*time.Millisecond {
			w.Errorf("samples: %v", n.samples)
		}
		var e *conn.ApplicationError
		if len(n.closed) != 1 || !errors.As(n.closed[0], &e) || e.Code != 7 || !e.Remote {
			w.Errorf("ends: %v", n.closed)
		}
		// 40 ms of handshake, a second, and 20 ms until the end has come
		if !slices.Equal(n.lasted, []time.Duration{time.Second + 60*time.Millisecond}) {
			w.Errorf("it lasted %v", n.lasted)
		}
		if turns := w.server.Stats().Turns; uint64(len(n.took)) > turns || len(n.took) == 0 {
			w.Errorf("%d of %d turns", len(n.took), turns)
		}
	})
}

// TestObserverOfSlowTurns: an Observer hears of a turn that lasts long, and of the timer that is
// late because of that turn.
func TestObserverOfSlowTurns(t *testing.T) {
	observedWorld(t, func(w *world, n *notebook) {
		_, server := w.dial(nil)
		time.Sleep(10 * time.Second) // the connection comes to rest
		l := w.server.Loops()[0]
		err := server.Do(w.ctx(), func(now time.Time, c *conn.Conn) {
			c.SetTimer(now.Add(time.Millisecond))
			time.Sleep(10 * time.Millisecond)
		})
		if err != nil {
			w.Fatal(err)
		}
		if err := l.Do(context.Background(), func(time.Time) {}); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if took := slices.Max(n.took); took != 10*time.Millisecond {
			w.Errorf("the longest turn took %v", took)
		}
		if late := slices.Max(n.late); late != 9*time.Millisecond {
			w.Errorf("the latest turn was %v late", late)
		}
	})
}

// TestObserverTakesSamples: New returns an error if both an Observer and RTTSample want the
// samples.
func TestObserverTakesSamples(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.Observe = func(int) loop.Observer { return new(notebook) }
	cfg.Endpoint.RTTSample = func(*conn.Conn, time.Duration) {}
	n := looptest.New(t, 1, conntest.Link{})
	if g, err := loop.New(cfg, n.Listen(serverAddr)); err == nil {
		g.Close()
		t.Error("there is no error")
	}
}
