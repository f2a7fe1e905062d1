package netrelay

import (
	"net/netip"
	"sync"
)

// A nat gives the client other ports, and another address. It passes everything on as it is until
// rebind.
type nat struct {
	mu sync.Mutex
	// from the client's ports to those that the server sees; 0 before rebind
	shift uint32
	// the client's addresses that the server sees, for IPv4 and IPv6
	outside [2]netip.Addr
	// the client's port, by protocol and by the port that the server sees
	flows map[uint8]map[uint16]uint16
}

// rebind forgets all flows.
func (n *nat) rebind(source netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shift == 0 {
		n.outside = [2]netip.Addr{netip.MustParseAddr(ClientAddr4), netip.MustParseAddr(ClientAddr6)}
	}
	n.shift += 1009
	if source.IsValid() {
		n.outside[family(source.Is6())] = source
	}
	n.flows = map[uint8]map[uint16]uint16{protocolTCP: {}, protocolUDP: {}}
}

func family(six bool) int {
	if six {
		return 1
	}
	return 0
}

// out translates a packet that the client sends. It reports whether the packet goes on.
func (n *nat) out(p packet) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shift == 0 {
		return true
	}
	protocol, ok := p.ports()
	if !ok {
		return false
	}
	inside := p.port(source)
	port := uint16(1024 + (uint32(inside)+n.shift)%(65536-1024))
	n.flows[protocol][port] = inside
	p.rewrite(source, n.outside[family(p.is6())], port)
	return true
}

// in translates a packet for the client. It reports whether the packet goes on, which takes a flow
// that it belongs to.
func (n *nat) in(p packet) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shift == 0 {
		return true
	}
	if !p.valid() {
		return false
	}
	protocol, ok := p.ports()
	if !ok {
		return false
	}
	f := family(p.is6())
	to, _ := netip.AddrFromSlice(p.addr(destination))
	port, ok := n.flows[protocol][p.port(destination)]
	if !ok || to != n.outside[f] {
		return false
	}
	client := ClientAddr4
	if f == 1 {
		client = ClientAddr6
	}
	p.rewrite(destination, netip.MustParseAddr(client), port)
	return true
}
