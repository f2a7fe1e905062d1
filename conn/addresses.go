package conn

import "net/netip"

// unmap turns an IPv4 address that is mapped to IPv6 into the IPv4 address.
func unmap(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}

// canonicalRemote returns the source address of datagrams from a host at a. Sockets also take other
// spellings of it, which no datagram matches. An unspecified address means this host (RFC 4291,
// Section 2.5.2 does not allow it as a destination). A zone means nothing except with a link-local
// address (RFC 4007, Section 6).
func canonicalRemote(a netip.AddrPort) netip.AddrPort {
	addr := a.Addr().Unmap()
	if !isLinkLocal(addr) {
		addr = addr.WithZone("")
	}
	switch addr {
	case netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		addr = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(addr, a.Port())
}

func isLinkLocal(a netip.Addr) bool { return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() }
