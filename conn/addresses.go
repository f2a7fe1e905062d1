package conn

import "net/netip"

// unmap turns an IPv4 address that is mapped to IPv6 into the IPv4 address.
func unmap(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}

// canonical returns an address in the form that received datagrams have. Sockets also take other
// spellings of it. A zone means nothing except with a link-local address (RFC 4007, Section 6).
func canonical(a netip.AddrPort) netip.AddrPort {
	addr := a.Addr().Unmap()
	if !isLinkLocal(addr) {
		addr = addr.WithZone("")
	}
	return netip.AddrPortFrom(addr, a.Port())
}

// canonicalRemote returns the source address of datagrams from a host at a. An unspecified address
// means this host (RFC 4291, Section 2.5.2 does not allow it as a destination).
func canonicalRemote(a netip.AddrPort) netip.AddrPort {
	a = canonical(a)
	switch a.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	}
	return a
}

func isLinkLocal(a netip.Addr) bool { return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() }
