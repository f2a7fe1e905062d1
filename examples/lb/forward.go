package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// batch is how many messages are read at a time. Each may be 64 KiB of datagrams.
const batch = 32

// A forwarder is one loop: a socket that clients know, the flows that came there, and the goroutine
// that owns both. Forwarders share nothing but the pool.
type forwarder struct {
	socket *udpio.Socket // with NAT it also has the ports for replies
	port   uint16        // that clients know
	pool   *atomic.Pointer[pool]
	flows  *flows
	outlet outlet
	ports  map[uint16]int // of replies, by number; empty without NAT
	batch  []udpio.Message
	locals []netip.AddrPort // addresses that clients have used, as many as maxLocals

	refused func(netip.AddrPort) // called when nobody listens at the address of a backend
	scratch [64]byte
	counters
}

// An outlet passes what clients send on to backends.
type outlet interface {
	// send passes on a message of a flow. The buffer is lent until flush.
	send(f *forwarder, fl *flow, m udpio.Message) error

	// flush ends a turn.
	flush(f *forwarder)

	// tooBig tells the backend of a flow that a datagram for the client was longer than mtu bytes,
	// with the IP header. A router has said so, and sent its beginning back.
	tooBig(f *forwarder, fl *flow, from netip.Addr, mtu int, beginning []byte)

	close()
}

// maxLocals bounds forwarder.locals.
const maxLocals = 16

// newForwarder makes a forwarder of a socket that listens.
func newForwarder(s *udpio.Socket, p *atomic.Pointer[pool], o outlet, c *flowConfig) *forwarder {
	return &forwarder{
		socket: s, port: s.LocalAddr().Port(), pool: p, outlet: o,
		flows: newFlows(c.Max, time.Duration(c.Idle)), ports: make(map[uint16]int),
		refused: func(netip.AddrPort) {},
	}
}

// run forwards until the socket is closed.
func (f *forwarder) run() error {
	ms := make([]udpio.Message, batch)
	for i := range ms {
		ms[i].Buf = make([]byte, 64<<10)
	}
	for {
		n, err := f.socket.ReadBatch(ms, time.Time{})
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		f.turn(ms[:n], time.Now())
	}
}

// turn forwards what one call has read.
func (f *forwarder) turn(ms []udpio.Message, now time.Time) {
	f.batch = f.batch[:0]
	for i := range ms {
		switch m := &ms[i]; {
		case m.Err != nil:
			f.complaint(m)
		case m.Local.Port() == f.port:
			f.inbound(m, now)
		default:
			f.reply(m, now)
		}
	}
	f.outlet.flush(f)
	f.write()
	f.flowsNow.Store(int64(len(f.flows.flows)))
	f.evicted.Store(f.flows.evicted)
}

// inbound forwards the datagrams of a message. Consecutive ones to one backend stay together.
func (f *forwarder) inbound(m *udpio.Message, now time.Time) {
	p, size := f.pool.Load(), m.SegmentSize
	if size == 0 {
		size = max(len(m.Buf), 1)
	}
	last := f.flows.last(m.Remote, m.Local)
	var to *backend
	start := 0
	for off := 0; off == 0 || off < len(m.Buf); off += size {
		b, why := p.pick(m.Buf[off:min(off+size, len(m.Buf))], m.Remote, last, &f.scratch)
		f.picked[why].Add(1)
		if b != to {
			f.pass(m, start, off, to, now)
			start, to = off, b
		}
	}
	f.pass(m, start, len(m.Buf), to, now)
}

// pass forwards a part of a message.
func (f *forwarder) pass(m *udpio.Message, start, end int, to *backend, now time.Time) {
	if to == nil {
		f.dropped.Add(uint64(min(end-start, 1)))
		return
	}
	fl := f.flows.use(m.Remote, m.Local, to, now)
	f.note(m.Local)
	part := udpio.Message{Buf: m.Buf[start:end], SegmentSize: m.SegmentSize, ECN: m.ECN}
	if err := f.outlet.send(f, fl, part); err != nil {
		f.dropped.Add(1)
	}
}

// note remembers an address that clients use.
func (f *forwarder) note(local netip.AddrPort) {
	for _, l := range f.locals {
		if l == local {
			return
		}
	}
	if len(f.locals) < maxLocals {
		f.locals = append(f.locals, local)
	}
}

// reply forwards a message of a backend to its client.
func (f *forwarder) reply(m *udpio.Message, now time.Time) {
	port, ok := f.ports[m.Local.Port()]
	fl := f.flows.reply(port, m.Remote, now)
	if !ok || fl == nil {
		f.strays.Add(1)
		return
	}
	f.replies.Add(uint64(segments(m)))
	f.batch = append(f.batch, udpio.Message{
		Buf: m.Buf, SegmentSize: m.SegmentSize, ECN: m.ECN, Remote: fl.client, Local: fl.local,
	})
}

// segments returns the number of datagrams of a message.
func segments(m *udpio.Message) int {
	if m.SegmentSize == 0 {
		return 1
	}
	return (len(m.Buf) + m.SegmentSize - 1) / m.SegmentSize
}

// write writes the batch. What finds no room is dropped, as a router would.
func (f *forwarder) write() {
	for ms := f.batch; len(ms) > 0; {
		n, err := f.socket.WriteBatch(ms)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if ms = ms[n:]; len(ms) > 0 {
			f.dropped.Add(uint64(segments(&ms[0])))
			ms = ms[1:]
		}
	}
}

// complaint reads what an ICMP message says of a datagram that was sent.
func (f *forwarder) complaint(m *udpio.Message) {
	var e *udpio.ICMPError
	if !errors.As(m.Err, &e) {
		return
	}
	switch {
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		f.refused(m.Remote)
	case errors.Is(e.Err, syscall.EMSGSIZE):
		f.tooBigs.Add(1)
		for _, local := range f.locals {
			if fl := f.flows.byClient[clientKey{m.Remote, local}]; fl != nil {
				f.outlet.tooBig(f, fl, e.From, e.MTU, m.Buf)
			}
		}
	}
}
