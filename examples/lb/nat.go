package main

import (
	"net/netip"

	"github.com/lazoquic/lazo/udpio"
)

// natOutlet sends from the balancer's own address. Each flow to a backend has a port of its own, so
// the backend tells clients apart, and replies find the client. The backend does not learn the
// client's address. It needs no privilege, and nothing is set on the backend.
type natOutlet struct {
	ports [2][]netip.AddrPort // by IP version and index
}

// send implements outlet.
func (o *natOutlet) send(f *forwarder, fl *flow, m udpio.Message) error {
	version := 0
	if fl.backend.addr.Addr().Is6() {
		version = 1
	}
	ports := &o.ports[version]
	for len(*ports) <= fl.port {
		local, err := f.socket.AddLocal([2]string{"udp4", "udp6"}[version], ":0")
		if err != nil {
			return err
		}
		f.ports[local.Port()] = len(*ports)
		*ports = append(*ports, local)
	}
	m.Local, m.Remote = (*ports)[fl.port], fl.backend.addr
	f.batch = append(f.batch, m)
	return nil
}

// flush implements outlet.
func (o *natOutlet) flush(*forwarder) {}

// tooBig implements outlet. The backend sends to the balancer, and not to the client, so the kernel
// there would take the client's path MTU for that of all clients. The backend finds by itself what
// passes, as every QUIC endpoint does that sends more than 1,200 bytes (RFC 9000, Section 14.3).
func (o *natOutlet) tooBig(*forwarder, *flow, netip.Addr, int, []byte) {}

// close implements outlet.
func (o *natOutlet) close() {}
