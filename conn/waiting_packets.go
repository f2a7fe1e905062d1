package conn

// Bounds of the packets that wait for their keys (RFC 9001, Section 5.7; RFC 9001, Section 4.1.4
// [1]).
const (
	maxWaiting      = 64 // an initial window of small 0-RTT packets
	maxWaitingBytes = 32 << 10
)

// waitingCost is how many bytes a waiting packet takes besides its own: its place in a list that
// grows by doubling.
const waitingCost = 256

// A waitingPacket came before the keys to open it.
type waitingPacket struct {
	typ  PacketType
	data []byte
	at   arrival // without data and lane
	came instant
}

// waitingPackets holds packets until their keys are there. Until then nobody looks at them, so
// packets that never get keys cost nothing when others come.
type waitingPackets struct {
	list  []waitingPacket
	bytes int    // of the packets alone
	types uint32 // bit t is set if packets of type t wait
}

// held returns how many bytes of memory the packets take.
func (w *waitingPackets) held() int64 { return int64(w.bytes + waitingCost*len(w.list)) }

// add keeps a copy of a packet, and reports whether there is room for it.
func (w *waitingPackets) add(now instant, typ PacketType, pkt []byte, at *arrival) bool {
	if len(w.list) >= maxWaiting || w.bytes+len(pkt) > maxWaitingBytes {
		return false
	}
	p := waitingPacket{typ: typ, data: append([]byte(nil), pkt...), at: *at, came: now.add(-at.waited)}
	p.at.data, p.at.lane = nil, nil
	w.list = append(w.list, p)
	w.bytes += len(pkt)
	w.types |= 1 << typ
	return true
}

// take removes and returns the packets of the given types, in the order in which they came.
func (w *waitingPackets) take(types uint32) (taken []waitingPacket) {
	all := w.list
	*w = waitingPackets{}
	for i := range all {
		p := &all[i]
		if types>>p.typ&1 != 0 {
			taken = append(taken, *p)
			continue
		}
		w.list = append(w.list, *p)
		w.bytes += len(p.data)
		w.types |= 1 << p.typ
	}
	return taken
}

// wait keeps a packet until its keys are there. Loss would cost a probe timeout, but memory is
// bounded.
func (c *Conn) wait(now instant, a *arrival, typ PacketType, pkt []byte) {
	if !c.server && c.handshakeRxMissing() {
		c.hurry(now)
	}
	if c.state == stateConfirmed || !c.mayHold(len(pkt)+waitingCost) || !c.waiting.add(now, typ, pkt, a) {
		c.dropped(&c.e.stats.DroppedUndecryptable, pkt, "no keys yet")
		return
	}
	if c.qlog != nil {
		c.qlog.PacketBuffered(c.e.wall(now), qlogType(typ), len(pkt))
	}
	c.settle()
}

// replayWaiting takes in what waited for keys that are there now, or will not come.
func (c *Conn) replayWaiting(now instant) {
	types := c.waiting.types & c.decided()
	if types == 0 {
		return
	}
	for _, w := range c.waiting.take(types) {
		if c.closed {
			return
		}
		a := w.at
		a.data, a.waited = w.data, now.sub(w.came)
		c.receivePacket(now, &a, w.data)
	}
}

// decided returns the types of packets for which there are keys, or will be none.
func (c *Conn) decided() (types uint32) {
	types = 1 << PacketInitial
	if !c.handshakeRxMissing() {
		types |= 1 << PacketHandshake
	}
	if c.early.rx != nil || !c.cfg.Enable0RTT || c.tls.state != nil {
		types |= 1 << Packet0RTT
	}
	if c.spaces[spaceApp].rx != nil && c.state != stateHandshake {
		types |= 1 << Packet1RTT
	}
	return types
}

func (c *Conn) handshakeRxMissing() bool {
	sp := c.spaces[spaceHandshake]
	return sp != nil && sp.rx == nil
}
