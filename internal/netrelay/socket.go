package netrelay

import (
	"fmt"
	"net"
	"net/netip"
)

// maxDatagram is the length in bytes of the longest datagram that is passed on whole. A longer one
// is cut off.
const maxDatagram = 2048

// A socket is a UDP socket that reads and writes ECN codepoints where the system allows it.
type socket struct {
	*net.UDPConn
}

func listen(source netip.Addr) (*socket, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
	if err != nil {
		return nil, fmt.Errorf("netrelay: %w", err)
	}
	// Bursts need room, or the socket loses datagrams that Link would not. The system may grant
	// less.
	_ = c.SetReadBuffer(4 << 20)
	_ = c.SetWriteBuffer(4 << 20)
	if err := receiveECN(c, source.Is6()); err != nil {
		c.Close()
		return nil, fmt.Errorf("netrelay: %w", err)
	}
	return &socket{c}, nil
}

// addr returns the address that the socket is bound to.
func (s *socket) addr() netip.AddrPort { return unmap(s.LocalAddr().(*net.UDPAddr).AddrPort()) }

// read reads a datagram into b. It returns the length, the codepoint and the sender.
func (s *socket) read(b, oob []byte) (n int, ecn uint8, from netip.AddrPort, err error) {
	n, oobn, _, from, err := s.ReadMsgUDPAddrPort(b, oob)
	return n, parseECN(oob[:oobn]), unmap(from), err
}

// write drops datagrams that the socket does not take, as networks do.
func (s *socket) write(b []byte, ecn uint8, to netip.AddrPort) {
	_, _, _ = s.WriteMsgUDPAddrPort(b, appendECN(nil, ecn, to.Addr().Is6()), to)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
