package udpio

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// A batchWriter is the state of WriteBatch.
type batchWriter struct {
	vector   *vector
	sendmmsg syscallFunc // the system call, or what a test puts in its place
	zones    zones
	gso      gsoState
}

func newBatchWriter() batchWriter {
	return batchWriter{
		vector:   new(vector),
		sendmmsg: sendmmsg,
		zones:    newZones(),
		gso:      gsoState{refused: make(map[netip.AddrPort]struct{})},
	}
}

func (s *sockets) writeBatch(ms []Message) (n int, err error) {
	w := &s.writer
	if len(ms) > 0 {
		w.gso.forgetPartial(&ms[0])
	}
	for n < len(ms) {
		if s.closed.Load() {
			return n, net.ErrClosed
		}
		ports := *s.ports.Load()
		p, m := s.route(ports, &ms[n]), &ms[n]
		if p == nil {
			n++ // its socket was removed
			continue
		}
		var sent int
		var errno syscall.Errno
		if w.gso.mustSplit(p, m) {
			sent, errno = 1, s.writeParts(p, m, 0)
		} else if sent, errno = s.writeRun(p, ports, ms[n:]); isRefusal(errno) && m.SegmentSize > 0 && m.SegmentSize < len(m.Buf) {
			sent, errno = 1, s.writeParts(p, m, errno)
		}
		switch errno {
		case 0:
			n += sent
		case unix.EAGAIN:
			return n, nil
		case unix.EBADF:
			if !p.removed.Load() {
				return n, net.ErrClosed
			}
			// The socket was removed meanwhile: route finds another one, or none.
		default:
			return n, fmt.Errorf("udpio: write to %v: %w", m.Remote, errno)
		}
	}
	return n, nil
}

// route returns the socket for m, or nil if m names one that is gone.
func (s *sockets) route(ports []*port, m *Message) *port {
	if m.Local.IsValid() {
		if d := s.directory.Load(); d != nil {
			if p := d.owner(m.Local); p != nil {
				return p
			}
		}
		for _, p := range ports {
			if p.owns(m.Local) {
				return p
			}
		}
		return nil
	}
	for _, p := range ports {
		if p.reaches(m.Remote.Addr()) {
			return p
		}
	}
	return ports[0] // none reaches m.Remote: its error says why
}

// writeRun sends, in one system call, the messages at the start of ms that are all for p and need
// no splitting. It returns how many were sent, or why ms[0] was not.
func (s *sockets) writeRun(p *port, ports []*port, ms []Message) (int, syscall.Errno) {
	w := &s.writer
	n, most := 0, min(len(ms), batchSize)
	w.vector.prepare(most)
	for n < most {
		m := &ms[n]
		if n > 0 && (s.route(ports, m) != p || w.gso.mustSplit(p, m)) {
			break
		}
		segmentSize := m.SegmentSize
		if segmentSize >= len(m.Buf) {
			segmentSize = 0
		}
		if !w.vector.setWrite(n, p, m, m.Buf, segmentSize, &w.zones) {
			break
		}
		n++
	}
	if n == 0 {
		return 0, unix.EAFNOSUPPORT
	}
	return s.send(p, n)
}

// maxResends bounds how often a call is repeated whose failure may concern an earlier message.
const maxResends = 2

// send sends the first n messages of the vector. It returns how many were sent, or
// why the first was not: EAGAIN if p is full, and EBADF if it is closed.
func (s *sockets) send(p *port, n int) (int, syscall.Errno) {
	defer s.writer.vector.release(n)
	p.offer = n
	for tries := 0; ; tries++ {
		if p.rc.Control(p.send) != nil {
			return 0, unix.EBADF
		}
		switch p.sendErrno {
		case 0:
			if p.sent == n && p.full.Load() {
				s.endRoom(p)
			}
			if p.sent < n {
				s.foundErrors(p) // the call does not say why the next message failed
			}
			return p.sent, 0
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			s.awaitRoom(p)
		default:
			if s.foundErrors(p) && tries < maxResends {
				continue // the error may be of an earlier message: see readPort
			}
		}
		return 0, p.sendErrno
	}
}

// awaitRoom makes ReadBatch return when p has room. EPOLLOUT is in the epoll set only meanwhile,
// because a socket has room nearly always.
func (s *sockets) awaitRoom(p *port) {
	if !p.full.Swap(true) {
		s.watch(p)
	}
}

func (s *sockets) endRoom(p *port) {
	p.full.Store(false)
	s.watch(p)
}

// checkRoom reports whether p was full and has room again. WriteBatch may find it full at the same
// time. That does no harm: the caller is only told to try again.
func (s *sockets) checkRoom(p *port) bool {
	if !p.full.Load() {
		return false
	}
	room := false
	p.rc.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		room = n > 0 && err == nil
	})
	if room {
		s.endRoom(p)
	}
	return room
}
