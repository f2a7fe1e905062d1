package loop_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestEarlyData accepts a connection at its start, as it brings early data: half a
// round trip after it was dialed.
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
