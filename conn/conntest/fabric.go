package conntest

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A fabric carries datagrams between nodes. It knows addresses, links and what is
// on its way, and nothing of endpoints.
type fabric struct {
	seed  uint64
	model *Link                             // of links that were never set
	links map[[2]int]*link                  // by index of the nodes it comes from and goes to
	pairs map[[2]netip.AddrPort]*link       // of addresses that have a link of their own
	hosts map[netip.AddrPort]host           // by the address that others see
	seen  map[netip.AddrPort]netip.AddrPort // that address, by the one a node has
	queue queue
	seq   uint64
	// links that were made for pairs of addresses
	paired uint64
	spare  []*flight // to be used again

	packet     Packet // what Filter sees
	transcript transcript
	trace      trace
}

// A host is a node and the address that it has, in its own eyes.
type host struct {
	node *Node
	addr netip.AddrPort
}

func (f *fabric) init(model *Link, seed uint64) {
	f.seed, f.model = seed, model
	f.links = make(map[[2]int]*link)
	f.pairs = make(map[[2]netip.AddrPort]*link)
	f.hosts = make(map[netip.AddrPort]host)
	f.seen = make(map[netip.AddrPort]netip.AddrPort)
	f.transcript.init()
}

// link returns the link from a to b.
func (f *fabric) link(a, b *Node) *link {
	key := [2]int{a.index, b.index}
	l := f.links[key]
	if l == nil {
		l = newLink(f.model, f.seed, uint64(a.index)<<32|uint64(b.index))
		f.links[key] = l
	}
	return l
}

// between returns the link from an address of a to an address of b, as others see them.
func (f *fabric) between(a, b *Node, src, dst netip.AddrPort) *link {
	if l := f.pairs[[2]netip.AddrPort{src, dst}]; l != nil {
		return l
	}
	return f.link(a, b)
}

// setPair gives two addresses a link of their own.
func (f *fabric) setPair(src, dst netip.AddrPort, model *Link) {
	key := [2]netip.AddrPort{src, dst}
	if f.pairs[key] == nil {
		f.paired++
		f.pairs[key] = newLink(model, f.seed, 1<<63|f.paired)
	}
	f.pairs[key].set(model)
}

// bind makes addr, an address of node a, appear to others as outside, and as
// nothing else. It reports false if another address appears so.
func (f *fabric) bind(a *Node, addr, outside netip.AddrPort) bool {
	if h, taken := f.hosts[outside]; taken && h != (host{a, addr}) {
		return false
	}
	if old, ok := f.seen[addr]; ok {
		delete(f.hosts, old)
	}
	f.hosts[outside] = host{a, addr}
	f.seen[addr] = outside
	return true
}

// send puts a copy of data on its way from address src of node a to dst.
func (f *fabric) send(now time.Duration, a *Node, src, dst netip.AddrPort, ecn conn.ECN, data []byte) {
	p := &f.packet
	*p = Packet{Src: f.seen[src], Dst: unmap(dst), ECN: ecn, Sent: epoch.Add(now)}
	from, to := f.hosts[p.Src], f.hosts[p.Dst]
	if from.node != a || to.node == nil {
		f.trace.add(now, now, noRoute, src, p.Dst, data)
		return
	}
	fl := f.flight()
	fl.data = append(fl.data[:0], data...)
	p.Data = fl.data
	t := f.between(a, to.node, p.Src, p.Dst).send(now, p)
	if t.n == 0 {
		f.trace.add(now, now, t.fate, p.Src, p.Dst, p.Data)
		f.recycle(fl)
		return
	}
	fl.data = p.Data
	fl.sent, fl.src, fl.dst, fl.ecn = now, p.Src, p.Dst, p.ECN
	f.depart(fl, max(t.at[0], now), t.fate)
	if t.n == 2 {
		dup := f.flight()
		dup.data = append(dup.data[:0], fl.data...)
		dup.sent, dup.src, dup.dst, dup.ecn = fl.sent, fl.src, fl.dst, fl.ecn
		f.depart(dup, max(t.at[1], now), t.fate&^late|duplicate)
	}
}

func (f *fabric) depart(fl *flight, at time.Duration, how fate) {
	fl.at, fl.seq, fl.fate = at, f.seq, how
	f.seq++
	f.queue.push(fl)
}

// arrive removes the next flight and says where it arrives. That is no node, if none appears as its
// destination any more. The flight must be recycled.
func (f *fabric) arrive() (*flight, host) {
	fl := f.queue.pop()
	to := f.hosts[fl.dst]
	if to.node == nil {
		f.trace.add(fl.at, fl.sent, noRoute, fl.src, fl.dst, fl.data)
		return fl, to
	}
	f.trace.add(fl.at, fl.sent, fl.fate, fl.src, fl.dst, fl.data)
	f.transcript.add(fl)
	return fl, to
}

// follows reports whether the next flight can be joined to first in a GRO batch.
func (f *fabric) follows(first *flight) bool {
	if len(f.queue) == 0 {
		return false
	}
	next := f.queue[0]
	return next.at == first.at && next.src == first.src && next.dst == first.dst &&
		next.ecn == first.ecn && len(next.data) > 0 && len(next.data) <= len(first.data)
}

// flight returns one to fill, whose data may be overwritten.
func (f *fabric) flight() *flight {
	if k := len(f.spare); k > 0 {
		fl := f.spare[k-1]
		f.spare = f.spare[:k-1]
		return fl
	}
	return &flight{data: make([]byte, 0, defaultMTU)}
}

func (f *fabric) recycle(fl *flight) { f.spare = append(f.spare, fl) }

// unmap returns ap without the mapping of IPv4 to IPv6.
func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
