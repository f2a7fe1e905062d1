package main

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"

	"github.com/lazoquic/lazo/internal/require"
)

// TestChecksum has the example of RFC 1071, Section 3.
func TestChecksum(t *testing.T) {
	require.Equal(t, ^uint16(0xddf2), fold(partialSum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})))
	ones := make([]byte, 65_535)
	for i := range ones {
		ones[i] = 0xff
	}
	require.Equal(t, uint16(0x00ff), fold(partialSum(ones)))
}

// TestHeaders wants sums of 0, and one packet as another program has made it.
func TestHeaders(t *testing.T) {
	for _, addrs := range [][2]string{{"192.0.2.1:1234", "198.51.100.1:443"}, {"[2001:db8::1]:1234", "[2001:db8::2]:443"}} {
		from, to := netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		for _, datagram := range []string{"", "a", "hello", "sixteen and more bytes"} {
			p := append(appendUDP(nil, from, to, 2, []byte(datagram)), datagram...)
			udp := p[len(p)-len(datagram)-udpLen:]
			require.Zero(t, fold(pseudoSum(from.Addr(), to.Addr(), protoUDP, len(udp))+partialSum(udp)))
			if from.Addr().Is4() {
				require.Zero(t, fold(partialSum(p[:ipv4Len])))
				h, err := ipv4.ParseHeader(p)
				require.NoError(t, err)
				require.Equal(t, len(p), h.TotalLen)
				require.Equal(t, "192.0.2.1", h.Src.String())
				require.Equal(t, "198.51.100.1", h.Dst.String())
				require.Equal(t, 2, h.TOS)
			}
		}
	}
	require.Equal(t, "450000210000400040114e96c0000201c633640104d201bb000dc93e68656c6c6f",
		hex.EncodeToString(append(appendUDP(nil, netip.MustParseAddrPort("192.0.2.1:1234"), netip.MustParseAddrPort("198.51.100.1:443"), 0, []byte("hello")), "hello"...)))
}
