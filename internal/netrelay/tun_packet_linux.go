package netrelay

import (
	"encoding/binary"
	"net/netip"
)

// A packet is an IP packet, with its header.
type packet []byte

// ce is the ECN codepoint that reports congestion (RFC 3168, Section 5).
const ce = 3

// Numbers of protocols.
const (
	protocolTCP = 6
	protocolUDP = 17
)

// valid reports whether the header is complete. All other methods need that.
func (p packet) valid() bool {
	switch {
	case len(p) < 20:
		return false
	case p[0]>>4 == 4:
		return p.headerLen() >= 20 && p.headerLen() <= len(p)
	default:
		return p[0]>>4 == 6 && len(p) >= 40
	}
}

func (p packet) is6() bool { return p[0]>>4 == 6 }

func (p packet) headerLen() int {
	if p.is6() {
		return 40
	}
	return int(p[0]&15) * 4
}

func (p packet) ecn() uint8 {
	if p.is6() {
		return p[1] >> 4 & 3
	}
	return p[1] & 3
}

// mark sets the codepoint ce.
func (p packet) mark() {
	if p.is6() {
		p[1] |= ce << 4 // no checksum covers these bits
		return
	}
	p[1] |= ce
	p.sumHeader()
}

// sumHeader sets the checksum of an IPv4 header (RFC 791, Section 3.1).
func (p packet) sumHeader() {
	h := p[:p.headerLen()]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^fold(sum(h)))
}

// sum adds up the 16-bit words of b, whose length is even.
func sum(b []byte) (s uint32) {
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return s
}

// fold reduces a ones' complement sum to 16 bits.
func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// A side says where a packet has its source or its destination.
type side struct {
	addr4, addr6, port int // offsets; that of port counts from the end of the IP header
}

var (
	source      = side{addr4: 12, addr6: 8, port: 0}
	destination = side{addr4: 16, addr6: 24, port: 2}
)

// ports reports whether p has ports, and the whole header that contains them.
func (p packet) ports() (protocol uint8, ok bool) {
	protocol = p[9]
	if p.is6() {
		protocol = p[6]
	} else if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
		return protocol, false // a fragment
	}
	body := len(p) - p.headerLen()
	return protocol, protocol == protocolUDP && body >= 8 || protocol == protocolTCP && body >= 20
}

func (p packet) addr(s side) []byte {
	if p.is6() {
		return p[s.addr6:][:16]
	}
	return p[s.addr4:][:4]
}

func (p packet) port(s side) uint16 { return binary.BigEndian.Uint16(p[p.headerLen()+s.port:]) }

// rewrite sets the address and the port of one side of a packet with ports, and corrects the
// checksums.
func (p packet) rewrite(s side, addr netip.Addr, port uint16) {
	b := p[p.headerLen():]
	protocol, _ := p.ports()
	check := b[6:8]
	if protocol == protocolTCP {
		check = b[16:18]
	}
	at := p.addr(s)
	before := sum(at) + uint32(p.port(s))
	copy(at, addr.AsSlice())
	binary.BigEndian.PutUint16(b[s.port:], port)
	after := sum(at) + uint32(port)
	if !p.is6() {
		p.sumHeader()
	}
	old := binary.BigEndian.Uint16(check)
	if protocol == protocolUDP && old == 0 {
		return // the packet has no checksum (RFC 768)
	}
	// RFC 1624, Section 3
	now := ^fold(uint32(^old) + uint32(^fold(before)) + after)
	if protocol == protocolUDP && now == 0 {
		now = 0xffff
	}
	binary.BigEndian.PutUint16(check, now)
}
