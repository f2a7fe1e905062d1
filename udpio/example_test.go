package udpio_test

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// newMessages returns messages with room for what the kernel joins.
func newMessages(n int) []udpio.Message {
	ms := make([]udpio.Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, 64<<10)
	}
	return ms
}

// echo sends back what it reads, from the address at which it came.
func echo(s *udpio.Socket) {
	in := newMessages(8)
	for {
		n, err := s.ReadBatch(in, time.Time{})
		if err != nil {
			return
		}
		for out := in[:n]; len(out) > 0; { // what is read can be written as it is
			n, err := s.WriteBatch(out)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				out = out[n+1:] // the error is about this message
			default:
				out = nil // all, or full: then an echo may be lost
			}
		}
	}
}

func Example() {
	server, err := udpio.Listen("udp", "[::]:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go echo(server)

	client, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.LocalAddr().Port())
	// Three datagrams, written as one message.
	_, err = client.WriteBatch([]udpio.Message{{Buf: []byte("onetwo3"), SegmentSize: 3, Remote: to}})
	if err != nil {
		log.Fatal(err)
	}

	in := newMessages(8)
	deadline := time.Now().Add(30 * time.Second)
	for got := 0; got < 3; {
		n, err := client.ReadBatch(in, deadline)
		if n == 0 {
			log.Fatal("no answer ", err)
		}
		for _, m := range in[:n] {
			size := m.SegmentSize
			if size == 0 {
				size = len(m.Buf)
			}
			for b := m.Buf; len(b) > 0; b = b[min(size, len(b)):] {
				fmt.Printf("%s\n", b[:min(size, len(b))])
				got++
			}
		}
	}
	// Output:
	// one
	// two
	// 3
}
