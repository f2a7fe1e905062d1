package loop_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestWriteDatagram: datagrams that are not QUIC are sent and received through the socket of the
// loops, while connections use it.
func TestWriteDatagram(t *testing.T) {
	noLeaks(t)
	stranger, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	cfg := serverConfig(withDatagrams(0))
	type other struct {
		data   string
		remote netip.AddrPort
	}
	others := make(chan other, 10)
	cfg.Endpoint.NonQUIC = func(_ time.Time, d conn.Datagram) { others <- other{string(d.Data), d.Remote} }
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	if err != nil {
		t.Fatal(err)
	}
	go serveEcho(t, g)
	c, err := loop.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStream(within(t), conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		transfer(t, s, 4<<20, 5)
	}()
	to := stranger.LocalAddr().(*net.UDPAddr).AddrPort()
	b := make([]byte, 100)
	for i := range 20 {
		ping := []byte{0, 1, byte(i)}
		if err := g.WriteDatagram(ping, to); err != nil {
			t.Fatal(err)
		}
		ping[2] = 99 // it is a copy
		n, from, err := stranger.ReadFromUDPAddrPort(b)
		if err != nil || from != g.LocalAddr() || string(b[:n]) != string([]byte{0, 1, byte(i)}) {
			t.Fatalf("%x from %v, %v", b[:n], from, err)
		}
		stranger.WriteToUDPAddrPort([]byte{1, 1, byte(i)}, from)
		if got := <-others; got != (other{string([]byte{1, 1, byte(i)}), to}) {
			t.Errorf("got %x from %v", got.data, got.remote)
		}
	}
	<-done
	c.Close(0, "")
	for _, bad := range []struct {
		n  int
		to netip.AddrPort
	}{{0, to}, {70000, to}, {1, netip.AddrPort{}}} {
		if err := g.WriteDatagram(make([]byte, bad.n), bad.to); err == nil {
			t.Errorf("%d bytes to %v can be sent", bad.n, bad.to)
		}
	}
	g.Close()
	if err := g.WriteDatagram([]byte{0}, to); err == nil {
		t.Error("a Group that is closed sends")
	}
}
