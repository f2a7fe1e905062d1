package udpio

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A port is one UDP socket of the kernel. Its descriptor is used only inside rc.Control. Nobody can
// close it meanwhile, so its number cannot become that of another file.
type port struct {
	binding
	fd      int // to know the port by, not to use it
	rc      syscall.RawConn
	conn    io.Closer
	removed atomic.Bool
	full    atomic.Bool    // the last write found no room, so EPOLLOUT is in the epoll set
	peer    netip.AddrPort // the address that it is connected to, or zero
	v6      bool           // AF_INET6
	caps    Caps
	gro     bool // is on; see coalesce

	readBuffer, writeBuffer int // bytes that were granted

	// Arguments and results of recv and send. They are fields, so that no call allocates them.
	recv      func(fd uintptr)
	want, got int
	recvErrno syscall.Errno
	overflows uint32 // the counter as it was last read

	errors    bool        // the kernel queues ICMP messages
	hasErrors atomic.Bool // a call has shown that the queue has some
	readError func(fd uintptr)

	send        func(fd uintptr)
	offer, sent int
	sendErrno   syscall.Errno
}

// newPort takes over c, whose descriptor is rc, and sets the options of s.
func (s *sockets) newPort(c io.Closer, rc syscall.RawConn, local, peer netip.AddrPort) (*port, error) {
	p := &port{rc: rc, conn: c, peer: peer}
	p.local, p.wildcard = local, local.Addr().IsUnspecified()
	p.recv = func(fd uintptr) {
		call := recvmmsg
		if s.poller.tell {
			call = recvmmsgTelling
		}
		p.got, p.recvErrno = call(fd, s.reader.vector, p.want)
	}
	p.readError = func(fd uintptr) { p.got, p.recvErrno = recvErrors(fd, s.reader.vector, p.want) }
	p.send = func(fd uintptr) { p.sent, p.sendErrno = s.writer.sendmmsg(fd, s.writer.vector, p.offer) }
	err := rc.Control(func(fd uintptr) {
		p.fd = int(fd)
		p.setOptions(p.fd, s)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// setOptions sets the options that the kernel has, and notes which it lacks.
func (p *port) setOptions(fd int, s *sockets) {
	domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	p.v6 = domain == unix.AF_INET6
	p.no6 = !p.v6
	if p.v6 {
		only6, _ := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		p.no4 = only6 != 0 || !p.wildcard
	}
	set := func(level, opt, value int) bool { return unix.SetsockoptInt(fd, level, opt, value) == nil }

	dontFragment(uintptr(fd), false) // a wrapped socket has not got it yet
	// On a socket of both families, IP's options are for IPv4.
	p.caps.ECN, p.caps.LocalAddr = true, true
	if !p.no4 {
		p.caps.ECN = set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	if p.v6 {
		p.caps.ECN = set(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1) && p.caps.ECN
	}
	if p.wildcard && p.v6 {
		p.caps.LocalAddr = set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) // this is for IPv4 too
	} else if p.wildcard {
		p.caps.LocalAddr = set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	set(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	p.errors = s.cfg.ReceiveErrors && p.setReceiveErrors(set)
	p.tryGRO(fd, s)
	p.caps.MaxSegments = 1
	if !s.cfg.DisableGSO && set(unix.SOL_UDP, unix.UDP_SEGMENT, 1200) {
		set(unix.SOL_UDP, unix.UDP_SEGMENT, 0) // it was only set to try it
		p.caps.MaxSegments = maxSegments
	}
	p.readBuffer = setBuffer(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, s.cfg.ReadBuffer)
	p.writeBuffer = setBuffer(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, s.cfg.WriteBuffer)
}

// tryGRO finds out whether the kernel has GRO, and leaves it as it is until the first read.
func (p *port) tryGRO(fd int, s *sockets) {
	was, _ := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO)
	if s.cfg.DisableGRO || unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) != nil {
		return
	}
	unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, was)
	p.caps.GRO, p.gro = true, was != 0
}

// groRoom is what a buffer needs for a message of GRO.
const groRoom = 65507

// coalesce turns GRO on or off, as there is room for it in a buffer of size bytes.
func (p *port) coalesce(size int) {
	on := size >= groRoom
	if on == p.gro || !p.caps.GRO {
		return
	}
	p.gro = on
	value := 0
	if on {
		value = 1
	}
	p.rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, value) })
}

// setBuffer asks for size bytes, unless size is negative. It returns the size that the kernel has
// granted.
func setBuffer(fd, opt, force, size int) int {
	if size >= 0 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, size)
		}
	}
	granted, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt)
	return granted / 2 // the kernel reports twice the size, for its bookkeeping
}

func (p *port) warnBuffers(cfg *Config) {
	if p.readBuffer < cfg.ReadBuffer {
		cfg.warnBuffer("receive", cfg.ReadBuffer, p.readBuffer, "net.core.rmem_max")
	}
	if p.writeBuffer < cfg.WriteBuffer {
		cfg.warnBuffer("send", cfg.WriteBuffer, p.writeBuffer, "net.core.wmem_max")
	}
}

// closedError returns the error of a call that found the descriptor closed. It is nil if
// RemoveLocal has closed it.
func (p *port) closedError() error {
	if p.removed.Load() {
		return nil
	}
	return net.ErrClosed
}
