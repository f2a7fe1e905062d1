package loop

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// Limits of the datagrams that a loop holds for another loop. More are dropped, as a full socket
// would drop them. With steered sockets almost nothing is handed over.
const (
	maxHandedBytes = 1 << 20
	maxHandedItems = 4096
)

// A handover is a queue of datagrams for another loop. Their bytes lie one after another in one
// slice, so the queue allocates nothing once it has grown.
type handover struct {
	items []handed
	bytes []byte
}

// handed describes one datagram.
type handed struct {
	size          int
	remote, local netip.AddrPort
	ecn           conn.ECN
}

// add appends a copy of d, which is a single datagram. It reports false if h is full.
func (h *handover) add(d *conn.Datagram) bool {
	if len(h.items) >= maxHandedItems || len(h.bytes)+len(d.Data) > maxHandedBytes {
		return false
	}
	h.bytes = append(h.bytes, d.Data...)
	h.items = append(h.items, handed{len(d.Data), d.Remote, d.Local, d.ECN})
	return true
}

// receive feeds the datagrams to e.
func (h *handover) receive(now time.Time, e *conn.Endpoint) {
	b := h.bytes
	for i := range h.items {
		it := &h.items[i]
		e.Receive(now, conn.Datagram{Data: b[:it.size:it.size], Remote: it.remote, Local: it.local, ECN: it.ecn})
		b = b[it.size:]
	}
}

func (h *handover) clear() { h.items, h.bytes = h.items[:0], h.bytes[:0] }

// A part is a run of datagrams of a batch that belong to one loop.
type part struct {
	d     conn.Datagram
	owner int
}

// split returns the part of batch d that begins at byte at, up to the next datagram of another
// owner. The next part begins at byte next. If next is len(d.Data), there is none.
func (s *sharding) split(d *conn.Datagram, at int) (p part, next int) {
	size := d.SegmentSize
	if size <= 0 || size > len(d.Data) {
		size = len(d.Data)
	}
	next = min(at+size, len(d.Data))
	p = part{d: *d, owner: s.owner(d.Data[at:next])}
	for next < len(d.Data) {
		end := min(next+size, len(d.Data))
		if s.owner(d.Data[next:end]) != p.owner {
			break
		}
		next = end
	}
	if p.d.Data = d.Data[at:next:next]; len(p.d.Data) <= size {
		p.d.SegmentSize = 0
	}
	return p, next
}

// route feeds d to the endpoints that own its datagrams. The kernel joins datagrams by address
// alone, so one batch may hold datagrams of several loops.
func (l *Loop) route(now time.Time, d *conn.Datagram) {
	for at := 0; at < len(d.Data); {
		p, next := l.shards.split(d, at)
		at = next
		switch {
		case p.owner == l.index:
			l.ep.Receive(now, p.d)
		case p.owner >= l.shards.n:
			gen := p.owner - l.shards.n
			l.leaving[gen] = append(l.leaving[gen], p.d)
		default:
			l.handOver(&p)
		}
	}
}

// forward forwards the datagrams of other generations that this turn has read.
func (l *Loop) forward() {
	for gen, ds := range l.leaving {
		if len(ds) > 0 {
			l.shards.generations.Forward(l, gen, ds)
			clear(ds)
			l.leaving[gen] = ds[:0]
		}
	}
}

// handOver hands each datagram of p to the loop that owns it.
func (l *Loop) handOver(p *part) {
	size := p.d.SegmentSize
	if size <= 0 {
		size = len(p.d.Data)
	}
	to := l.group.loops[p.owner]
	one := p.d
	one.SegmentSize = 0
	for b := p.d.Data; len(b) > 0; b = b[len(one.Data):] {
		one.Data = b[:min(size, len(b))]
		if to.mail.hand(&one) {
			l.handedOver++
		} else {
			l.handedLost++
		}
	}
}
