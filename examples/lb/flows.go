package main

import (
	"net/netip"
	"time"
)

// A flow is a client's address that has sent to a backend. A client that changes its address
// becomes another flow, and the server sees another address, too.
type flow struct {
	clientKey
	backend *backend
	port    int // by which replies come back, from 0 on

	used       time.Time
	prev, next *flow // in the order of use
}

// A clientKey tells clients apart. Local is the balancer's address that the client knows.
type clientKey struct{ client, local netip.AddrPort }

// A flowKey tells flows apart.
type flowKey struct {
	clientKey
	backend *backend
}

// A replyKey tells replies apart.
type replyKey struct {
	port int
	from netip.AddrPort // the backend
}

// flows are the flows of one loop. There are at most max. The one that was not used for the longest
// time makes room. That costs a connection nothing but the validation of a new path, because its
// next datagram becomes a flow again. So somebody who floods with forged addresses breaks nothing.
type flows struct {
	max  int
	idle time.Duration // until a flow is forgotten

	flows    map[flowKey]*flow
	byClient map[clientKey]*flow // the one that the client has used last
	byReply  map[replyKey]*flow
	ports    map[*backend]*portList
	ends     flow // a ring: ends.next was used last
	evicted  uint64
}

// restingPorts is how many free ports rest before the first of them is used again.
const restingPorts = 64

// A portList says which ports are free for replies of one backend.
type portList struct {
	fresh int   // ports from this one on were not used yet
	free  []int // the oldest first, so that late replies find nobody
	used  int
}

func newFlows(limit int, idle time.Duration) *flows {
	f := &flows{
		max: limit, idle: idle,
		flows: make(map[flowKey]*flow), byClient: make(map[clientKey]*flow), byReply: make(map[replyKey]*flow), ports: make(map[*backend]*portList),
	}
	f.ends.next, f.ends.prev = &f.ends, &f.ends
	return f
}

// last returns the backend to which a client has sent last, or nil.
func (f *flows) last(client, local netip.AddrPort) *backend {
	if fl := f.byClient[clientKey{client, local}]; fl != nil {
		return fl.backend
	}
	return nil
}

// use returns the flow of a client to a backend, which it makes if need be.
func (f *flows) use(client, local netip.AddrPort, b *backend, now time.Time) *flow {
	f.expire(now)
	key := clientKey{client, local}
	fl := f.flows[flowKey{key, b}]
	if fl == nil {
		if len(f.flows) == f.max {
			f.evicted++
			f.remove(f.ends.prev)
		}
		fl = &flow{clientKey: key, backend: b, port: f.takePort(b)}
		f.flows[flowKey{key, b}] = fl
		f.byReply[replyKey{fl.port, b.addr}] = fl
	}
	f.byClient[key] = fl
	f.touch(fl, now)
	return fl
}

// reply returns the flow that a datagram of a backend belongs to, or nil.
func (f *flows) reply(port int, from netip.AddrPort, now time.Time) *flow {
	fl := f.byReply[replyKey{port, from}]
	if fl != nil {
		f.touch(fl, now)
	}
	return fl
}

// touch makes fl the one that was used last.
func (f *flows) touch(fl *flow, now time.Time) {
	if fl.next != nil {
		fl.prev.next, fl.next.prev = fl.next, fl.prev
	}
	fl.used = now
	fl.prev, fl.next = &f.ends, f.ends.next
	fl.prev.next, fl.next.prev = fl, fl
}

// expire forgets flows that nobody uses.
func (f *flows) expire(now time.Time) {
	for len(f.flows) > 0 && now.Sub(f.ends.prev.used) >= f.idle {
		f.remove(f.ends.prev)
	}
}

// remove forgets fl.
func (f *flows) remove(fl *flow) {
	fl.prev.next, fl.next.prev = fl.next, fl.prev
	delete(f.flows, flowKey{fl.clientKey, fl.backend})
	if f.byClient[fl.clientKey] == fl {
		delete(f.byClient, fl.clientKey)
	}
	delete(f.byReply, replyKey{fl.port, fl.backend.addr})
	l := f.ports[fl.backend]
	l.free = append(l.free, fl.port)
	if l.used--; l.used == 0 {
		delete(f.ports, fl.backend)
	}
}

// takePort returns a port that no other flow to the backend has. It is less than max.
func (f *flows) takePort(b *backend) int {
	l := f.ports[b]
	if l == nil {
		l = new(portList)
		f.ports[b] = l
	}
	l.used++
	if len(l.free) < restingPorts && l.fresh < f.max {
		l.fresh++
		return l.fresh - 1
	}
	port := l.free[0]
	l.free = l.free[1:]
	return port
}
