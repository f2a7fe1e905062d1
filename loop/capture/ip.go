package capture

import (
	"encoding/binary"
	"net/netip"
)

// Sockets do not show the headers of a datagram. They are made up here from what is known of it.
const (
	protoUDP  = 17
	hopLimit  = 64
	udpHeader = 8
)

// appendIP appends a datagram as an IP packet.
func appendIP(b []byte, from, to netip.AddrPort, ecn uint8, data []byte) []byte {
	src, dst := from.Addr().Unmap(), to.Addr().Unmap()
	udp := min(udpHeader+len(data), 0xffff)
	start := len(b)
	if src.Is4() && dst.Is4() {
		b = append(b, 0x45, ecn&3)
		b = binary.BigEndian.AppendUint16(b, uint16(min(20+udp, 0xffff)))
		b = append(b, 0, 0, 0x40, 0, hopLimit, protoUDP, 0, 0) // don't fragment
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:])))
	} else {
		b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(ecn&3)<<20)
		b = binary.BigEndian.AppendUint16(b, uint16(udp))
		b = append(b, protoUDP, hopLimit)
		s, d := as16(src), as16(dst)
		b = append(append(b, s[:]...), d[:]...)
	}
	head := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(udp))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = append(b, data...)
	// RFC 768, and RFC 8200, Section 8.1: the pseudo header has the addresses, the protocol
	// and the length.
	addrs := b[start+8 : head]
	if src.Is4() && dst.Is4() {
		addrs = b[start+12 : head]
	}
	check := ^fold(sum(sum(protoUDP+uint64(udp), addrs), b[head:]))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[head+6:], check)
	return b
}

// as16 returns an address of either family, or none, in 16 bytes.
func as16(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// sum adds the 16-bit words of b to s (RFC 1071).
func sum(s uint64, b []byte) uint64 {
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
