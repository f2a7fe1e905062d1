package loop_test

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestMigrateInOtherSpellings: a local address may be spelled in another way than AddLocal does.
// Afterwards the connection has the address in the usual way, and goes on from there.
func TestMigrateInOtherSpellings(t *testing.T) {
	noLeaks(t)
	for _, server := range []string{"127.0.0.1:0", "[::1]:0"} {
		g := listen(t, "udp", server, 1)
		go serveEcho(t, g)
		at := g.LocalAddr()
		sock, err := udpio.Listen("udp", netip.AddrPortFrom(at.Addr(), 0).String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := loop.New(nil, sock)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := client.Dial(within(t), at.String(), conntest.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.OpenStream(within(t), conn.Bidi)
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, s)
		spellings := []string{"[::ffff:127.0.0.1]", "[::ffff:127.0.0.1%lo]", "127.0.0.1"}
		if at.Addr().Is6() {
			spellings = []string{"[::1%lo]", "[::1%1]", "[0:0:0:0:0:0:0:1]", "[::1%nonesuch]", "[::1]"}
		}
		for _, spelling := range spellings {
			local, err := sock.AddLocal("udp", netip.AddrPortFrom(at.Addr(), 0).String())
			if err != nil {
				t.Fatal(err)
			}
			spelled := netip.MustParseAddrPort(spelling + ":" + strconv.Itoa(int(local.Port())))
			if err := c.Migrate(within(t), spelled); err != nil {
				t.Errorf("to %v: %v", spelled, err)
				continue
			}
			if c.LocalAddr() != local {
				t.Errorf("to %v: the connection has %v", spelled, c.LocalAddr())
			}
			echoed(t, s)
		}
	}
}

// echoed has some bytes echoed.
func echoed(t *testing.T, s *loop.Stream) {
	t.Helper()
	s.SetDeadline(time.Now().Add(30 * time.Second))
	text := strings.Repeat("x", 1000)
	if _, err := s.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	for n := 0; n < len(b); {
		k, err := s.Read(b[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
}

// TestProbe: Probe leaves the connection where it is, and Switch moves it. A call of Probe that
// waits fails when another path is probed, and when the connection ends.
func TestProbe(t *testing.T) {
	noLeaks(t)
	g := listen(t, "udp", "127.0.0.1:0", 1)
	go serveEcho(t, g)
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := loop.New(nil, sock)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := client.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStream(within(t), conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	echoed(t, s)
	local, err := sock.AddLocal("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := c.LocalAddr()
	for range 2 {
		if err := c.Probe(within(t), local); err != nil || c.LocalAddr() != first {
			t.Fatalf("%v, and the connection is at %v", err, c.LocalAddr())
		}
	}
	for _, to := range []netip.AddrPort{local, first, local} {
		if err := c.Switch(within(t), to); err != nil || c.LocalAddr() != to {
			t.Fatalf("%v, and the connection is at %v, not %v", err, c.LocalAddr(), to)
		}
		echoed(t, s)
	}

	// The socket has no such address, so nothing gets there.
	nowhere := netip.MustParseAddrPort("192.0.2.1:9")
	// The server has no ID left for another path until it has heard that older ones are retired.
	patient := func(to netip.AddrPort) (err error) {
		for ctx := within(t); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			if err = c.Probe(ctx, to); err == nil || !strings.Contains(err.Error(), "connection ID left") {
				return err
			}
		}
		return err
	}
	var ended chan error
	probe := func() {
		done := make(chan error, 1)
		ended = done
		go func() { done <- patient(nowhere) }()
		ctx := within(t)
		for waits := 0; waits == 0; time.Sleep(time.Millisecond) {
			if err := c.Do(ctx, func(time.Time, *conn.Conn) { waits = loop.Migrations(c) }); err != nil {
				t.Fatal(err)
			}
			if len(done) > 0 {
				t.Fatal(<-done)
			}
		}
	}
	probe()
	if err := patient(first); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("nobody was there")
	}
	probe()
	c.Close(0, "")
	if err := <-ended; !errors.Is(err, conn.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Probe after Close: %v", err)
	}
}
