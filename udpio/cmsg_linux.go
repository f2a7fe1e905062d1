package udpio

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize is room for all control messages that this package asks for, each of at most 40
// bytes. Some room is for those that another owner of a wrapped socket asked for.
const controlSize = 256

// A control is the space for the control messages of one message, aligned as the
// kernel wants.
type control [controlSize / 8]uint64

func (c *control) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(c)), controlSize) }

// A received is what the control messages of a message say.
type received struct {
	ecn         uint8
	segmentSize int
	local       netip.Addr
	overflows   uint32 // since the socket was opened; 0 if the kernel did not say
}

// parse reads the first n bytes of c.
func (c *control) parse(n int, z *zones, r *received) {
	b := c.bytes()[:min(n, controlSize)]
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(b) {
			return
		}
		r.set(h.Level, h.Type, b[unix.CmsgLen(0):size], z)
		b = b[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(b)):]
	}
}

func (r *received) set(level, typ int32, data []byte, z *zones) {
	switch {
	case level == unix.SOL_UDP && typ == unix.UDP_GRO && len(data) >= 4:
		// The kernel writes an int here, unlike for UDP_SEGMENT.
		r.segmentSize = int(int32(binary.NativeEndian.Uint32(data)))
	case level == unix.IPPROTO_IP && typ == unix.IP_TOS && len(data) >= 1:
		r.ecn = data[0] & 3
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
		r.ecn = uint8(binary.NativeEndian.Uint32(data)) & 3
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		r.local = netip.AddrFrom4(info.Addr)
		if info.Spec_dst != [4]byte{} {
			// for multicast too this is the host's address, not the group's
			r.local = netip.AddrFrom4(info.Spec_dst)
		}
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		r.local = z.addr16(info.Addr, info.Ifindex)
	case level == unix.SOL_SOCKET && typ == unix.SO_RXQ_OVFL && len(data) >= 4:
		r.overflows = binary.NativeEndian.Uint32(data)
	}
}

// A controlWriter appends control messages to a control.
type controlWriter struct {
	c *control
	n int // bytes written
}

// add appends a control message of size bytes and returns where its data goes. A control has room
// for all the control messages of one message.
func (w *controlWriter) add(level, typ int32, size int) unsafe.Pointer {
	b := w.c.bytes()[w.n:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
	w.n += unix.CmsgSpace(size)
	return unsafe.Pointer(&b[unix.CmsgLen(0)])
}

// segment asks for GSO.
func (w *controlWriter) segment(size int) {
	*(*uint16)(w.add(unix.SOL_UDP, unix.UDP_SEGMENT, 2)) = uint16(size)
}

// ecn sets the codepoint. Towards IPv4 addresses, IP_TOS counts on IPv6 sockets too.
func (w *controlWriter) ecn(ecn uint8, to4 bool) {
	if to4 {
		*(*int32)(w.add(unix.IPPROTO_IP, unix.IP_TOS, 4)) = int32(ecn & 3)
	} else {
		*(*int32)(w.add(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4)) = int32(ecn & 3)
	}
}

// source sets the source address.
func (w *controlWriter) source(local netip.Addr, z *zones) {
	if local.Is4() {
		info := (*unix.Inet4Pktinfo)(w.add(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo))
		*info = unix.Inet4Pktinfo{Spec_dst: local.As4()}
		return
	}
	info := (*unix.Inet6Pktinfo)(w.add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo))
	*info = unix.Inet6Pktinfo{Addr: local.As16()}
	if zone := local.Zone(); zone != "" {
		info.Ifindex = z.index(zone)
	}
}
