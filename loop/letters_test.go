package loop_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A dyingBackend posts a function at its next read once it is armed. After that it fails all
// writes.
type dyingBackend struct {
	loop.Backend
	armed, dead atomic.Bool
	post        func()
}

func (b *dyingBackend) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := b.Backend.ReadBatch(ms, deadline)
	if n > 0 && len(ms[0].Buf) > 200 && b.armed.CompareAndSwap(true, false) {
		b.post()
		b.dead.Store(true)
	}
	return n, err
}

func (b *dyingBackend) WriteBatch(ms []udpio.Message) (int, error) {
	if b.dead.Load() {
		return 0, net.ErrClosed
	}
	return b.Backend.WriteBatch(ms)
}

// TestPostRunsThoughBackendFails: a function that was posted runs, even if the Backend fails in the
// middle of the turn that takes it.
func TestPostRunsThoughBackendFails(t *testing.T) {
	noLeaks(t)
	s, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &dyingBackend{Backend: s}
	g, err := loop.New(serverConfig(nil), b)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ran := make(chan struct{})
	b.post = func() { g.Loops()[0].Post(func(time.Time) { close(ran) }) }
	c, err := loop.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(0, "")
	if _, err := g.Accept(within(t)); err != nil {
		t.Fatal(err)
	}
	b.armed.Store(true)
	opened := 0
	c.Do(within(t), func(_ time.Time, c *conn.Conn) {
		for ; opened < 90; opened++ { // more events than one round of sending has
			s, err := c.OpenStream(conn.Uni)
			if err != nil {
				break
			}
			s.Write([]byte("hello"))
		}
	})
	if opened < 90 {
		t.Fatalf("%d streams were opened", opened)
	}
	select {
	case <-ran:
	case <-within(t).Done():
		t.Error("what was posted does not run")
	}
}

// TestLettersHappenNow: what a goroutine does after a silence happens at the present time, and not
// at the time of the turn before. Otherwise the log would say that a stream was opened long before
// it was.
func TestLettersHappenNow(t *testing.T) {
	const silence = 5 * time.Second
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		log := new(record)
		c, _ := w.dial(func(cfg *conn.Config) { cfg.QLog = func(conn.ConnID, bool) io.WriteCloser { return log } })
		time.Sleep(silence)
		w.open(c, conn.Uni)
		time.Sleep(silence)
		c.Close(0, "")
		w.client.Close()
		want := map[string]time.Duration{"quic:stream_state_updated": silence, "quic:connection_closed": 2 * silence}
		for rec := range bytes.SplitSeq(log.b.Bytes(), []byte{0x1e}) {
			var ev struct {
				Name string
				Time float64
			}
			json.Unmarshal(rec, &ev)
			at := time.Duration(ev.Time * float64(time.Millisecond))
			if since, ok := want[ev.Name]; ok && (at < since || at > since+time.Second) {
				t.Errorf("%s at %v, want %v", ev.Name, at, since)
			}
			delete(want, ev.Name)
		}
		if len(want) > 0 {
			t.Errorf("the log does not have %v", want)
		}
	})
}
