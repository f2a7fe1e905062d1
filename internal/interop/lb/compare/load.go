package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/udpio"
)

// A load is what clients do.
type load struct {
	name    string
	clients int
	burst   int // datagrams that each client has in flight
}

// loads are all of them.
func loads() []load {
	return []load{{"8 clients, bursts of 16", 8, 16}, {"64 clients, single datagrams", 64, 1}}
}

// key encrypts server IDs. It has 16 bytes, in hexadecimal in the configuration of the balancer.
var key = [16]byte{0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80, 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f}

// ids is the format of connection IDs, for server i.
func ids(i int) quiclb.Config {
	return quiclb.Config{ServerID: []byte{10, byte(i)}, NonceLen: 6, Key: &key}
}

// echo sends back what comes to a socket, until it is closed.
func echo(s *udpio.Socket) {
	ms := make([]udpio.Message, 32)
	for i := range ms {
		ms[i].Buf = make([]byte, 64<<10)
	}
	for {
		n, err := s.ReadBatch(ms, time.Time{})
		if err != nil {
			return
		}
		for out := ms[:n]; len(out) > 0; {
			sent, err := s.WriteBatch(out)
			if err != nil {
				return
			}
			if out = out[sent:]; len(out) > 0 {
				out = out[1:] // no room: it is lost, as in a network
			}
		}
	}
}

// A client has a socket, and the datagrams of a burst.
type client struct {
	socket *udpio.Socket
	burst  udpio.Message
	in     []udpio.Message
	count  int // datagrams of a burst
}

// newClient makes client i of a load, which sends to a proxy.
func newClient(i int, l *load, size int, proxy netip.AddrPort) (*client, error) {
	socket, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	source, err := quiclb.NewSource(ids(i%2), rand.Reader)
	if err != nil {
		return nil, err
	}
	var id [20]byte
	n := source.Generate(&id)
	c := &client{socket: socket, count: l.burst}
	for range l.burst {
		datagram := make([]byte, size)
		rand.Read(datagram)
		datagram[0] = 0x40 // a short header
		copy(datagram[1:], id[:n])
		c.burst.Buf = append(c.burst.Buf, datagram...)
	}
	c.burst.SegmentSize, c.burst.Remote = size, proxy
	for range l.burst {
		c.in = append(c.in, udpio.Message{Buf: make([]byte, 64<<10)})
	}
	return c, nil
}

// patience is how long a client waits for the rest of a burst before it sends the next one.
const patience = 200 * time.Millisecond

// A tally is what clients have sent, and got back.
type tally struct{ sent, back int }

// run sends bursts until a time. After each it waits for all datagrams to come back.
func (c *client) run(until time.Time) (t tally, err error) {
	for now := time.Now(); now.Before(until); now = time.Now() {
		if n, err := c.socket.WriteBatch([]udpio.Message{c.burst}); err != nil {
			return t, err
		} else if n == 1 {
			t.sent += c.count
		}
		for left := c.count; left > 0; {
			n, err := c.socket.ReadBatch(c.in, now.Add(patience))
			if err != nil && !errors.Is(err, net.ErrClosed) {
				return t, err
			}
			if n == 0 {
				break
			}
			for i := range c.in[:n] {
				got := 1
				if size := c.in[i].SegmentSize; size > 0 {
					got = (len(c.in[i].Buf) + size - 1) / size
				}
				left, t.back = left-got, t.back+got
			}
		}
	}
	return t, nil
}

// turn lets the clients of a load send to a proxy for some time.
func (l *load) turn(proxy netip.AddrPort, size int, limit time.Duration) (sum tally, took time.Duration, err error) {
	var clients []*client
	defer func() {
		for _, c := range clients {
			c.socket.Close()
		}
	}()
	for i := range l.clients {
		c, err := newClient(i, l, size, proxy)
		if err != nil {
			return sum, 0, err
		}
		clients = append(clients, c)
	}
	begin := time.Now()
	tallies, errs := make([]tally, len(clients)), make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { tallies[i], errs[i] = c.run(begin.Add(limit)) })
	}
	wg.Wait()
	for _, t := range tallies {
		sum.sent, sum.back = sum.sent+t.sent, sum.back+t.back
	}
	if err := errors.Join(errs...); err != nil {
		return sum, 0, err
	}
	if sum.back == 0 {
		return sum, 0, fmt.Errorf("nothing came back through %v", proxy)
	}
	return sum, time.Since(begin), nil
}
