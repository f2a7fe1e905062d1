package capture

import (
	"net"
	"net/netip"
)

// maxSources bounds how many peers' addresses are remembered.
const maxSources = 1024

// A source finds the addresses that the kernel sends from, where a socket has none of its own. All
// datagrams of a connection must show the same one, or readers take them for two.
type source map[netip.Addr]netip.Addr // by the peer's

// of returns local with an address that datagrams from and to remote have.
func (s source) of(local, remote netip.AddrPort) netip.AddrPort {
	if !remote.IsValid() || local.IsValid() && !local.Addr().IsUnspecified() {
		return local
	}
	addr, ok := s[remote.Addr()]
	if !ok {
		if len(s) >= maxSources {
			clear(s)
		}
		addr = routed(remote)
		s[remote.Addr()] = addr
	}
	return netip.AddrPortFrom(addr, local.Port())
}

// routed returns the address that the kernel would send to remote from: the unspecified one of the
// same family if it does not know. Nothing is sent.
func routed(remote netip.AddrPort) netip.Addr {
	if c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote)); err == nil {
		defer c.Close()
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			return a.AddrPort().Addr().Unmap()
		}
	}
	if remote.Addr().Unmap().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
