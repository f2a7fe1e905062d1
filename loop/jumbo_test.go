package loop_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestLargeDatagramBehindBurst: a turn has room for a datagram of any size behind what other
// connections send.
func TestLargeDatagramBehindBurst(t *testing.T) {
	server := serverConfig(func(c *conn.Config) {
		c.InitialMTU, c.MaxMTU, c.MaxUDPPayloadSize = 9000, 9000, 10000
		c.MaxDatagramFrameSize = 65535
	})
	client := func(c *conn.Config) {
		c.MaxMTU, c.MaxUDPPayloadSize = 1200, 10000
		c.MaxDatagramFrameSize = 65535
	}
	link := conntest.Link{Delay: 200 * time.Millisecond, MTU: 65535}
	run(t, setup{link: link, server: server}, func(t *testing.T, w *world) {
		_, one := w.dial(client)
		receiver, other := w.dial(client)
		time.Sleep(5 * time.Second) // what a new connection has to say is over
		var second *conn.Conn
		other.Do(w.ctx(), func(_ time.Time, cc *conn.Conn) { second = cc })
		one.Do(w.ctx(), func(_ time.Time, first *conn.Conn) {
			for i, cc := range []*conn.Conn{first, second} {
				if _, err := cc.SendDatagram(make([]byte, 8000+900*i), conn.DatagramOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
		if n, err := receiver.ReceiveDatagram(w.ctx(), make([]byte, 10000)); n != 8900 || err != nil {
			t.Errorf("got %d bytes, %v", n, err)
		}
	})
}

// TestReadsWhatItAnnounces: a loop whose Endpoint dials by itself reads into buffers of the size
// that its connections announce.
func TestReadsWhatItAnnounces(t *testing.T) {
	for _, test := range []struct {
		size  int
		short bool
	}{{0, true}, {2048, true}, {9000, false}} {
		s, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Caps().ShortBufs {
			t.Skip("this system has no GRO")
		}
		g, err := loop.New(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		cfg := conntest.ClientConfig()
		cfg.MaxUDPPayloadSize = test.size
		l := g.Loops()[0]
		l.Do(t.Context(), func(now time.Time) {
			if !l.ReadsShort() {
				t.Error("a loop of a client begins with long buffers")
			}
			if _, err := l.Endpoint().Dial(now, conn.Target{Remote: s.LocalAddr(), ServerName: "lazo.test"}, cfg); err != nil {
				t.Error(err)
			}
		})
		l.Do(t.Context(), func(time.Time) {}) // a turn has read
		l.Do(t.Context(), func(time.Time) {
			if got := l.ReadsShort(); got != test.short {
				t.Errorf("with %d bytes announced it reads into short buffers: %v", test.size, got)
			}
		})
	}
}
