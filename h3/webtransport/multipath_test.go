package webtransport

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestMultipath: a session goes on while each of the two networks of its client fails in turn:
// streams of both sides, and datagrams.
func TestMultipath(t *testing.T) {
	change := func(w *world) {
		w.link = conntest.Link{Delay: delay, Rate: 50e6, Queue: 100_000}
		w.d.Multipath = loop.Multipath{MaxPaths: 4, Watch: twoInterfaces}
		w.srv.QUICConfig = &conn.Config{MaxPaths: 4}
	}
	run(t, change, func(t *testing.T, w *world) {
		client, server := w.dial()
		go echo(server)
		for len(client.Conn().Paths()) < 2 {
			require.NoError(t, exchange(w.ctx(), client, 1<<10))
		}
		require.NoError(t, exchange(w.ctx(), client, 1<<20))
		dead := conntest.Link{Filter: func(*conntest.Packet) bool { return false }}
		for i := range 4 {
			for _, link := range []conntest.Link{dead, w.link} {
				local := []string{"10.0.0.2:5000", "10.1.0.2:5000"}[i%2]
				w.net.Connect(local, "10.0.0.1:443", link)
				w.net.Connect("10.0.0.1:443", local, link)
				require.NoError(t, exchange(w.ctx(), client, 1<<18))
				pingPong(t, w, client, byte(i))
			}
		}
		paths := client.Conn().Paths()
		require.Len(t, paths, 2)
		for _, p := range paths {
			require.Greater(t, p.BytesReceived, uint64(1<<18), "path %d", p.ID)
		}
		require.NoError(t, client.Close())
	})
}

// twoInterfaces is a Watch for a Dialer.
func twoInterfaces(ctx context.Context, _ netip.Addr, report func([]udpio.Interface)) error {
	report([]udpio.Interface{
		{Name: "wlan0", Index: 2, Addr: netip.MustParseAddr("10.0.0.2"), Preferred: true},
		{Name: "wwan0", Index: 3, Addr: netip.MustParseAddr("10.1.0.2")},
	})
	<-ctx.Done()
	return ctx.Err()
}

// pingPong sends datagrams until one comes back.
func pingPong(t *testing.T, w *world, s *Session, mark byte) {
	t.Helper()
	done := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			if s.SendDatagram(w.ctx(), []byte{mark}, 0) != nil {
				return
			}
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	got := make([]byte, 2)
	for {
		n, err := s.ReceiveDatagram(w.ctx(), got)
		require.NoError(t, err)
		if n == 1 && got[0] == mark {
			break
		}
	}
	close(done)
	<-sent
}
