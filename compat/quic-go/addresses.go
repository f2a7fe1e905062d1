package quic

import (
	"net"
	"net/netip"
	"sync"
)

// maxAddresses bounds what an addressBook holds: peers choose their addresses.
const maxAddresses = 4096

// An addressBook is a net.PacketConn of a program. It writes to the same net.Addr values that the
// program dials, or that packets came from. The net.PacketConn may tell 4-byte from 16-byte IP
// addresses, or need a net.Addr type of its own.
type addressBook struct {
	net.PacketConn

	mu    sync.Mutex
	known map[netip.AddrPort]net.Addr
}

// note remembers an address.
func (b *addressBook) note(a net.Addr) {
	key, err := addrPort(a)
	if err != nil {
		return
	}
	key = unmapped(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[key]; ok {
		return
	}
	if b.known == nil || len(b.known) >= maxAddresses {
		b.known = make(map[netip.AddrPort]net.Addr)
	}
	b.known[key] = a
}

// ReadFrom reads from the program's net.PacketConn, and remembers the address.
func (b *addressBook) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := b.PacketConn.ReadFrom(p)
	if err == nil && a != nil {
		b.note(a)
	}
	return n, a, err
}

// WriteTo writes to the program's net.PacketConn, with the address in the form that was remembered.
func (b *addressBook) WriteTo(p []byte, a net.Addr) (int, error) {
	if key, err := addrPort(a); err == nil {
		if own := b.find(key); own != nil {
			a = own
		}
	}
	return b.PacketConn.WriteTo(p, a)
}

// find returns an address in the form that was remembered, or nil.
func (b *addressBook) find(key netip.AddrPort) net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[unmapped(key)]
}
