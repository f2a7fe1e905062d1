package loop_test

import (
	"context"
	"crypto/tls"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// slowTLS returns the configuration of a server that takes some time for each ClientHello, and
// counts those that it has begun with. With one core there are four workers.
func slowTLS(each time.Duration) (cfg *loop.Config, begun *atomic.Int64) {
	begun = new(atomic.Int64)
	cfg = serverConfig(func(c *conn.Config) {
		c.TLS = c.TLS.Clone()
		c.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			begun.Add(1)
			time.Sleep(each)
			return nil, nil
		}
	})
	return cfg, begun
}

// echoOnce connects and has one byte come back, which takes a complete handshake of the server. It
// gives up after some time.
func (w *world) echoOnce(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := w.client.Dial(ctx, serverAddr, conntest.ClientConfig())
	if err != nil {
		return err
	}
	defer c.Close(0, "")
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return err
	}
	defer s.Close()
	if end, ok := ctx.Deadline(); ok {
		s.SetDeadline(end)
	}
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}

// TestBegunHandshakesGoFirst: 60 clients come at once. Some of their handshakes end before most
// have begun. If the steps of all waited in the order in which they come, none would.
func TestBegunHandshakesGoFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const clients = 60
	cfg, begun := slowTLS(20 * time.Millisecond) // 300 ms for all: no client waits too long
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		var first sync.Once
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				if err := w.echoOnce(time.Hour); err != nil {
					t.Error(err)
				}
				first.Do(func() {
					if n := begun.Load(); n > clients/2 {
						t.Errorf("%d of %d handshakes had begun when the first one ended", n, clients)
					}
				})
			})
		}
		all.Wait()
	})
}

// TestMoreClientsThanCanBeServed: twice as many clients come as the server has time for, and they
// give up after two seconds. The server still completes about as many handshakes as it has time
// for. If the clients waited in the order in which they come, it would work for those that are
// about to give up, and serve hardly any.
func TestMoreClientsThanCanBeServed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	cfg, _ := slowTLS(200 * time.Millisecond)
	const seconds, rate = 8, 40
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		var served atomic.Int64
		var all sync.WaitGroup
		for i := range seconds * rate {
			all.Go(func() {
				if w.echoOnce(2*time.Second) == nil && i >= seconds*rate/2 {
					served.Add(1)
				}
			})
			time.Sleep(time.Second / rate)
		}
		all.Wait()
		time.Sleep(time.Minute) // until the workers have ended
		if n := served.Load(); n < seconds/2*rate/4 {
			t.Errorf("%d of the last %d clients were served, and there is time for half of them", n, seconds/2*rate)
		} else {
			t.Logf("%d of the last %d clients were served", n, seconds/2*rate)
		}
	})
}

// TestClientsThatLeaveAreForgotten: more clients come than the server has time for, and most give
// up soon. Those that do not, and came first, do not keep the server from forgetting the others.
func TestClientsThatLeaveAreForgotten(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	cfg, _ := slowTLS(200 * time.Millisecond)
	const patient, clients, rate = 40, 1000, 100
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		var all sync.WaitGroup
		for i := range clients {
			stays := 700 * time.Millisecond
			if i < patient {
				stays = time.Minute
			}
			all.Go(func() { w.echoOnce(stays) })
			time.Sleep(time.Second / rate)
		}
		// About 70 have come in the last 700 ms.
		if n := loop.WaitingHandshakes(w.server); n > 2*(patient+100) {
			t.Errorf("%d handshakes wait", n)
		} else {
			t.Logf("%d handshakes wait", n)
		}
		all.Wait()
		time.Sleep(time.Minute)
	})
}
