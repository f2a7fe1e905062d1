package conn

import "net/netip"

// A Datagram is one received UDP payload, or several of equal size that the
// kernel coalesced (UDP GRO), with the metadata that arrived with it.
type Datagram struct {
	Data        []byte // lent for the call; packets are decrypted in place
	SegmentSize int    // size of each datagram in Data but the last; 0 if Data is one datagram
	Remote      netip.AddrPort
	Local       netip.AddrPort // zero if unknown; set it if there is more than one socket
	ECN         ECN
}

// A Burst describes the datagrams that one call to Transmit wrote into the
// caller's buffer. All of them share one path and one ECN codepoint, so the
// kernel can send them as one (UDP GSO).
type Burst struct {
	N           int // bytes written
	SegmentSize int // size of each datagram but the last; equals N for one datagram
	Remote      netip.AddrPort
	Local       netip.AddrPort // where the path starts; zero to let the socket choose
	ECN         ECN
	Conn        *Conn // whose datagrams they are; nil for answers to what belongs to none
}

// ECN is an explicit congestion notification codepoint (RFC 3168, Section 5).
type ECN uint8

// The codepoints, as they stand in the IP header.
const (
	NotECT ECN = iota
	ECT1
	ECT0
	ECNCE
)
