package netrelay

import (
	"encoding/binary"
	"net"
	"syscall"
)

// carriesECN says whether sockets read and write ECN codepoints here.
const carriesECN = true

// receiveECN asks for the codepoint of each datagram that c receives.
func receiveECN(c *net.UDPConn, six bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	level, option := syscall.IPPROTO_IP, syscall.IP_RECVTOS
	if six {
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_RECVTCLASS
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		return err
	}
	return failed
}

// parseECN returns the codepoint in the control messages, 0 if there is none.
func parseECN(oob []byte) uint8 {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_TOS && len(m.Data) >= 1:
			return m.Data[0] & 3
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_TCLASS && len(m.Data) >= 4:
			return uint8(binary.NativeEndian.Uint32(m.Data) & 3)
		}
	}
	return 0
}

// appendECN appends the control message that makes a datagram leave with the codepoint ecn.
func appendECN(b []byte, ecn uint8, six bool) []byte {
	if ecn == 0 {
		return b
	}
	level, option := uint32(syscall.IPPROTO_IP), uint32(syscall.IP_TOS)
	if six {
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS
	}
	if length := syscall.CmsgLen(4); syscall.SizeofCmsghdr == 16 {
		b = binary.NativeEndian.AppendUint64(b, uint64(length))
	} else {
		b = binary.NativeEndian.AppendUint32(b, uint32(length))
	}
	b = binary.NativeEndian.AppendUint32(b, level)
	b = binary.NativeEndian.AppendUint32(b, option)
	b = binary.NativeEndian.AppendUint32(b, uint32(ecn))
	return append(b, make([]byte, syscall.CmsgSpace(4)-syscall.CmsgLen(4))...)
}
