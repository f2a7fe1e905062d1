package loop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestEarlyData accepts a connection as soon as it brings early data, half a round trip after it
// was dialed.
func TestEarlyData(t *testing.T) {
	link := conntest.Link{Delay: 50 * time.Millisecond}
	early := func(c *conn.Config) { c.Enable0RTT = true }
	run(t, setup{link: link, server: serverConfig(early)}, func(t *testing.T, w *world) {
		cfg := conntest.ClientConfig()
		cfg.Enable0RTT = true
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		cfg.TLS.ServerName = "lazo.test"
		first, err := w.client.Dial(w.ctx(), serverAddr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := w.server.Accept(w.ctx()); err != nil || c.ID() != first.ID() {
			t.Fatal(c, err)
		}
		time.Sleep(time.Second) // for the session ticket
		first.Close(0, "")

		start := time.Now()
		c, err := w.client.Dial(w.ctx(), serverAddr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Dial took %v although a session allows early data", d)
		}
		fmt.Fprint(w.open(c, conn.Bidi), "early")
		server, err := w.server.Accept(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		s := w.accept(server)
		b := make([]byte, 5)
		_, err = io.ReadFull(s, b)
		if string(b) != "early" || err != nil || !s.Early() {
			t.Errorf("read %q, %v; early: %v", b, err, s.Early())
		}
		if d := time.Since(start); d != 50*time.Millisecond {
			t.Errorf("the early data came after %v, want 50ms", d)
		}
		time.Sleep(time.Second)
		if s := w.server.Stats(); s.Connected != 2 {
			t.Errorf("%d connections, want 2", s.Connected)
		}
	})
}

// TestOpenBeforeRejection: a stream that was opened after the rejection of early data, but before
// the loop has come to that event, goes on.
func TestOpenBeforeRejection(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		fmt.Fprint(a, "before ")
		a.Conn().Do(w.ctx(), func(time.Time, *conn.Conn) { loop.RejectEarly(a.Conn()) })
		fmt.Fprint(a, "and after")
		a.CloseWrite()
		if got, err := io.ReadAll(b); string(got) != "before and after" || err != nil {
			t.Errorf("the peer read %q, %v", got, err)
		}
	})
}

// TestRejectedAfterClose: a stream that was closed before its early data is rejected is released
// then, and not when the connection ends.
func TestRejectedAfterClose(t *testing.T) {
	link := conntest.Link{Delay: 50 * time.Millisecond}
	reject := func(c *conn.Config) {
		c.Enable0RTT = true
		c.AcceptEarlyData = func([]byte) bool { return false }
	}
	run(t, setup{link: link, server: serverConfig(reject)}, func(t *testing.T, w *world) {
		cfg := conntest.ClientConfig()
		cfg.Enable0RTT = true
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		cfg.TLS.ServerName = "lazo.test"
		dial := func() *loop.Conn {
			c, err := w.client.Dial(w.ctx(), serverAddr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := dial()
		time.Sleep(time.Second) // for the session ticket
		first.Close(0, "")

		c := dial()
		closed, open := w.open(c, conn.Bidi), w.open(c, conn.Bidi)
		for _, s := range []*loop.Stream{closed, open} {
			if _, err := fmt.Fprint(s, "early"); err != nil {
				t.Fatal(err)
			}
		}
		closed.Close()
		time.Sleep(time.Second)
		if _, err := open.Write([]byte("late")); !errors.Is(err, conn.ErrEarlyDataRejected) {
			t.Fatalf("Write: %v", err)
		}
		held := func() (n int) {
			c.Do(w.ctx(), func(time.Time, *conn.Conn) { n = loop.Streams(c) })
			return n
		}
		if n := held(); n != 1 {
			t.Errorf("%d streams are held, want the one that is open", n)
		}
		open.Close()
		time.Sleep(time.Second)
		if n := held(); n != 0 {
			t.Errorf("%d streams are held, want none", n)
		}
	})
}

// onceCache returns again and again the session that it got first.
type onceCache struct {
	mu   sync.Mutex
	s    *tls.ClientSessionState
	came chan struct{}
}

func (c *onceCache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s, c.s != nil
}

func (c *onceCache) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s == nil {
		c.s = s
		close(c.came)
	}
}

// TestEarlyDataReplayedToAnotherLoop: a Group takes early data only once from each ticket,
// whichever of its loops gets it.
func TestEarlyDataReplayedToAnotherLoop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := loop.Listen("udp", "127.0.0.1:0", 2, serverConfig(func(c *conn.Config) { c.Enable0RTT = true }))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := loop.New(nil, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cache := &onceCache{came: make(chan struct{})}
	cfg := conntest.ClientConfig()
	cfg.Enable0RTT = true
	cfg.TLS.ClientSessionCache = cache
	cfg.TLS.ServerName = "lazo.test"
	dial := func() (early bool) {
		c, err := client.Dial(ctx, server.LocalAddr().String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(0, "")
		s, err := c.OpenStream(ctx, conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(s, "early")
		for complete := false; !complete; time.Sleep(time.Millisecond) {
			if err := c.Do(ctx, func(_ time.Time, c *conn.Conn) {
				complete, early = c.HandshakeComplete(), c.EarlyDataAccepted()
			}); err != nil {
				t.Fatal(err)
			}
		}
		<-cache.came
		return early
	}
	dial()
	taken := 0
	both := func() bool {
		for _, l := range server.Loops() {
			n := uint64(0)
			if err := l.Do(ctx, func(time.Time) { n = l.Endpoint().Stats().Accepted }); err != nil {
				t.Fatal(err)
			}
			if n < 3 { // one of them had the first connection
				return false
			}
		}
		return true
	}
	for !both() {
		if dial() {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("early data was taken %d times", taken)
	}
}
