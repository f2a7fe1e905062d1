package loop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

// resolve returns the host of address, and its IP addresses that the sockets of the Group can
// reach, in the order in which to try them.
func (g *Group) resolve(ctx context.Context, address string) (host string, addrs []netip.AddrPort, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return "", nil, err
	}
	ips, err := g.lookup(ctx, host)
	if err != nil {
		return "", nil, err
	}
	local := g.LocalAddr().Addr()
	for _, ip := range interleave(ips) {
		if reaches(local, ip) {
			addrs = append(addrs, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if len(addrs) == 0 {
		return "", nil, fmt.Errorf("no address of %q can be reached from %s", host, local)
	}
	return host, addrs, nil
}

// lookup returns the addresses of host. It drops zones that have no meaning.
func (g *Group) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	loopback4, loopback6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return []netip.Addr{loopback4, loopback6}, nil
	case err != nil:
		ips, err := g.lookupIP(ctx, host)
		ips = slices.Clone(ips) // they may belong to a cache
		for i, ip := range ips {
			ips[i] = named(ip.Unmap())
		}
		return ips, err
	case ip.Unmap() == netip.IPv4Unspecified():
		return []netip.Addr{loopback4}, nil
	case ip.WithZone("").IsUnspecified():
		// a socket that is bound to [::] mostly takes IPv4 as well
		return []netip.Addr{loopback6, loopback4}, nil
	}
	return []netip.Addr{named(ip.Unmap())}, nil
}

// named returns an address with the zone that received datagrams have: the name of an interface,
// not its number, and only where an address is link-local.
func named(ip netip.Addr) netip.Addr {
	if !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() {
		return ip.WithZone("")
	}
	if n, err := strconv.Atoi(ip.Zone()); err == nil {
		if i, err := net.InterfaceByIndex(n); err == nil {
			return ip.WithZone(i.Name)
		}
	}
	return ip
}

// reaches reports whether a socket that is bound to local can send to remote. A socket that is
// bound to all IPv6 addresses sends over IPv4 too.
func reaches(local, remote netip.Addr) bool {
	local = local.Unmap()
	return !local.IsValid() || local.Is4() == remote.Is4() || local.Is6() && local.IsUnspecified()
}

// interleave puts the families of addresses in turns, beginning with the family of the first (RFC
// 8305, Section 4). Within a family the order stays.
func interleave(ips []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, ip := range ips {
		f := 0
		if ip.Is4() != ips[0].Is4() {
			f = 1
		}
		families[f] = append(families[f], ip)
	}
	mixed := make([]netip.Addr, 0, len(ips))
	for i := range ips {
		for _, f := range families {
			if i < len(f) {
				mixed = append(mixed, f[i])
			}
		}
	}
	return mixed
}

// maxReached bounds how many names a Group remembers with an address.
const maxReached = 512

// A reachedAddrs remembers which address of each name was reached last.
type reachedAddrs struct {
	mu   sync.Mutex
	last map[string]netip.AddrPort // by host:port
}

// first moves the address that was reached last to the front of addrs. It reports whether addrs has
// such an address.
func (r *reachedAddrs) first(name string, addrs []netip.AddrPort) bool {
	r.mu.Lock()
	last, ok := r.last[name]
	r.mu.Unlock()
	if !ok {
		return false
	}
	for i, a := range addrs {
		if a == last {
			copy(addrs[1:i+1], addrs[:i])
			addrs[0] = a
			return true
		}
	}
	return false
}

// note remembers that addr was reached.
func (r *reachedAddrs) note(name string, addr netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = make(map[string]netip.AddrPort)
	}
	if _, ok := r.last[name]; !ok && len(r.last) >= maxReached {
		for other := range r.last { // any of them: forgetting one costs a race at most
			delete(r.last, other)
			break
		}
	}
	r.last[name] = addr
}

// forget forgets addr, because it was not reached.
func (r *reachedAddrs) forget(name string, addr netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last[name] == addr {
		delete(r.last, name)
	}
}
