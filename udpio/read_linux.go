package udpio

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A batchReader is the state of ReadBatch.
type batchReader struct {
	vector *vector
	zones  zones
	ms     []Message // of this call
	n      int       // how many messages were read
	err    error
	again  bool // messages were read, but all of them had to be dropped
	room   bool // a socket of many that was full has room
	first  int  // index of the socket to begin with
	ready  readyList
}

// tryRead reads from all sockets until ms is full. It reports whether ReadBatch should return.
// Otherwise ReadBatch has to look again.
func (s *sockets) tryRead() bool {
	r := &s.reader
	ports := *s.ports.Load()
	if len(ports) > fewPorts && !s.paused.Load() && s.readReady(s.directory.Load()) {
		return r.n > 0 || r.again || r.err != nil || r.room
	}
	// Each call begins with another socket, so that none starves.
	if r.first++; r.first >= len(ports) {
		r.first = 0
	}
	for i := range ports {
		if r.n == len(r.ms) || s.paused.Load() {
			break
		}
		p := ports[(r.first+i)%len(ports)]
		n, err := s.readPort(p, r.ms[r.n:])
		r.n += n
		if err != nil {
			r.err = err
			return true
		}
	}
	if r.n > 0 || r.again {
		return true
	}
	room := false
	for _, p := range ports {
		room = s.checkRoom(p) || room
	}
	return room
}

// maxPending bounds how often a call is repeated for errors that concern no message here. An ICMP
// message about an earlier send brings such an error.
const maxPending = 8

// readPort reads from p. It returns the number of messages that it has put into ms.
func (s *sockets) readPort(p *port, ms []Message) (n int, err error) {
	v := s.reader.vector
	p.coalesce(cap(ms[0].Buf))
	p.want = min(len(ms), batchSize)
	v.prepare(p.want)
	for i := range p.want {
		v.setRead(i, ms[i].Buf)
	}
	defer v.release(p.want)
	for range maxPending {
		if p.hasErrors.Load() {
			return s.readErrors(p, ms)
		}
		if p.rc.Control(p.recv) != nil {
			return 0, p.closedError()
		}
		switch p.recvErrno {
		case 0:
			n := s.deliver(p, ms[:p.got])
			s.reader.again = s.reader.again || n < p.got
			return n, nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOTSOCK:
			return 0, fmt.Errorf("udpio: read at %v: %w", p.local, p.recvErrno)
		}
		p.hasErrors.Store(p.errors)
	}
	return 0, nil
}

// deliver completes the messages that the kernel wrote, and drops those that were cut off. It
// returns how many are left.
func (s *sockets) deliver(p *port, ms []Message) (n int) {
	v := s.reader.vector
	for i := range ms {
		h := &v.hdrs[i]
		if h.hdr.Flags&unix.MSG_TRUNC != 0 {
			s.truncated.Add(1)
			continue
		}
		m := &ms[n]
		if i != n {
			m.Buf, ms[i].Buf = ms[i].Buf, m.Buf
		}
		n++
		m.Buf = m.Buf[:h.n]
		m.Remote = s.reader.zones.decode(&v.names[i])
		if h.hdr.Namelen == 0 {
			m.Remote = p.peer
		}
		m.Local, m.ECN, m.SegmentSize, m.Err = p.fixed(), 0, 0, nil
		if h.hdr.Controllen == 0 {
			continue
		}
		var r received
		v.controls[i].parse(int(h.hdr.Controllen), &s.reader.zones, &r)
		m.ECN = r.ecn
		if r.segmentSize > 0 && r.segmentSize < len(m.Buf) {
			m.SegmentSize = r.segmentSize
		}
		if p.wildcard && r.local.IsValid() {
			m.Local = netip.AddrPortFrom(r.local, p.local.Port())
		}
		if r.overflows != 0 {
			s.overflows.Add(uint64(r.overflows - p.overflows)) // both counters are modulo 2^32
			p.overflows = r.overflows
		}
	}
	return n
}
