package main

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// mobile is the client's address on the second network. The first has 127.0.0.1.
var mobile = netip.AddrFrom4([4]byte{127, 0, 0, 2})

// A relay passes datagrams between clients and a server, and plays the networks in between.
type relay struct {
	conn     *net.UDPConn // towards the clients
	server   netip.AddrPort
	networks [2]network // wifi and mobile

	mu   sync.Mutex
	legs map[netip.AddrPort]*net.UDPConn // towards the server, by client
}

// A network has a rate, a delay and a queue, and can be dead.
type network struct {
	delay    time.Duration // one way
	down, up wire
	isDead   atomic.Bool
}

// A wire is one direction of a network.
type wire struct {
	rate float64 // bit/s
	mu   sync.Mutex
	free time.Time // when it has sent all that waits
}

// maxQueue is how long a datagram may wait for those before it. Longer queues drop it.
const maxQueue = 50 * time.Millisecond

func newRelay(server netip.AddrPort, rate float64) (*relay, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	r := &relay{conn: c, server: server, legs: make(map[netip.AddrPort]*net.UDPConn)}
	for i, delay := range [2]time.Duration{10 * time.Millisecond, 30 * time.Millisecond} {
		n := &r.networks[i]
		n.delay, n.down.rate, n.up.rate = delay, rate/float64(1+i), rate/float64(1+i)
	}
	go r.fromClients()
	return r, nil
}

func (r *relay) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// kill says which networks are dead.
func (r *relay) kill(wifi, mobile bool) {
	r.networks[0].isDead.Store(wifi)
	r.networks[1].isDead.Store(mobile)
}

func (r *relay) dead() [2]bool {
	return [2]bool{r.networks[0].isDead.Load(), r.networks[1].isDead.Load()}
}

// close ends all reading.
func (r *relay) close() {
	r.conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, leg := range r.legs {
		leg.Close()
	}
}

// fromClients passes on what clients send.
func (r *relay) fromClients() {
	for b := make([]byte, 1<<16); ; {
		n, client, err := r.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		net := &r.networks[0]
		if client.Addr().Unmap() == mobile {
			net = &r.networks[1]
		}
		leg, err := r.leg(net, client)
		if err != nil {
			return
		}
		net.pass(&net.up, b[:n], func(b []byte) { leg.Write(b) })
	}
}

// leg returns the socket that stands for a client towards the server.
func (r *relay) leg(n *network, client netip.AddrPort) (*net.UDPConn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if leg := r.legs[client]; leg != nil {
		return leg, nil
	}
	leg, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return nil, err
	}
	r.legs[client] = leg
	go func() {
		for b := make([]byte, 1<<16); ; {
			k, err := leg.Read(b)
			if err != nil {
				return
			}
			n.pass(&n.down, b[:k], func(b []byte) { r.conn.WriteToUDPAddrPort(b, client) })
		}
	}()
	return leg, nil
}

// pass has a copy of b written when it has crossed the network, unless that loses it.
func (n *network) pass(w *wire, b []byte, write func([]byte)) {
	if n.isDead.Load() {
		return
	}
	now := time.Now()
	w.mu.Lock()
	wait := max(w.free.Sub(now), 0)
	if wait > maxQueue {
		w.mu.Unlock()
		return
	}
	wait += time.Duration(float64(len(b)) * 8 / w.rate * float64(time.Second))
	w.free = now.Add(wait)
	w.mu.Unlock()
	b = append([]byte(nil), b...)
	time.AfterFunc(wait+n.delay, func() { write(b) })
}
