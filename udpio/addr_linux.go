package udpio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A name holds a socket address of either family.
type name = unix.RawSockaddrInet6

// zones translates between the indices and the names of interfaces. Package net puts the names into
// link-local addresses, as zones. A zones remembers for a second what it has asked for, because
// asking is slow. Not for longer: a device that is plugged in again has another index.
type zones struct {
	names   map[uint32]zone[string]
	indices map[string]zone[uint32]
}

// A zone is the name or the index of an interface.
type zone[T any] struct {
	is   T
	till time.Time // when to ask again
}

const (
	maxZones = 256
	zoneLife = time.Second
)

func newZones() zones {
	return zones{make(map[uint32]zone[string]), make(map[string]zone[uint32])}
}

// name returns the name of an interface. That is the last one that is known of it if the kernel
// tells none, for example because the process has no descriptors left to ask with.
func (z *zones) name(index uint32) string {
	x, ok := z.names[index]
	if now := time.Now(); !ok || !now.Before(x.till) {
		if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
			x.is = ifi.Name
		} else if !ok {
			x.is = strconv.FormatUint(uint64(index), 10)
		}
		x.till = now.Add(zoneLife)
		if len(z.names) >= maxZones {
			clear(z.names)
		}
		z.names[index] = x
	}
	return x.is
}

// index returns the index of an interface, or 0 if there never was one of that name.
func (z *zones) index(name string) uint32 {
	x, ok := z.indices[name]
	if now := time.Now(); !ok || !now.Before(x.till) {
		if ifi, err := net.InterfaceByName(name); err == nil {
			x.is = uint32(ifi.Index)
		} else if n, err := strconv.ParseUint(name, 10, 32); err == nil && !ok {
			x.is = uint32(n)
		}
		x.till = now.Add(zoneLife)
		if len(z.indices) >= maxZones {
			clear(z.indices)
		}
		z.indices[name] = x
	}
	return x.is
}

// addr16 makes an address of what the kernel returns. Only link-local addresses get a zone.
func (z *zones) addr16(a [16]byte, index uint32) netip.Addr {
	addr := netip.AddrFrom16(a)
	if addr.Is4In6() {
		return addr.Unmap()
	}
	if index != 0 && (addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast()) {
		return addr.WithZone(z.name(index))
	}
	return addr
}

// decode returns the address in n, or the zero one if there is none.
func (z *zones) decode(n *name) netip.AddrPort {
	switch n.Family {
	case unix.AF_INET:
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), ntohs(&n4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(z.addr16(n.Addr, n.Scope_id), ntohs(&n.Port))
	}
	return netip.AddrPort{}
}

// encode writes a to n, for a socket of IPv6 or of IPv4. It returns the size in bytes, or 0 if the
// socket cannot send to a.
func (z *zones) encode(n *name, a netip.AddrPort, v6 bool) uint32 {
	if !a.IsValid() {
		return 0
	}
	if !v6 {
		addr := a.Addr().Unmap()
		if !addr.Is4() {
			return 0
		}
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		n4.Family, n4.Addr = unix.AF_INET, addr.As4()
		htons(&n4.Port, a.Port())
		return unix.SizeofSockaddrInet4
	}
	n.Family, n.Addr, n.Flowinfo, n.Scope_id = unix.AF_INET6, a.Addr().As16(), 0, 0
	htons(&n.Port, a.Port())
	if zone := a.Addr().Zone(); zone != "" {
		n.Scope_id = z.index(zone)
	}
	return unix.SizeofSockaddrInet6
}

// The kernel keeps ports in network byte order on every machine.
func ntohs(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
func htons(p *uint16, v uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], v)
}
