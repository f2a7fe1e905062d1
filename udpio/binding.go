package udpio

import (
	"net"
	"net/netip"
)

// A binding is the address that a socket is bound to, and the kinds of addresses that it can reach.
type binding struct {
	local    netip.AddrPort // zero if unknown
	wildcard bool           // bound to no particular address
	no4, no6 bool           // the families that it cannot send to
}

// fixed returns the local address of all datagrams, or zero if each has its own.
func (b *binding) fixed() netip.AddrPort {
	if b.wildcard {
		return netip.AddrPort{}
	}
	return b.local
}

// reaches reports whether the socket can send to addr.
func (b *binding) reaches(addr netip.Addr) bool {
	if addr.Is4() || addr.Is4In6() {
		return !b.no4
	}
	return !b.no6
}

// owns reports whether local is an address of the socket.
func (b *binding) owns(local netip.AddrPort) bool {
	return b.local == local ||
		b.wildcard && b.local.Port() == local.Port() && b.reaches(local.Addr())
}

// source returns the source address that a message asks for. It is invalid if the kernel is to
// choose one.
func (b *binding) source(m *Message) netip.Addr {
	if !b.wildcard || m.Local.Addr().IsUnspecified() {
		return netip.Addr{}
	}
	return m.Local.Addr()
}

// addrPort converts a. It returns the zero AddrPort if a is no UDP address.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case interface{ AddrPort() netip.AddrPort }:
		ap = a.AddrPort() // a *net.UDPAddr may be nil
	default:
		ap, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
