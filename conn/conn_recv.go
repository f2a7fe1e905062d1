package conn

import (
	"bytes"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// receive takes in a datagram, which may hold several packets (RFC 9000, Section 12.2).
// RFC 9000, Section 12.2 [1, 5, 6].
func (c *Conn) receive(now instant, a *arrival) {
	if !c.server && !c.hears(a.remote) { // RFC 9000, Section 9 [5]; RFC 9000, Section 9.6 [1]
		if !c.cfg.AcceptFromAnywhere {
			c.dropped(&c.e.stats.DroppedUnroutable, a.data, "unknown server address")
			return
		}
		here := *a
		here.remote = c.path.remote
		a = &here
	}
	if c.qlog != nil {
		c.qlogUDPReceived(c.e.wall(now), a)
	}
	c.stats.BytesReceived += uint64(len(a.data))
	c.credit(a)
	opened := c.stats.PacketsReceived
	for b := a.data; len(b) > 0 && !c.closed; {
		if len(b) < len(a.data) && !sameDestination(a.data, b) {
			c.dropped(&c.e.stats.DroppedUnroutable, b, "another connection ID than the packet before")
			break
		}
		n := c.receivePacket(now, a, b)
		if len(b) == len(a.data) && c.stats.PacketsReceived == opened && !c.closed && c.isReset(now, a.data) {
			break // RFC 9000, Section 10.3: other versions may reset with a long header
		}
		if n <= 0 {
			break
		}
		b = b[n:]
	}
	c.wake()
}

// sameDestination reports whether a packet goes to the connection ID of the first one in its
// datagram, which has a long header.
// RFC 9000, Section 12.2 [4].
func sameDestination(first, b []byte) bool {
	n := 6 + int(first[5])
	if wire.IsLong(b[0]) {
		return len(b) >= n && bytes.Equal(first[5:n], b[5:n])
	}
	return len(b) >= n-5 && bytes.Equal(first[6:n], b[1:n-5])
}

// receivePacket takes in the packet at the start of b, and returns its length. It returns 0 if no
// other packet can be found behind it.
// RFC 9000, Section 17.2.2 [2].
func (c *Conn) receivePacket(now instant, a *arrival, b []byte) int {
	if !wire.IsLong(b[0]) {
		c.receiveShort(now, a, b)
		return 0
	}
	version, _, _, ok := wire.ParseInvariant(b)
	if ok && version == 0 {
		c.receiveVersionNegotiation(now, b)
		return 0
	}
	h, ok := wire.ParseLong(b)
	ok = ok && c.cfg.takesFirst(b[0])
	var otherRx *keys.Keys
	if ok && h.Version != c.version { // RFC 9369, Section 4.1 [2, 8]; RFC 9000, Section 5.2.1 [1]
		if otherRx = c.initialRx(&h); otherRx == nil && (h.Type != wire.Type0RTT || h.Version != c.versions.original) {
			ok = false
		}
	}
	if !ok {
		c.dropped(&c.e.stats.DroppedMalformed, b, "malformed header")
		return 0
	}
	// RFC 9000, Section 12.2: packets of other connections in the datagram are not ours.
	if !c.routes.hasID(h.DCID) {
		c.dropped(&c.e.stats.DroppedUnroutable, b[:h.End], "unknown connection ID")
		return h.End
	}
	switch h.Type {
	case wire.TypeRetry:
		c.receiveRetry(now, b, h)
		return 0
	case wire.Type0RTT:
		c.early.came = c.early.came || c.server
		// Until TLS has seen the ClientHello, it is not known whether 0-RTT is accepted.
		// RFC 9001, Section 4.6.2 [1], and RFC 9001, Section 5.6 [5]
		if !c.server || c.early.rx == nil && (!c.cfg.Enable0RTT || c.tls.state != nil) {
			c.dropped(&c.e.stats.DroppedUndecryptable, b[:h.End], "0-RTT is not accepted")
			return h.End
		}
	case wire.TypeInitial:
		// RFC 9000, Sections 14.1 and 17.2.2. Both allow closing as well, but this packet has not
		// been opened: anybody may have written it.
		if c.server && len(a.data) < minMTU || !c.server && len(h.Token) > 0 {
			c.dropped(&c.e.stats.DroppedMalformed, b[:h.End], "Initial in a small datagram, or with a token of a server")
			return h.End
		}
	}
	c.receiveLong(now, a, b[:h.End], h, otherRx)
	return h.End
}

// receiveLong takes in an Initial, 0-RTT or Handshake packet. otherRx opens one of another version
// than the one in use.
// RFC 9000, Section 17.2 [9].
func (c *Conn) receiveLong(now instant, a *arrival, pkt []byte, h wire.Long, otherRx *keys.Keys) {
	id := spaceInitial
	switch h.Type {
	case wire.TypeHandshake:
		id = spaceHandshake
	case wire.Type0RTT:
		id = spaceApp
	}
	sp := c.spaces[id]
	if sp == nil {
		c.dropped(&c.e.stats.DroppedUndecryptable, pkt, "keys discarded")
		return
	}
	rx := sp.rx
	if h.Type == wire.Type0RTT {
		rx = c.early.rx
	}
	if otherRx != nil {
		rx = otherRx
	}
	if rx == nil {
		c.wait(now, a, packetTypeOf(id, h.Type == wire.Type0RTT), pkt)
		return
	}
	pnLen, truncated, ok := rx.Unprotect(pkt, h.PNOff)
	if !ok {
		c.dropped(&c.e.stats.DroppedMalformed, pkt, "too short")
		return
	}
	pn := wire.DecodePacketNumber(sp.recv.largest, truncated, pnLen)
	// RFC 9001, Section 9.5 [1]: whether a number came before shows behind the open alone.
	payload, ok := rx.Open(pkt, h.PNOff+pnLen, pn)
	if !ok {
		if c.openFailed(rx); c.closed {
			return
		}
		c.dropped(&c.e.stats.DroppedUndecryptable, pkt, "authentication failed")
		return
	}
	if sp.recv.duplicate(pn) {
		c.dropped(&c.e.stats.DroppedDuplicate, pkt, "duplicate")
		return
	}
	c.followVersion(h.Version) // RFC 9369, Section 4.1 [5, 7]
	if c.server && h.Type == wire.TypeHandshake {
		// RFC 9000, Section 8.1, and RFC 9001, Section 4.9.1 [2, 3].
		c.path.validated = true
		c.dropSpace(spaceInitial)
	}
	if !c.server && h.Type == wire.TypeInitial && !c.remote.chosen {
		// RFC 9000, Section 7.2: the client uses the ID that the server chose.
		id, _ := ConnIDFromSlice(h.SCID)
		// RFC 9000, Section 7.2 [2, 4].
		c.remote.ids[0].id, c.remote.handshake, c.remote.chosen = id, id, true
	} else if !c.remote.handshake.equal(h.SCID) && h.Type != wire.Type0RTT {
		// RFC 9000, Section 7.2.
		// RFC 9000, Section 7.2 [3, 6].
		c.dropped(&c.e.stats.DroppedMalformed, pkt, "source connection ID changed")
		return
	}
	p := received{space: sp, now: now, pn: pn, pkt: pkt, payload: payload, dcid: h.DCID, at: a, early: h.Type == wire.Type0RTT}
	if wire.ReservedBits(pkt[0]) != 0 {
		c.abort(violation(errProtocolViolation, 0, "reserved bits are set"))
		return
	}
	c.process(&p)
}

// receiveShort takes in a 1-RTT packet: the hot path.
// RFC 9287, Section 3 [2]; RFC 9000, Section 12.3 [5].
func (c *Conn) receiveShort(now instant, a *arrival, pkt []byte) {
	if !c.cfg.takesFirst(pkt[0]) {
		if !c.isReset(now, pkt) {
			c.dropped(&c.e.stats.DroppedMalformed, pkt, "without the fixed bit")
		}
		return
	}
	// RFC 9001, Section 5.7 [1, 2, 3]: 1-RTT packets wait until the handshake is complete.
	if c.app.rx == nil || c.state == stateHandshake {
		if !c.isReset(now, pkt) {
			c.wait(now, a, Packet1RTT, pkt)
		}
		return
	}
	n, l := a.idLen, a.lane
	if l == nil {
		n, l = c.routes.startOf(pkt[1:])
		if n < 0 || len(pkt) <= 1+n { // RFC 9000, Section 10.3 [6]
			c.dropped(&c.e.stats.DroppedMalformed, pkt, "too short")
			return
		}
		c.e.routes.note(pkt[1:1+n], l)
	}
	pnOff := 1 + n
	sp := l.app
	if sp.rx == nil {
		l.receiveFirst(now, a, pkt, pnOff)
		return
	}
	dcid := pkt[1:pnOff]
	pnLen, truncated, ok := sp.rx.Unprotect(pkt, pnOff)
	if !ok {
		c.undecryptable(now, pkt)
		return
	}
	pn := wire.DecodePacketNumber(sp.recv.largest, truncated, pnLen)
	// RFC 9001, Section 9.5 [1]: whether a number came before shows behind the open alone.
	payload, ok := c.open(now, sp, pkt, pnOff+pnLen, pn)
	if !ok {
		if !c.closed {
			c.undecryptable(now, pkt)
		}
		return
	}
	if sp.recv.duplicate(pn) {
		c.dropped(&c.e.stats.DroppedDuplicate, pkt, "duplicate")
		return
	}
	if wire.ReservedBits(pkt[0]) != 0 { // RFC 9000, Section 17.3.1 [3]
		c.abort(violation(errProtocolViolation, 0, "reserved bits are set"))
		return
	}
	// A literal would be copied 16 bytes at a time, and such a load waits for the narrow stores.
	var p received
	p.space, p.now, p.pn, p.at = sp, now, pn, a
	p.pkt, p.payload, p.dcid = pkt, payload, dcid
	c.process(&p)
}

// undecryptable handles a packet that does not open: it may be a stateless reset (RFC 9000,
// Section 10.3.1).
// RFC 9000, Section 10.3.1 [1].
func (c *Conn) undecryptable(now instant, pkt []byte) {
	if !c.isReset(now, pkt) {
		c.dropped(&c.e.stats.DroppedUndecryptable, pkt, "authentication failed")
	}
}

// isReset ends the connection if the packet is a stateless reset of it.
func (c *Conn) isReset(now instant, pkt []byte) bool {
	if c.e.resetBy(pkt) != c {
		return false
	}
	c.statelessReset(now)
	return true
}

// dropped counts a packet that is not processed.
func (c *Conn) dropped(counter *uint64, pkt []byte, reason string) {
	*counter++
	if c.traced {
		c.trace(&TraceEvent{Kind: TracePacketDropped, Size: len(pkt), Reason: reason}, nil)
	}
}

// A received is a packet whose payload is open.
type received struct {
	space   *space
	now     instant
	pn      uint64
	pkt     []byte
	payload []byte
	dcid    []byte
	at      *arrival

	early     bool // a 0-RTT packet
	refused   bool // there was no room for some of it
	eliciting bool // it asks for an acknowledgement
	nonProbe  bool // it has frames that are not probing ones (RFC 9000, Section 9.1)
	tokens    int  // NEW_TOKEN frames in it
	reserved  int  // bytes for answers to PATH_CHALLENGE frames in it
}

// process handles the frames of a packet, and notes it as received.
// RFC 9000, Section 12.4 [2].
func (c *Conn) process(p *received) {
	c.stats.PacketsReceived++
	t := &p.space.lane.traffic
	t.PacketsReceived++
	t.BytesReceived += uint64(len(p.pkt))
	if c.traced {
		p.space.lane.tracePacket(TracePacketReceived, packetTypeOf(p.space.id, p.early), p.pn, p.pkt, p.payload)
	}
	if len(p.payload) == 0 {
		// RFC 9000, Section 12.4.
		c.abort(violation(errProtocolViolation, 0, "packet without frames"))
		return
	}
	// RFC 9000, Section 5.2 [1]; RFC 9000, Section 13.1 [1].
	if err := c.handleFrames(p); err != nil {
		c.abort(err)
		return
	}
	if c.closed {
		return
	}
	c.lastActivity = p.now
	c.sentSinceRecv = false
	if !c.server && p.space.id == spaceApp {
		c.quiet.heard(p.now, p.eliciting)
	}
	c.reach.noteReceived()
	if p.refused {
		// It counts as lost on the way: the peer sends again what we had no room for.
		c.dropped(&c.e.stats.DroppedLimit, p.pkt, "no room")
		return
	}
	newest := int64(p.pn) > p.space.recv.largest
	// RFC 9000, Section 13.2.5 [2].
	reordered := p.space.recv.add(p.now.add(-p.at.waited), p.pn, p.at.ecn)
	// RFC 9000, Section 13.2.1 [4].
	if p.eliciting {
		c.scheduleAck(p.space, p.now, reordered, p.at.ecn == ECNCE)
	}
	l := p.space.lane
	if p.space.id == spaceApp && (p.at.remote != l.path.remote || p.at.local != l.path.local) {
		l.arrivedElsewhere(p, newest)
	}
}

// scheduleAck decides when to acknowledge an ack-eliciting packet (RFC 9000, Section 13.2.1, and
// draft-ietf-quic-ack-frequency, Section 6), whatever is in it (RFC 9221, Section 5.2 [1]).
// RFC 9000, Section 13.2.1 [1, 2, 3, 7, 8]; RFC 9000, Section 13.2.2 [1].
func (c *Conn) scheduleAck(sp *space, now instant, reordered, marked bool) {
	r := &sp.recv
	r.unacked++
	threshold, delay, tolerate := 2, maxAckDelay, false
	if sp.id == spaceApp {
		if c.ackFreq.received {
			threshold, delay = c.ackFreq.threshold, c.ackFreq.maxDelay
			tolerate = c.ackFreq.reordering == 0
		}
	} else {
		threshold = 1 // RFC 9000, Section 13.2.1: Initial and Handshake packets immediately
	}
	switch {
	case r.unacked >= threshold, reordered && !tolerate, marked:
		r.ackNow = true
	case r.ackAt == 0:
		r.ackAt = now.add(delay)
	}
}

// batchDone is called when a batch of datagrams was received, and after work for TLS came back.
func (c *Conn) batchDone(now instant) {
	if c.closed {
		return
	}
	c.stepTLS()
	if !c.closed {
		c.replayWaiting(now)
	}
}

// ready reports whether packets can be sent in the space.
func (sp *space) ready() bool { return sp != nil && sp.tx != nil }
