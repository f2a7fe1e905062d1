package main

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// A rebinder is a socket that changes its port without telling the loop. A NAT does the same to a
// connection.
type rebinder struct {
	*udpio.Socket
	now atomic.Pointer[netip.AddrPort] // where datagrams leave; nil before rebind
}

// rebind opens another port of an address. All later datagrams leave from there.
func (r *rebinder) rebind(addr netip.Addr) error {
	local, err := r.AddLocal("udp", netip.AddrPortFrom(addr, 0).String())
	if err == nil {
		r.now.Store(&local)
	}
	return err
}

// WriteBatch is part of [loop.Backend].
func (r *rebinder) WriteBatch(ms []udpio.Message) (int, error) {
	if now := r.now.Load(); now != nil {
		for i := range ms {
			ms[i].Local = *now
		}
	}
	return r.Socket.WriteBatch(ms)
}

// ReadBatch is part of [loop.Backend]. It leaves the local address out, because that has changed.
func (r *rebinder) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := r.Socket.ReadBatch(ms, deadline)
	if r.now.Load() != nil {
		for i := range ms[:n] {
			ms[i].Local = netip.AddrPort{}
		}
	}
	return n, err
}
