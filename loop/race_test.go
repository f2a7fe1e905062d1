package loop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
	"github.com/lazoquic/lazo/udpio"
)

// A counted is a Backend that notes the order in which addresses first got datagrams.
type counted struct {
	loop.Backend
	tried []netip.AddrPort // of the loop's goroutine
}

func (c *counted) WriteBatch(ms []udpio.Message) (int, error) {
	for _, m := range ms {
		if !slices.Contains(c.tried, m.Remote) {
			c.tried = append(c.tried, m.Remote)
		}
	}
	return c.Backend.WriteBatch(ms)
}

// raced runs f with a client for which every name has the given addresses. Only serverAddr answers.
// The round trip takes 40 ms.
func raced(t *testing.T, ips []string, f func(t *testing.T, g *loop.Group, b *counted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := looptest.New(t, 1, conntest.Link{Delay: 20 * time.Millisecond})
		server, err := loop.New(serverConfig(func(c *conn.Config) { c.Enable0RTT = true }), net.Listen(serverAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		b := &counted{Backend: net.Listen("[::]:5000")}
		lookup := func(context.Context, string) (addrs []netip.Addr, err error) {
			for _, ip := range ips {
				addrs = append(addrs, netip.MustParseAddr(ip))
			}
			return addrs, nil
		}
		client, err := loop.New(&loop.Config{LookupIP: lookup}, b)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		f(t, client, b)
	})
}

// connect dials and returns how long that took.
func connect(t *testing.T, g *loop.Group, cfg *conn.Config) (*loop.Conn, time.Duration) {
	t.Helper()
	start := time.Now()
	c, err := g.Dial(t.Context(), "server.test:443", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, time.Since(start)
}

// TestLookupIPKeepsItsResult: LookupIP may return the same slice again and again.
func TestLookupIPKeepsItsResult(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:10.0.0.1")
	cached := []netip.Addr{mapped}
	synctest.Test(t, func(t *testing.T) {
		net := looptest.New(t, 1, conntest.Link{Delay: 20 * time.Millisecond})
		server, err := loop.New(serverConfig(nil), net.Listen(serverAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		lookup := func(context.Context, string) ([]netip.Addr, error) { return cached, nil }
		client, err := loop.New(&loop.Config{LookupIP: lookup}, net.Listen("10.0.0.2:5000"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if c, _ := connect(t, client, conntest.ClientConfig()); c.RemoteAddr().String() != serverAddr {
			t.Errorf("connected to %v", c.RemoteAddr())
		}
		if cached[0] != mapped {
			t.Errorf("the slice of LookupIP has %v now", cached[0])
		}
	})
}

// TestRace: each address that does not answer costs 250 ms, and the families take turns. The next
// connection begins with the address that answered (RFC 8305).
func TestRace(t *testing.T) {
	ips := []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "10.0.0.1", "10.0.0.9"}
	raced(t, ips, func(t *testing.T, g *loop.Group, b *counted) {
		c, took := connect(t, g, conntest.ClientConfig())
		if c.RemoteAddr().String() != serverAddr {
			t.Errorf("connected to %v", c.RemoteAddr())
		}
		// IPv6, then IPv4 after 250 ms, and one round trip.
		if took < 290*time.Millisecond || took > 300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		want := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:443"), netip.MustParseAddrPort(serverAddr)}
		if !slices.Equal(b.tried, want) {
			t.Errorf("tried %v", b.tried)
		}
		time.Sleep(time.Second) // the other attempt ends
		if err := c.Do(t.Context(), func(time.Time, *conn.Conn) { b.tried = nil }); err != nil {
			t.Fatal(err)
		}
		if _, took := connect(t, g, conntest.ClientConfig()); took > 50*time.Millisecond {
			t.Errorf("the second took %v", took)
		}
		if len(b.tried) != 1 {
			t.Errorf("the second tried %v", b.tried)
		}
		if n := g.Stats().Conns; n != 2 {
			t.Errorf("there are %d connections", n)
		}
	})
}

// TestRaceEnds: nobody answers, or the caller gives up. The error has each address. Nothing is left
// over.
func TestRaceEnds(t *testing.T) {
	ips := []string{"2001:db8::1", "10.0.0.8", "10.0.0.9"}
	raced(t, ips, func(t *testing.T, g *loop.Group, b *counted) {
		start := time.Now()
		_, err := g.Dial(t.Context(), "server.test:443", conntest.ClientConfig())
		if !errors.Is(err, conn.ErrHandshakeTimeout) {
			t.Error(err)
		}
		// All three at the same time, 250 ms apart.
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		want := "loop: dial server.test:443: [2001:db8::1]:443: conn: handshake timeout; " +
			"10.0.0.8:443: conn: handshake timeout; 10.0.0.9:443: conn: handshake timeout"
		if err.Error() != want {
			t.Errorf("error %q", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Dial(ctx, "server.test:443", conntest.ClientConfig()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if n := g.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// TestRaceEarlyData: as long as no address has answered, none gets early data. After that, the one
// that answered gets it.
func TestRaceEarlyData(t *testing.T) {
	raced(t, []string{"2001:db8::1", "10.0.0.1"}, func(t *testing.T, g *loop.Group, _ *counted) {
		cfg := conntest.ClientConfig()
		cfg.Enable0RTT = true
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for i, least := range []time.Duration{290 * time.Millisecond, 0} {
			c, took := connect(t, g, cfg)
			if took < least || i == 1 && took > 0 {
				t.Errorf("connection %d took %v", i, took)
			}
			time.Sleep(time.Second) // the session ticket arrives
			c.Close(0, "")
		}
	})
}
