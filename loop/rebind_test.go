package loop_test

import (
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
)

// TestRebindingClients: a NAT gives clients of several loops other ports again and again. By
// connection ID the kernel still finds the right loop. If the kernel chooses by address, loops hand
// datagrams over. No connection notices.
func TestRebindingClients(t *testing.T) {
	t.Run("steered", func(t *testing.T) {
		noLeaks(t)
		g := listen(t, "udp4", "127.0.0.1:0", 3)
		rebind(t, g)
		st := g.Stats()
		if runtime.GOOS == "linux" && st.HandedOver*1000 > st.PacketsReceived {
			t.Errorf("%d of %d packets reached the wrong loop", st.HandedOver, st.PacketsReceived)
		}
	})
	t.Run("unsteered", func(t *testing.T) {
		noLeaks(t)
		g := unsteered(t, serverConfig(withDatagrams(0)), 3)
		rebind(t, g)
		if st := g.Stats(); st.HandedOver == 0 {
			t.Errorf("none of %d packets reached the wrong loop", st.PacketsReceived)
		}
	})
}

// rebind makes clients exchange data with g while their ports change.
func rebind(t *testing.T, g *loop.Group) {
	const clients, changes = 8, 6
	go serveEcho(t, g)
	relay, err := netrelay.New(netrelay.Config{Server: g.LocalAddr()})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	cfg := conntest.ClientConfig()
	cfg.KeepAlive = 50 * time.Millisecond // who only waits must tell where it is now
	changed := make(chan struct{})        // closed after the last change
	moved := make(chan struct{}, clients) // a token for each transfer
	var wg, first sync.WaitGroup
	first.Add(clients)
	for i := range clients {
		wg.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun()
			c, err := loop.Dial(within(t), relay.Addr().String(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(0, "")
			for last := false; !last; {
				select {
				case <-changed:
					last = true
				default:
				}
				s, err := c.OpenStream(within(t), conn.Bidi)
				if err != nil {
					t.Error(err)
					last = true
				} else {
					transfer(t, s, 300_000, uint64(i))
				}
				begun()
				select {
				case moved <- struct{}{}:
				default:
				}
			}
		})
	}
	first.Wait() // RFC 9000, Section 9: not during the handshake
	for range changes {
		for range clients {
			select {
			case <-moved:
			case <-within(t).Done():
				t.Fatal("nothing moves")
			}
		}
		if err := relay.Rebind(netip.Addr{}); err != nil {
			t.Error(err)
		}
	}
	close(changed)
	wg.Wait()
	if st := g.Stats(); st.Accepted != clients {
		t.Errorf("%d connections, want %d", st.Accepted, clients)
	}
}
