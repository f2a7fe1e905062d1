package udpio

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is the largest number of messages that one system call moves.
const batchSize = 64

// An mmsghdr is a struct mmsghdr. Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A vector is the memory of one recvmmsg or sendmmsg call: the headers, and everything that they
// point to. It must not move during the call.
type vector struct {
	hdrs     []mmsghdr
	iovs     []unix.Iovec
	names    []name
	controls []control
}

// prepare makes room for n messages. Most sockets never move batchSize of them at a time.
func (v *vector) prepare(n int) {
	if n <= len(v.hdrs) {
		return
	}
	n = min(max(n, 2*len(v.hdrs)), batchSize)
	*v = vector{make([]mmsghdr, n), make([]unix.Iovec, n), make([]name, n), make([]control, n)}
	for i := range v.hdrs {
		h := &v.hdrs[i].hdr
		h.Iov = &v.iovs[i]
		h.SetIovlen(1)
	}
}

// A syscallFunc is recvmmsg or sendmmsg, for the first n messages of v.
type syscallFunc func(fd uintptr, v *vector, n int) (int, syscall.Errno)

// MSG_DONTWAIT keeps these calls from blocking, whatever the mode of the descriptor. So they need
// not tell Go's scheduler.

func recvmmsg(fd uintptr, v *vector, n int) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v.hdrs))), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// recvmmsgTelling is recvmmsg that tells the scheduler: see crowding.
func recvmmsgTelling(fd uintptr, v *vector, n int) (int, syscall.Errno) {
	r, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v.hdrs))), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

func sendmmsg(fd uintptr, v *vector, n int) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v.hdrs))), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// recvErrors is recvmmsg for the queue of errors.
func recvErrors(fd uintptr, v *vector, n int) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_ERRQUEUE
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v.hdrs))), uintptr(n), flags, 0, 0)
	return int(r), errno
}

// setRead prepares message i of v for reading into b, up to its capacity.
func (v *vector) setRead(i int, b []byte) {
	h := &v.hdrs[i].hdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&v.names[i])), unix.SizeofSockaddrInet6
	h.Control = (*byte)(unsafe.Pointer(&v.controls[i]))
	h.SetControllen(controlSize)
	v.iovs[i].Base = unsafe.SliceData(b[:cap(b)])
	v.iovs[i].SetLen(cap(b))
}

// setWrite prepares message i of v for sending b, which is part of m. It goes in segments, or as
// one datagram if segmentSize is 0. SetWrite reports false if p cannot send to that address.
func (v *vector) setWrite(i int, p *port, m *Message, b []byte, segmentSize int, z *zones) bool {
	h := &v.hdrs[i].hdr
	if p.peer.IsValid() && m.Remote == p.peer {
		h.Name, h.Namelen = nil, 0 // the socket is connected: the kernel need not look up the route
	} else {
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
		if h.Namelen = z.encode(&v.names[i], m.Remote, p.v6); h.Namelen == 0 {
			return false
		}
	}
	v.iovs[i].Base = unsafe.SliceData(b)
	v.iovs[i].SetLen(len(b))

	w := controlWriter{c: &v.controls[i]}
	if segmentSize > 0 {
		w.segment(segmentSize)
	}
	if m.ECN != 0 && p.caps.ECN {
		w.ecn(m.ECN, m.Remote.Addr().Is4() || m.Remote.Addr().Is4In6())
	}
	if source := p.source(m); source.IsValid() && p.caps.LocalAddr {
		w.source(source, z)
	}
	if w.n == 0 {
		h.Control = nil
	} else {
		h.Control = (*byte)(unsafe.Pointer(w.c))
	}
	h.SetControllen(w.n)
	return true
}

// release drops the pointers to the buffers of the first n messages.
func (v *vector) release(n int) {
	for i := range n {
		v.iovs[i].Base = nil
	}
}
