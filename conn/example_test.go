package conn_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// Two endpoints, joined by nothing but function calls: what one transmits, the other receives. A
// real program puts a socket between them: see examples/byhand.
func ExampleEndpoint() {
	server, err := conn.NewEndpoint(&conn.EndpointConfig{Rand: rand.Reader, Server: conntest.ServerConfig()})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	client, err := conn.NewEndpoint(&conn.EndpointConfig{Rand: rand.Reader})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	serverAddr := netip.MustParseAddrPort("10.0.0.1:443")
	clientAddr := netip.MustParseAddrPort("10.0.0.2:5000")
	now := time.Now()
	if _, err := client.Dial(now, conn.Target{Remote: serverAddr}, conntest.ClientConfig()); err != nil {
		panic(err)
	}

	buf := make([]byte, 65536)
	done := false
	// turn runs one side. It runs timers, handles events, and passes datagrams to the other side.
	turn := func(e, other *conn.Endpoint, addr netip.AddrPort, handle func(conn.Event)) {
		e.HandleTimeout(now)
		for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
			handle(ev)
		}
		for b, ok := e.Transmit(now, buf, 1); ok; b, ok = e.Transmit(now, buf, 1) {
			other.Receive(now, conn.Datagram{Data: buf[:b.N], Remote: addr})
		}
	}
	for !done {
		turn(client, server, clientAddr, func(ev conn.Event) {
			if ev.Kind == conn.EventConnected {
				s, _ := ev.Conn.OpenStream(conn.Uni)
				io.WriteString(s, "hello")
				s.CloseWrite()
				s.Release()
			}
		})
		turn(server, client, serverAddr, func(ev conn.Event) {
			if ev.Kind == conn.EventStreamReadable {
				b, err := ev.Stream.Peek(5)
				fmt.Printf("%s, on stream %d\n", b, ev.Stream.ID())
				ev.Stream.Discard(len(b))
				if !errors.Is(err, conn.ErrWouldBlock) {
					ev.Stream.Release()
				}
				done = true
			}
		})
		now = now.Add(time.Millisecond)
	}
	// Output: hello, on stream 2
}

// Version-independent headers are what a balancer routes by.
func ExampleParseHeader() {
	// a short header, with an ID of 8 bytes
	packet := []byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff}
	h, ok := conn.ParseHeader(packet, func([]byte) int { return 8 })
	fmt.Printf("%t %t %x\n", ok, h.Long, h.DCID)
	// Output: true false 0102030405060708
}
