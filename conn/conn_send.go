package conn

import (
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// A packetWriter builds one packet. A packet that gets no frames is abandoned.
type packetWriter struct {
	c     *Conn
	sp    *space
	path  *path  // that it takes; nil if that is neither in use nor a candidate
	b     []byte // the datagram up to here
	start int    // where the packet begins
	limit int    // where its payload must end: behind that comes the tag
	body  int    // where its payload begins

	lengthOff, pnOff, pnLen int
	pn                      uint64
	recStart                uint32
	eliciting               bool
	early                   bool // a 0-RTT packet
	padded                  bool
	flags                   uint16
}

// fits reports whether n more bytes of frames fit.
func (w *packetWriter) fits(n int) bool { return len(w.b)+n <= w.limit }

// room returns how many bytes of frames fit.
func (w *packetWriter) room() int { return w.limit - len(w.b) }

// record notes an ack-eliciting frame of the packet.
func (w *packetWriter) record(r record) { *w.newRecord() = r }

// newRecord is record for the frames of most packets. The caller sets all fields.
func (w *packetWriter) newRecord() *record {
	w.eliciting = true
	return w.sp.sent.recs.push()
}

// empty reports whether the packet has no frames.
func (w *packetWriter) empty() bool { return len(w.b) == w.body }

// begin starts a packet behind b; the datagram may be limit bytes long.
// draft-ietf-quic-multipath-21, Section 3.1 [2].
func (w *packetWriter) begin(c *Conn, sp *space, b []byte, limit int) {
	w.beginTo(c, sp, b, limit, sp.lane.remote.current())
}

// beginTo is begin with a certain connection ID of the peer. Here, and wherever something is noted
// of each packet, fields are set where they are to be. A literal would be made on the stack and
// copied from there 16 bytes at a time, which waits for narrower stores to reach the cache, behind
// the packet's own.
// RFC 9000, Section 17.2.2 [1].
func (w *packetWriter) beginTo(c *Conn, sp *space, b []byte, limit int, id *ConnID) {
	*w = packetWriter{}
	w.c, w.sp, w.path = c, sp, sp.lane.path
	w.b, w.start, w.limit = b, len(b), limit-keys.Overhead
	w.recStart, w.pn = sp.sent.recs.tail, sp.sent.next
	w.pnLen = wire.PacketNumberLen(w.pn, sp.sent.largestAcked)
	dcid := id.bytes()
	switch {
	case sp.id == spaceApp && sp.tx == nil:
		w.early = true
		// RFC 9369, Section 4.1 [9].
		w.b, w.lengthOff, w.pnOff = wire.AppendLong(b, wire.Type0RTT, c.versions.original, dcid, c.local.ids[0].id.bytes(), nil, w.pn, w.pnLen)
	case sp.id == spaceApp:
		w.pnOff = len(b) + 1 + len(dcid)
		w.b = wire.AppendShort(b, dcid, false, c.keys.txPhase, w.pn, w.pnLen)
	default:
		typ, token := uint8(wire.TypeHandshake), []byte(nil)
		if sp.id == spaceInitial {
			// RFC 9000, Section 8.1.2 [1]; RFC 9000, Section 8.1.3 [1].
			typ, token = wire.TypeInitial, c.token
		}
		scid := c.local.ids[0].id.bytes()
		w.b, w.lengthOff, w.pnOff = wire.AppendLong(b, typ, c.version, dcid, scid, token, w.pn, w.pnLen)
	}
	if sp.id == spaceApp && c.greases() && c.rand()&1 == 0 {
		w.b[w.start] &^= fixedBit // RFC 9287, Section 3
	}
	w.body = len(w.b)
}

// greases reports whether half of the packets go without fixedBit.
// RFC 9287, Section 3.1 [1, 2, 3, 4, 5].
func (c *Conn) greases() bool { return c.peer.GreaseQUICBit && c.hasPeer && !c.cfg.DisableGreaseBit }

// fixedBit is set in packets of version 1, unless the peer is fine without (RFC 9000,
// Section 17.3.1).
const fixedBit = 0x40

// takesFirst reports whether a packet may have the first byte: without RFC 9287 fixedBit is set.
// RFC 9000, Section 17.2 [1]; RFC 9000, Section 17.3.1 [1].
func (c *Config) takesFirst(b byte) bool { return b&fixedBit != 0 || !c.DisableGreaseBit }

// abandon takes the packet back.
func (w *packetWriter) abandon() []byte {
	w.sp.sent.forget(w.recStart)
	return w.b[:w.start]
}

// forget lets go of c, which has closed. Otherwise an idle Endpoint would keep the last connection
// that sent something, and with it what layers above keep for that.
func (w *packetWriter) forget(c *Conn) {
	if w.c == c {
		*w = packetWriter{}
	}
}

// pad appends PADDING up to n bytes of datagram, tag included.
func (w *packetWriter) pad(n int) {
	n = min(n-keys.Overhead, w.limit) - len(w.b)
	if n > 0 {
		k := len(w.b)
		w.b = w.b[:k+n]
		clear(w.b[k:])
		w.padded = true
	}
}

// padSample makes sure that there is enough to sample for header protection (RFC 9001,
// Section 5.4.2).
func (w *packetWriter) padSample() {
	for len(w.b)-w.pnOff < 4 {
		w.b = append(w.b, wire.FramePadding)
	}
}

// finish seals the packet and notes it as sent. It returns the datagram up to here.
func (w *packetWriter) finish(now instant, mark ECN) []byte {
	c := w.c
	w.padSample()
	if w.sp.id != spaceApp || w.early {
		wire.PutVarint2(w.b[w.lengthOff:], uint64(len(w.b)-w.pnOff+keys.Overhead))
	}
	if c.traced {
		w.sp.lane.tracePacket(TracePacketSent, packetTypeOf(w.sp.id, w.early), w.pn, w.b[w.start:len(w.b)+keys.Overhead], w.b[w.body:])
	}
	tx := w.sp.tx
	if w.early {
		tx = c.early.tx
	}
	pkt := tx.Seal(w.b[w.start:], w.pnOff-w.start, w.pnLen, w.pn)
	w.b = w.b[:w.start+len(pkt)]
	c.packetSent(w, now, len(pkt), mark)
	return w.b
}

// packetSent notes a packet as sent (RFC 9002, Section A.5).
// RFC 9000, Section 12.3 [1, 2].
func (c *Conn) packetSent(w *packetWriter, now instant, size int, mark ECN) {
	sp, pa := w.sp, w.path
	c.stats.PacketsSent++
	t := &sp.lane.traffic
	t.PacketsSent++
	t.BytesSent += uint64(size)
	if sp.id == spaceApp {
		c.keys.sealed++
	}
	flags := w.flags
	if mark == ECT0 {
		sp.ecnSent++
		pa.ecn.sent++
		flags |= sentECT0
	}
	if w.eliciting {
		flags |= sentEliciting
		if !c.sentSinceRecv {
			c.sentSinceRecv = true
			c.lastActivity = now // RFC 9000, Section 10.1
		}
	}
	switch {
	case pa == nil:
		sp.sent.sentQuiet(nil, now, w.recStart)
		return
	case !w.eliciting && !w.padded:
		sp.sent.sentQuiet(&pa.flight, now, w.recStart)
		return
	}
	p := sp.sent.sent(&pa.flight, now, size, flags, w.recStart) // RFC 9002, Section 7.5 [2]
	pa.pacer.Sent(int64(now), size, pa.pacing)
	p.state = *c.controlSent(pa, p.size, pa.inFlight, p.flags&sentAppLimited != 0, c.e.wall(now))
	if sp.id == spaceApp && sp.sent.next >= sp.lane.skipNext {
		sp.sent.skip()
		sp.lane.chooseSkip()
	}
	if sp.lane.ledger.overfull() {
		c.detectLost(sp, now)
	}
}

// controlSent tells the congestion controller of a path that a packet is sent, and returns what it
// keeps with the packet. inFlight counts the packet.
func (c *Conn) controlSent(pa *path, size uint16, inFlight uint64, limited bool, wall time.Time) *[6]uint64 {
	s := &c.e.scratch.sent
	*s = congestion.Sent{}
	s.Now, s.Bytes, s.InFlight, s.AppLimited = wall, uint64(size), inFlight, limited
	pa.cc.OnSent(s)
	return &s.State
}

// chooseSkip draws the next number to leave out, ever more rarely.
func (l *lane) chooseSkip() {
	sent := l.app.sent.next
	next := min(max(2*sent, 64), sent+1<<17)
	l.skipNext = next + l.conn.rand()%next
}

// transmit writes the next burst.
// RFC 9000, Section 17.2.3 [3].
func (c *Conn) transmit(now instant, buf []byte, maxSegments int) (Burst, bool) {
	if c.closed {
		return Burst{}, false
	}
	if len(c.responses) > 0 || c.challengeDue() {
		if b, ok := c.transmitPath(now, buf); ok || c.closed {
			return b, ok
		}
	}
	if c.spaces[spaceInitial] != nil || c.spaces[spaceHandshake] != nil {
		if b, ok := c.transmitHandshake(now, buf); ok {
			return b, true
		}
	}
	sp := c.spaces[spaceApp]
	// RFC 9001, Section 4.9 [2]: what is no CRYPTO data goes with 1-RTT keys if there are any.
	if sp.tx == nil && c.early.tx != nil {
		return c.transmitEarly(now, buf)
	}
	if sp.tx == nil || !c.server && c.state == stateHandshake {
		return Burst{}, false
	}
	if c.multi != nil {
		return c.multi.transmit(now, buf, maxSegments)
	}
	if b, ok := c.transmitProbe(now, buf); ok {
		return b, true
	}
	return c.lane.transmitApp(now, buf, maxSegments)
}

// burst describes n bytes of datagrams on the path in use.
func (l *lane) burst(n, segment int, mark ECN) Burst {
	pa := l.path
	if !pa.validated {
		pa.sent += uint64(n)
	}
	l.conn.stats.BytesSent += uint64(n)
	return Burst{N: n, SegmentSize: segment, Remote: pa.remote, Local: pa.from, ECN: mark}
}

// transmitApp writes a burst of 1-RTT packets: the hot path.
// RFC 9000, Section 14.2 [3].
func (l *lane) transmitApp(now instant, buf []byte, maxSegments int) (Burst, bool) {
	c := l.conn
	if !l.wear() {
		return Burst{}, false
	}
	pa, sp, w := l.path, l.app, &c.e.writer
	mark := pa.ecn.mark()
	size := min(pa.mtu.current, len(buf), pa.allowance()) // RFC 9000, Section 9.3 [3]
	if size < minMTU && pa.allowance() < minMTU {
		l.noteLimited()
		return Burst{}, false
	}
	paced := pa.pacer.Budget(int64(now), pa.pacing)
	l.paceAt = 0
	segment, n := 0, 0
	for i := 0; i < maxSegments; i++ {
		if segment > 0 {
			size = segment
			if n+size > len(buf) || n+size > pa.allowance() {
				break
			}
			if k := l.transmitRun(now, buf[n:], size, maxSegments-i, paced, mark); k > 0 {
				n, i = n+k*size, i+k-1
				paced -= min(paced, uint64(k*size))
				continue
			}
		}
		window := l.window(pa.estimates)
		probe := sp.probes > 0
		// RFC 9002, Section 7 [2]; RFC 9002, Section 7.5 [1]; RFC 9002, Section 7.7 [1, 2].
		free := probe || window >= uint64(size) && paced >= uint64(size)
		w.begin(c, sp, buf[n:n], size)
		c.appendAppFrames(w, now, free)
		if w.empty() { // RFC 9000, Section 12.4 [1]
			w.abandon()
			l.heldBack(now, free, window >= uint64(size))
			break
		}
		if probe && w.eliciting {
			sp.probes--
		}
		was := pa.inFlight
		out := w.finish(now, mark)
		paced -= min(paced, pa.inFlight-was)
		if segment == 0 {
			segment = len(out)
		}
		n += len(out)
		if len(out) < size && !c.hasOutput() {
			l.heldBack(now, free, true)
			break
		}
		if len(out) < segment || mark != pa.ecn.mark() {
			break
		}
	}
	if n == 0 {
		return Burst{}, false
	}
	return l.burst(n, segment, mark), true
}

// heldBack notes why a burst ended: output waits for pacing, or there is no more.
func (l *lane) heldBack(now instant, free, windowOpen bool) {
	pa := l.path
	waits := l.conn.hasOutput() || l.status != nil && !l.status.copies.empty()
	switch {
	case free:
		if !waits { // a datagram may be too long for the rest of the burst
			pa.appLimited()
		}
	case windowOpen && waits:
		at := instant(pa.pacer.Next(int64(now), pa.pacing))
		l.paceAt = max(at, now.add(minPace))
	}
}

// hasOutput reports whether there is something to send that congestion control or pacing holds
// back.
func (c *Conn) hasOutput() bool {
	return c.control.any || c.streams.control.head != nil || !c.streams.send.empty() ||
		c.spaces[spaceApp].cryptoOut.Unsent() > 0 || c.datagrams != nil && c.datagrams.send.size > 0
}

// appendAppFrames appends what a 1-RTT packet is to carry. free tells whether congestion control
// lets it carry more than an acknowledgement.
// RFC 9000, Section 13.2 [1]; RFC 9000, Section 13.2.1 [5, 6].
func (c *Conn) appendAppFrames(w *packetWriter, now instant, free bool) {
	sp := w.sp
	r := &sp.recv
	acked := false
	if r.ackNow || r.unacked > 0 && free { // RFC 9002, Section 7.7 [4]
		acked = c.appendAck(w, now)
	}
	mark := len(w.b)
	if free {
		c.appendPayload(w, now)
	}
	if !acked {
		return
	}
	if len(w.b) == mark && !r.ackNow {
		// An acknowledgement that would go alone may wait until it is due. Data that does not fit
		// beside it must not wait, and goes without it.
		w.b = w.b[:w.body]
		w.sp.sent.forget(w.recStart)
		if c.hasOutput() {
			c.appendPayload(w, now)
		}
		return
	}
	if !w.eliciting && r.seen.Len() > pingRanges && free && w.fits(1) {
		// RFC 9000, Section 13.2.4: once in a while the peer is asked to acknowledge, so that
		// ranges can be forgotten.
		w.b = append(w.b, wire.FramePing)
		w.record(record{kind: recPing})
	}
	r.unacked, r.ackAt, r.ackNow = 0, 0, false
}

// appendPayload appends the frames that congestion control limits.
// RFC 9000, Section 12.2 [2]; RFC 9000, Section 19.21 [3].
func (c *Conn) appendPayload(w *packetWriter, now instant) {
	c.appendControl(w)
	c.appendStreamControl(w)
	c.appendCrypto(w)
	if c.datagrams != nil { // w is of 0-RTT or 1-RTT keys
		// RFC 9221, Section 5 [1, 3] and RFC 9221, Section 6 [1]
		c.appendDatagrams(w, now)
	}
	c.appendStreams(w)
	if w.sp.probes > 0 && !w.eliciting && w.fits(1) {
		w.b = append(w.b, wire.FramePing)
		w.record(record{kind: recPing})
	}
}

// pingRanges is the number of ranges of received packets above which the receiver asks for an
// acknowledgement itself.
const pingRanges = 8

// appendAck appends an ACK frame (RFC 9000, Section 19.3).
// RFC 9000, Section 13.2.3 [1, 5]; RFC 9000, Section 13.2.5 [1, 3]; RFC 9000, Section 13.2.6 [1, 2,
// 3].
// RFC 9000, Section 17.2.3 [4].
// draft-ietf-quic-multipath-21, Section 2.3 [1].
func (c *Conn) appendAck(w *packetWriter, now instant) bool {
	if c.multi != nil && w.sp.id == spaceApp {
		return c.appendPathAck(w, w.sp.lane, now)
	}
	r := &w.sp.recv
	n := r.seen.Len()
	if n == 0 || !w.fits(32) {
		return false
	}
	delay := uint64(0)
	if w.sp.id == spaceApp {
		delay = uint64(max(now.sub(r.largestAt), 0)/1000) >> ackDelayExponent
	}
	var ecn *[3]uint64
	limit := w.room()
	if r.anyECN {
		if limit < 64 {
			return false
		}
		ecn = &r.ecn
	}
	w.b, _ = wire.AppendAck(w.b, limit, n, r.rangeAt, delay, ecn)
	w.sp.sent.note(record{kind: recAck, value: uint64(r.largest)})
	return true
}

// appendCrypto appends CRYPTO frames: what was lost first.
func (c *Conn) appendCrypto(w *packetWriter) {
	out := &w.sp.crypto().cryptoOut
	for {
		off, n := out.NextLost()
		if n == 0 {
			off, n = out.Sent(), out.Unsent()
		}
		if n == 0 {
			return
		}
		room := w.room() - wire.CryptoHeaderLen(off, min(n, maxBurst))
		if room <= 0 {
			return
		}
		n = min(n, room)
		w.b = wire.AppendCryptoHeader(w.b, off, n)
		k := len(w.b)
		w.b = w.b[:k+n]
		out.CopyTo(w.b[k:], off)
		out.MarkSent(off, n)
		w.record(record{kind: recCrypto, value: off, n: uint16(n)})
	}
}
