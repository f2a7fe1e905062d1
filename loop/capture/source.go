package capture

import (
	"net"
	"net/netip"
)

// maxSources bounds how many peers' addresses are remembered.
const maxSources = 1024

// A source finds the addresses that the kernel sends from, for sockets that are bound to none. All
// datagrams of a connection must show the same address, or readers take them for two connections.
type source map[netip.Addr]netip.Addr // by the address of the peer

// of returns local, with the address that the kernel uses for datagrams from and to remote.
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

// routed returns the address from which the kernel would send to remote. If the kernel does not
// know, it returns the unspecified address of the same family. Nothing is sent.
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
