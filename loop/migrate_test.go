package loop_test

import (
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
