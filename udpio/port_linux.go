package udpio

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A port is one UDP socket of the kernel. Its descriptor is only ever used inside
// rc.Control, so it cannot be closed, and another file get its number, meanwhile.
type port struct {
	binding
	rc      syscall.RawConn
	conn    io.Closer
	removed atomic.Bool
	full    atomic.Bool    // the last write found no room, and EPOLLOUT is in the epoll set
	peer    netip.AddrPort // where it is connected, or zero
	v6      bool           // AF_INET6
	caps    Caps

	readBuffer, writeBuffer int // bytes granted

	// Arguments and results of recv and send, which are stored so that they are not
	// allocated for each call.
	recv      func(fd uintptr)
	want, got int
	recvErrno syscall.Errno
	overflows uint32 // as last read

	errors    bool        // ICMP messages are queued
	hasErrors atomic.Bool // a call has shown that there are some
	readError func(fd uintptr)

	send        func(fd uintptr)
	offer, sent int
	sendErrno   syscall.Errno
}

// newPort takes over c, whose descriptor is rc, and sets the options of s.
func (s *sockets) newPort(c io.Closer, rc syscall.RawConn, local, peer netip.AddrPort) (*port, error) {
	p := &port{rc: rc, conn: c, peer: peer}
	p.local, p.wildcard = local, local.Addr().IsUnspecified()
	p.recv = func(fd uintptr) { p.got, p.recvErrno = recvmmsg(fd, s.reader.vector, p.want) }
	p.readError = func(fd uintptr) { p.got, p.recvErrno = recvErrors(fd, s.reader.vector, p.want) }
	p.send = func(fd uintptr) { p.sent, p.sendErrno = s.writer.sendmmsg(fd, s.writer.vector, p.offer) }
	err := rc.Control(func(fd uintptr) { p.setOptions(int(fd), s) })
	if err != nil {
		return nil, err
	}
	return p, nil
}

// setOptions sets what the kernel has, and notes what it does not.
func (p *port) setOptions(fd int, s *sockets) {
	domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	p.v6 = domain == unix.AF_INET6
	p.no6 = !p.v6
	if p.v6 {
		only6, _ := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		p.no4 = only6 != 0 || !p.wildcard
	}
	set := func(level, opt, value int) bool { return unix.SetsockoptInt(fd, level, opt, value) == nil }

	dontFragment(uintptr(fd), false) // again, for a wrapped socket
	// On a socket of both families, IP's options are for IPv4.
	p.caps.ECN, p.caps.LocalAddr = true, true
	if !p.no4 {
		p.caps.ECN = set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	if p.v6 {
		p.caps.ECN = set(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1) && p.caps.ECN
	}
	if p.wildcard && p.v6 {
		p.caps.LocalAddr = set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) // of IPv4 too
	} else if p.wildcard {
		p.caps.LocalAddr = set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	set(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	p.errors = s.cfg.ReceiveErrors && p.setReceiveErrors(set)
	p.caps.GRO = !s.cfg.DisableGRO && set(unix.SOL_UDP, unix.UDP_GRO, 1)
	p.caps.MaxSegments = 1
	if !s.cfg.DisableGSO && set(unix.SOL_UDP, unix.UDP_SEGMENT, 1200) {
		set(unix.SOL_UDP, unix.UDP_SEGMENT, 0) // it was a try
		p.caps.MaxSegments = maxSegments
	}
	p.readBuffer = setBuffer(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, s.cfg.ReadBuffer)
	p.writeBuffer = setBuffer(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, s.cfg.WriteBuffer)
}

// setBuffer asks for size bytes, unless it is negative, and returns what the kernel
// has granted.
func setBuffer(fd, opt, force, size int) int {
	if size >= 0 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, size)
		}
	}
	granted, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt)
	return granted / 2 // the kernel doubles it, for its bookkeeping
}

func (p *port) warnBuffers(cfg *Config) {
	if p.readBuffer < cfg.ReadBuffer {
		cfg.warnBuffer("receive", cfg.ReadBuffer, p.readBuffer, "net.core.rmem_max")
	}
	if p.writeBuffer < cfg.WriteBuffer {
		cfg.warnBuffer("send", cfg.WriteBuffer, p.writeBuffer, "net.core.wmem_max")
	}
}

// closedError is the error of a call that found the descriptor closed: nil if that
// was RemoveLocal.
func (p *port) closedError() error {
	if p.removed.Load() {
		return nil
	}
	return net.ErrClosed
}
