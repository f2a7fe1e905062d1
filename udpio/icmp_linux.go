package udpio

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setReceiveErrors asks the kernel to queue what ICMP messages say. It reports whether the kernel
// does. On a socket of both families, IP's option is for IPv4.
func (p *port) setReceiveErrors(set func(level, opt, value int) bool) bool {
	ok := true
	if !p.no4 {
		ok = set(unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	if p.v6 {
		ok = set(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1) && ok
	}
	return ok
}

// foundErrors notes that a call has failed, perhaps because of an ICMP message. The kernel reports
// such an error once, to the next call on the socket, whatever that call is. The ICMP message
// itself waits in a queue. It reports false if there is no such queue.
func (s *sockets) foundErrors(p *port) bool {
	if p.errors && !p.hasErrors.Swap(true) {
		s.poller.wake()
	}
	return p.errors
}

// readErrors reads from the queue of errors of p, into the prepared vector. It returns the number
// of messages that it has put into ms.
func (s *sockets) readErrors(p *port, ms []Message) (n int, err error) {
	p.hasErrors.Store(false)
	if p.rc.Control(p.readError) != nil {
		return 0, p.closedError()
	}
	s.reader.again = true // datagrams may wait too
	if p.recvErrno != 0 {
		return 0, nil
	}
	if p.got == p.want {
		p.hasErrors.Store(true) // more errors may wait
	}
	v := s.reader.vector
	for i := range ms[:p.got] {
		h := &v.hdrs[i]
		remote := s.reader.zones.decode(&v.names[i])
		e := v.controls[i].extendedError(int(h.hdr.Controllen), &s.reader.zones)
		if e == nil || !remote.IsValid() {
			continue
		}
		e.Remote = remote
		m := &ms[n]
		if i != n {
			m.Buf, ms[i].Buf = ms[i].Buf, m.Buf
		}
		n++
		*m = Message{Buf: m.Buf[:h.n], Remote: remote, Local: p.fixed(), Err: e}
	}
	return n, nil
}

// extendedError returns what the first n bytes of c say. It returns nil if no ICMP message is the
// cause. The queue also has errors of this host, such as EMSGSIZE, which the failed call has
// returned already.
func (c *control) extendedError(n int, z *zones) *ICMPError {
	b := c.bytes()[:min(n, controlSize)]
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(b) {
			return nil
		}
		if h.Level == unix.IPPROTO_IP && h.Type == unix.IP_RECVERR || h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_RECVERR {
			return parseExtended(b[unix.CmsgLen(0):size], z)
		}
		b = b[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(b)):]
	}
	return nil
}

const sizeofExtended = 16 // the length of struct sock_extended_err; the sender's address follows it

func parseExtended(b []byte, z *zones) *ICMPError {
	if len(b) < sizeofExtended || b[4] != unix.SO_EE_ORIGIN_ICMP && b[4] != unix.SO_EE_ORIGIN_ICMP6 {
		return nil
	}
	e := &ICMPError{Err: syscall.Errno(binary.NativeEndian.Uint32(b))}
	if e.Err == unix.EMSGSIZE {
		e.MTU = int(binary.NativeEndian.Uint32(b[8:])) // ee_info
	}
	var sender name
	if copy(unsafe.Slice((*byte)(unsafe.Pointer(&sender)), unsafe.Sizeof(sender)), b[sizeofExtended:]) >= unix.SizeofSockaddrInet4 {
		e.From = z.decode(&sender).Addr()
	}
	return e
}
