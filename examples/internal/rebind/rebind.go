// Package rebind has a socket that does to a connection what a NAT does that forgets: the address
// changes, and nobody is told.
package rebind

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// A Socket is one that changes its port without telling the loop.
type Socket struct {
	*udpio.Socket
	now atomic.Pointer[netip.AddrPort] // where datagrams leave; nil before Rebind
}

// Rebind opens another port of an address, and returns it. All later datagrams leave from there.
func (s *Socket) Rebind(addr netip.Addr) (netip.AddrPort, error) {
	local, err := s.AddLocal("udp", netip.AddrPortFrom(addr, 0).String())
	if err == nil {
		s.now.Store(&local)
	}
	return local, err
}

// WriteBatch is part of [loop.Backend].
func (s *Socket) WriteBatch(ms []udpio.Message) (int, error) {
	if now := s.now.Load(); now != nil {
		for i := range ms {
			ms[i].Local = *now
		}
	}
	return s.Socket.WriteBatch(ms)
}

// ReadBatch is part of [loop.Backend]. It leaves the local address out, because that has changed.
func (s *Socket) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := s.Socket.ReadBatch(ms, deadline)
	if s.now.Load() != nil {
		for i := range ms[:n] {
			ms[i].Local = netip.AddrPort{}
		}
	}
	return n, err
}
