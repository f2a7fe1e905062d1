package quic

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// maxAddresses bounds what an addressBook holds: peers choose their addresses.
const maxAddresses = 4096

// An addressBook is a net.PacketConn of a program. It writes to the same net.Addr values that the
// program dials, or that packets came from. The net.PacketConn may tell 4-byte from 16-byte IP
// addresses, or need a net.Addr type of its own.
type addressBook struct {
	net.PacketConn
	failed func(to netip.AddrPort, err error) // a WriteTo has failed for good

	mu     sync.Mutex
	known  map[netip.AddrPort]net.Addr
	dialed net.Addr // the newest one; nil if there is none
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
	switch {
	case err != nil:
	case a == nil:
		a = b.unnamed()
	default:
		b.note(a)
	}
	return n, a, err
}

// unnamed returns the address of packets of which the net.PacketConn does not tell where they come
// from: that which was dialed last. Clients take packets from anywhere, if these name a connection
// ID.
func (b *addressBook) unnamed() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dialed == nil {
		return &net.UDPAddr{IP: net.IPv4zero}
	}
	return b.dialed
}

// dial remembers an address to which a connection goes.
func (b *addressBook) dial(a net.Addr) {
	b.note(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dialed = a
}

// WriteTo writes to the program's net.PacketConn, with the address in the form that was remembered.
func (b *addressBook) WriteTo(p []byte, a net.Addr) (int, error) {
	key, err := addrPort(a)
	if err == nil {
		if own := b.find(key); own != nil {
			a = own
		}
	}
	n, err := b.PacketConn.WriteTo(p, a)
	if err != nil && !passing(err) {
		b.failed(key, err)
	}
	return n, err
}

// passing reports whether a later WriteTo may do better. Errors of the kernel come and go with
// networks, routes and buffers.
func passing(err error) bool {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// find returns an address in the form that was remembered, or nil.
func (b *addressBook) find(key netip.AddrPort) net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[unmapped(key)]
}
