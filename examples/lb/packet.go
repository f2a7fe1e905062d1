package main

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

const (
	udpLen   = 8
	ipv4Len  = 20
	ipv6Len  = 40
	protoUDP = 17
	hopLimit = 64
)

// appendUDP appends the IP and UDP headers of a datagram. Both addresses are of one family.
func appendUDP(b []byte, from, to netip.AddrPort, ecn uint8, datagram []byte) []byte {
	n := udpLen + len(datagram)
	b = appendIP(b, from.Addr(), to.Addr(), protoUDP, ecn, n)
	u := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, 0)
	sum := pseudoSum(from.Addr(), to.Addr(), protoUDP, n) + partialSum(b[u:]) + partialSum(datagram)
	check := fold(sum)
	if check == 0 {
		check = 0xffff // 0 stands for no checksum (RFC 768)
	}
	binary.BigEndian.PutUint16(b[u+6:], check)
	return b
}

// appendIP appends the header of a packet with n bytes of content. It must not be fragmented.
func appendIP(b []byte, from, to netip.Addr, proto byte, ecn uint8, n int) []byte {
	if from.Is6() {
		b = append(b, 0x60, ecn<<4, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, proto, hopLimit)
		f, t := from.As16(), to.As16()
		return append(append(b, f[:]...), t[:]...)
	}
	start := len(b)
	b = append(b, 0x45, ecn)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+n))
	b = append(b, 0, 0, 0x40, 0, hopLimit, proto, 0, 0) // don't fragment (RFC 791)
	f, t := from.As4(), to.As4()
	b = append(append(b, f[:]...), t[:]...)
	binary.BigEndian.PutUint16(b[start+10:], fold(partialSum(b[start:])))
	return b
}

// tooBig returns the IP packet in which a router says that a datagram was too long. Of the datagram
// only the beginning is known (RFC 792; RFC 4443, Section 3.2).
func tooBig(router netip.Addr, from, to netip.AddrPort, mtu int, beginning []byte) []byte {
	beginning = beginning[:min(len(beginning), 512)]
	inner := appendUDP(nil, from, to, 0, beginning)
	icmp := make([]byte, 8, 8+len(inner)+len(beginning))
	proto, sum := byte(1), uint64(0)
	icmp[0], icmp[1] = 3, 4 // destination unreachable, fragmentation needed
	binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
	icmp = append(append(icmp, inner...), beginning...)
	if from.Addr().Is6() {
		proto = 58
		icmp[0], icmp[1] = 2, 0 // packet too big
		sum = pseudoSum(router, from.Addr(), proto, len(icmp))
	}
	binary.BigEndian.PutUint16(icmp[2:], fold(sum+partialSum(icmp)))
	return append(appendIP(nil, router, from.Addr(), proto, 0, len(icmp)), icmp...)
}

// pseudoSum sums up the pseudo-header of a checksum (RFC 768; RFC 8200, Section 8.1).
func pseudoSum(from, to netip.Addr, proto byte, n int) uint64 {
	f, t := from.As16(), to.As16()
	if from.Is4() {
		clear(f[:12])
		clear(t[:12])
	}
	return partialSum(f[:]) + partialSum(t[:]) + uint64(proto) + uint64(n)
}

// partialSum adds up 16-bit words, of which fold makes a checksum (RFC 1071). An odd byte at the
// end counts as if a zero followed it.
func partialSum(b []byte) uint64 {
	var sum, carry uint64
	for ; len(b) >= 8; b = b[8:] {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
	}
	var rest [8]byte
	copy(rest[:], b)
	sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(rest[:]), carry)
	sum, carry = bits.Add64(sum, carry, 0)
	sum += carry
	return sum>>48 + sum>>32&0xffff + sum>>16&0xffff + sum&0xffff
}

// fold returns the checksum of a sum.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
