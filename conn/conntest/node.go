package conntest

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

const (
	maxBurst    = 64 << 10 // buffer for Transmit, as package conn recommends
	maxSegments = 64       // what every Linux with UDP GSO takes
	maxBatch    = 65507    // largest UDP payload, and so the largest GRO batch
	spinLimit   = 100      // timers that come to nothing, in spinSpan
	spinSpan    = time.Microsecond
	burstLimit  = 1 << 20 // bursts in one instant without an end
)

// A Node is an endpoint on a Network.
type Node struct {
	*conn.Endpoint // its verbs are the Network's to call
	Addr           netip.AddrPort

	// OnEvent handles the endpoint's events. If nil, they collect in Events.
	OnEvent func(now time.Time, ev conn.Event)
	Events  []conn.Event

	// MaxSegments is how many datagrams the endpoint may write at once, as on a
	// socket with UDP GSO; default 64, and 1 is a socket without it. The network
	// carries them one by one.
	MaxSegments int

	// Coalesce joins datagrams of one size that arrive in the same instant, as a
	// socket with UDP GRO does.
	Coalesce bool

	// Ahead is how much the node's clock is ahead of the Network's. Raise it, and the clock jumps
	// forward, as that of a machine does that slept. Lower it, and the clock was set back. Call
	// HandleTimeout of the Endpoint then: what slept until a time of that clock would wake up late.
	Ahead time.Duration

	index    int           // in Network.nodes
	spins    int           // timers that came to nothing
	spinFrom time.Duration // since when
}

// timeout returns when the node's next timer is due.
func (a *Node) timeout() (at time.Duration, set bool) {
	t := a.Endpoint.Timeout()
	return t.Sub(epoch) - a.Ahead, !t.IsZero()
}

// clock returns what the clock of a shows.
func (n *Network) clock(a *Node) time.Time { return n.Now().Add(a.Ahead) }

// deliver takes the next datagram to its node, which it returns; nil if the
// datagram arrives nowhere. With Node.Coalesce it takes along what can be joined.
func (n *Network) deliver() *Node {
	fl, to := n.fabric.arrive()
	defer n.fabric.recycle(fl)
	if to.node == nil {
		return nil
	}
	d := conn.Datagram{Data: fl.data, Remote: fl.src, Local: to.addr, ECN: fl.ecn}
	if to.node.Coalesce && n.fabric.follows(fl) {
		d.Data, d.SegmentSize = n.join(fl), len(fl.data)
	}
	to.node.Endpoint.Receive(n.clock(to.node), d)
	return to.node
}

// join returns the data of fl and of what follows it. Only the last datagram of a
// batch may be shorter.
func (n *Network) join(fl *flight) []byte {
	size := len(fl.data)
	n.in = append(n.in[:0], fl.data...)
	for k := 1; k < maxSegments && len(n.in)+size <= maxBatch && len(n.in) == k*size && n.fabric.follows(fl); k++ {
		next, _ := n.fabric.arrive()
		n.in = append(n.in, next.data...)
		n.fabric.recycle(next)
	}
	return n.in
}

// drain does what a loop does after it received: it runs the timers of a that are due, and then
// takes events and bursts.
func (n *Network) drain(a *Node) {
	n.t.Helper()
	for {
		n.tick()
		due := n.due(a)
		if due {
			a.Endpoint.HandleTimeout(n.clock(a))
		}
		worked := n.takeEvents(a)
		worked = n.takeBursts(a) || worked
		at, set := a.timeout()
		if due && !a.progresses(n.now, worked, at, set) {
			n.fail("timer spins: %v asked %d times for HandleTimeout within %v, and nothing came of it",
				a.Addr, spinLimit, spinSpan)
		}
		if !set || at > n.now {
			return
		}
	}
}

func (n *Network) due(a *Node) bool {
	at, set := a.timeout()
	return set && at <= n.now
}

// progresses notes that a's timers ran, whether anything came of it, and when the next timer is
// due, if one is set. It reports false if nothing came of it for too many times in a row, and a
// does not even rest.
func (a *Node) progresses(now time.Duration, worked bool, next time.Duration, set bool) bool {
	rests := !set || next > now+spinSpan // a call of the test may have made it due for nothing
	if worked || rests || now-a.spinFrom > spinSpan {
		a.spins, a.spinFrom = 0, now
		return true
	}
	a.spins++
	return a.spins < spinLimit
}

// takeEvents hands a's events over. It reports whether there were any.
func (n *Network) takeEvents(a *Node) (any bool) {
	for {
		ev, ok := a.Endpoint.NextEvent()
		if !ok {
			return any
		}
		any = true
		if a.OnEvent != nil {
			a.OnEvent(n.clock(a), ev)
		} else {
			a.Events = append(a.Events, ev)
		}
	}
}

// takeBursts sends what a has to send. It reports whether there was anything.
func (n *Network) takeBursts(a *Node) (any bool) {
	n.t.Helper()
	limit := a.MaxSegments
	if limit == 0 {
		limit = maxSegments
	}
	for range burstLimit {
		b, ok := a.Endpoint.Transmit(n.clock(a), n.out, limit)
		if !ok {
			return any
		}
		any = true
		if b.N <= 0 || b.N > len(n.out) || b.SegmentSize <= 0 || (b.N-1)/b.SegmentSize >= limit {
			n.fail("%v wrote a burst of %d bytes in segments of %d; at most %d fit, in %d segments",
				a.Addr, b.N, b.SegmentSize, len(n.out), limit)
		}
		n.send(a, b)
	}
	n.fail("%v does not stop to transmit", a.Addr)
	return any
}

// send takes burst b, in n.out, apart.
func (n *Network) send(a *Node, b conn.Burst) {
	src := b.Local
	if !src.IsValid() {
		src = a.Addr
	}
	for data := n.out[:b.N]; len(data) > 0; {
		k := min(b.SegmentSize, len(data))
		n.fabric.send(n.now, a, unmap(src), b.Remote, b.ECN, data[:k])
		data = data[k:]
	}
}
