package loop_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestDialVersion dials a server that does not speak the client's first version. It costs a round
// trip.
func TestDialVersion(t *testing.T) {
	only2 := func(c *conn.Config) { c.Versions = []uint32{conn.Version2} }
	link := conntest.Link{Delay: 50 * time.Millisecond}
	run(t, setup{link: link, server: serverConfig(only2)}, func(t *testing.T, w *world) {
		start := time.Now()
		client, server := w.dial(nil)
		if took := time.Since(start); took < 200*time.Millisecond || took > 300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if client.ID() != server.ID() {
			t.Errorf("the client names the connection %v, the server %v", client.ID(), server.ID())
		}
		client.Do(w.ctx(), func(_ time.Time, c *conn.Conn) {
			if c.Version() != conn.Version2 {
				t.Errorf("version %#x", c.Version())
			}
		})
	})
}
