package looptest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// maxSpins is how often a loop may call ReadBatch at one instant without reading anything.
const maxSpins = 500

// maxSegments is how many segments of GSO the network simulates.
const maxSegments = 16

// A backend is a socket of the network. Network.mu guards its fields.
type backend struct {
	n        *Network
	addrs    []netip.AddrPort // the first is that of Listen
	arrivals arrivals
	woken    bool
	closed   bool
	changed  chan struct{} // has a token if ReadBatch must look again

	spins int       // calls of ReadBatch at one instant that read nothing
	since time.Time // that instant
}

var _ loop.PathBackend = (*backend)(nil)

func (b *backend) notify() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// ReadBatch implements [loop.Backend]. It lends memory of its own.
func (b *backend) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	for {
		n, until, err := b.poll(ms, deadline)
		if n >= 0 || err != nil {
			return max(n, 0), err
		}
		b.wait(until)
	}
}

// poll returns what ReadBatch is to return now. If n < 0, ReadBatch has to wait, at most until the
// time until.
func (b *backend) poll(ms []udpio.Message, deadline time.Time) (n int, until time.Time, err error) {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	now := time.Now()
	if b.closed {
		return 0, until, net.ErrClosed
	}
	for n < len(ms) && len(b.arrivals) > 0 && !b.arrivals[0].at.After(now) {
		a := b.arrivals.next()
		p := a.packet
		ms[n] = udpio.Message{Buf: p.Data, Remote: p.Src, Local: a.to, ECN: uint8(p.ECN)}
		n++
	}
	if n > 0 || b.woken {
		b.woken, b.spins = false, 0
		return n, until, nil
	}
	if !deadline.IsZero() && !deadline.After(now) {
		return 0, until, b.spun(now)
	}
	until = deadline
	if len(b.arrivals) > 0 && (until.IsZero() || b.arrivals[0].at.Before(until)) {
		until = b.arrivals[0].at
	}
	return -1, until, nil
}

// spun counts calls that read nothing. It returns an error, which ends the loop, if there are too
// many.
func (b *backend) spun(now time.Time) error {
	if !now.Equal(b.since) {
		b.since, b.spins = now, 0
	}
	if b.spins++; b.spins < maxSpins {
		return nil
	}
	b.n.t.Errorf("looptest: the loop at %v spins", b.addrs[0])
	b.closed = true
	return net.ErrClosed
}

// wait returns when something has changed, or at the time until. A zero until means never.
func (b *backend) wait(until time.Time) {
	if until.IsZero() {
		<-b.changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-b.changed:
	case <-timer.C:
	}
}

// WriteBatch implements [loop.Backend].
func (b *backend) WriteBatch(ms []udpio.Message) (int, error) {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	if b.closed {
		return 0, net.ErrClosed
	}
	b.spins = 0
	now := time.Now()
	for i := range ms {
		m := &ms[i]
		from, ok := b.source(m.Local)
		if !ok {
			continue
		}
		size := m.SegmentSize
		if size <= 0 {
			size = len(m.Buf)
		}
		for data := m.Buf; len(data) > 0; {
			k := min(size, len(data))
			b.n.send(now, from, conntest.Packet{Data: data[:k], Dst: m.Remote, ECN: conn.ECN(m.ECN)})
			data = data[k:]
		}
	}
	return len(ms), nil
}

// Wake implements [loop.Backend].
func (b *backend) Wake() {
	b.n.mu.Lock()
	b.woken = true
	b.n.mu.Unlock()
	b.notify()
}

// Caps implements [loop.Backend].
func (b *backend) Caps() udpio.Caps {
	return udpio.Caps{MaxSegments: maxSegments, ECN: true, LocalAddr: true}
}

// LocalAddr implements [loop.Backend].
func (b *backend) LocalAddr() netip.AddrPort {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	return b.addrs[0]
}

// source returns the address from which a message with that Local is sent. It reports false if the
// address was removed.
func (b *backend) source(local netip.AddrPort) (netip.AddrPort, bool) {
	if !local.IsValid() {
		return b.addrs[0], true
	}
	return local, slices.Contains(b.addrs, local)
}

// AddInterface implements [loop.PathBackend]: it adds at.Addr, with the port of the address of
// Listen or the next one that is free.
func (b *backend) AddInterface(at udpio.Interface) (netip.AddrPort, error) {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	if b.closed {
		return netip.AddrPort{}, net.ErrClosed
	}
	addr := netip.AddrPortFrom(at.Addr, b.addrs[0].Port())
	for b.n.backends[addr] != nil {
		addr = netip.AddrPortFrom(at.Addr, addr.Port()+1)
	}
	b.addrs = append(b.addrs, addr)
	b.n.backends[addr] = b
	return addr, nil
}

// RemoveLocal implements [loop.PathBackend].
func (b *backend) RemoveLocal(local netip.AddrPort) error {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	i := slices.Index(b.addrs, local)
	if i < 0 || len(b.addrs) == 1 {
		return fmt.Errorf("looptest: %v cannot be removed", local)
	}
	b.addrs = slices.Delete(b.addrs, i, i+1)
	delete(b.n.backends, local)
	return nil
}

// Close implements [loop.Backend]. The address may be used again.
func (b *backend) Close() error {
	b.n.mu.Lock()
	defer b.n.mu.Unlock()
	for _, addr := range b.addrs {
		if b.n.backends[addr] == b {
			delete(b.n.backends, addr)
		}
	}
	b.closed = true
	b.notify()
	return nil
}
