package udpio

import (
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fewPorts is how many sockets are simply tried in turn. With more of them, ReadBatch asks the
// epoll set which have something, and WriteBatch finds a socket by its number.
const fewPorts = 8

// A directory finds the ports of a Socket that has many. Its size goes by the descriptors of a
// whole process, so a Socket of few ports has none. Lookups take no lock; whoever changes it holds
// sockets.mu.
type directory struct {
	byFD     atomic.Pointer[[]*port] // by descriptor; never changed in place
	byNumber [256]atomic.Pointer[[256]atomic.Pointer[port]]
}

// enter enters p, which comes to the others. ReadBatch must not find it yet.
func (s *sockets) enter(p *port, others []*port) {
	d := s.directory.Load()
	if d == nil {
		if len(others) < fewPorts {
			return
		}
		d = new(directory)
		for _, other := range others {
			d.add(other)
		}
	}
	d.add(p)
	s.directory.Store(d)
}

// forget takes p out, whose descriptor is still open.
func (s *sockets) forget(p *port) {
	if d := s.directory.Load(); d != nil {
		d.remove(p)
	}
}

// add enters a port.
func (d *directory) add(p *port) {
	var fds []*port
	if old := d.byFD.Load(); old != nil {
		fds = append(fds, *old...)
	}
	for len(fds) <= p.fd {
		fds = append(fds, nil)
	}
	fds[p.fd] = p
	d.byFD.Store(&fds)
	number := p.local.Port()
	page := &d.byNumber[number>>8]
	if page.Load() == nil {
		page.Store(new([256]atomic.Pointer[port]))
	}
	page.Load()[number&0xff].Store(p)
}

// remove takes a port out.
func (d *directory) remove(p *port) {
	fds := append([]*port(nil), *d.byFD.Load()...)
	fds[p.fd] = nil
	d.byFD.Store(&fds)
	d.byNumber[p.local.Port()>>8].Load()[p.local.Port()&0xff].CompareAndSwap(p, nil)
}

// owner returns the port that owns local, if it is the last that was added with that number. It
// returns nil if some other port may.
func (d *directory) owner(local netip.AddrPort) *port {
	page := d.byNumber[local.Port()>>8].Load()
	if page == nil {
		return nil
	}
	if p := page[local.Port()&0xff].Load(); p != nil && p.owns(local) {
		return p
	}
	return nil
}

// A readyList is where the kernel writes which sockets are ready.
type readyList [64]unix.EpollEvent

// maxRounds bounds how often one ReadBatch asks which sockets are ready, and then finds nothing
// there. A datagram with a wrong checksum does that.
const maxRounds = 3

// readReady reads from the ports of d that the epoll set names. It reports false if they had
// nothing, although they seemed ready, so that all have to be tried.
//
// The netpoller sees an edge whenever a socket becomes ready. So nothing is lost if the kernel
// names none before the goroutine parks.
func (s *sockets) readReady(d *directory) (ok bool) {
	r := &s.reader
	for range maxRounds {
		n, err := unix.EpollWait(s.poller.epfd, r.ready[:], 0)
		if err != nil {
			continue // EINTR
		}
		named := 0
		r.first++
		fds := *d.byFD.Load()
		for i := range n {
			ev := &r.ready[(r.first+i)%n]
			if int(ev.Fd) >= len(fds) || fds[ev.Fd] == nil {
				continue // the timerfd, or a socket that is new or gone
			}
			named++
			p := fds[ev.Fd]
			r.room = s.checkRoom(p) || r.room
			if r.n == len(r.ms) || s.paused.Load() {
				continue
			}
			n, err := s.readPort(p, r.ms[r.n:])
			r.n += n
			if err != nil {
				r.err = err
				return true
			}
		}
		if named == 0 || r.room || r.n > 0 || r.again {
			return true
		}
	}
	return false
}
