package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// transmitHandshake writes a datagram with Initial and Handshake packets, and a 1-RTT packet behind
// them if there is room (RFC 9000, Section 12.2).
// RFC 9000, Section 12.2 [3]; RFC 9000, Section 12.5 [2].
func (c *Conn) transmitHandshake(now instant, buf []byte) (Burst, bool) {
	pa := c.path
	limit := min(pa.mtu.current, len(buf), pa.allowance())
	if limit < minMTU {
		// RFC 9000, Section 8.1: too little is left of what the server may send
		c.noteLimited()
		return Burst{}, false
	}
	var ws [numSpaces]packetWriter
	b, n, pad := buf[:0], 0, false
	for id := spaceInitial; id < numSpaces; id++ {
		sp := c.spaces[id]
		early := id == spaceApp && sp.tx == nil && c.early.tx != nil
		if !sp.ready() && !early || id == spaceApp && (n == 0 || !early && c.state == stateHandshake && !c.server) {
			continue
		}
		if limit-len(b) < minCoalesced {
			break
		}
		w := &ws[n]
		w.begin(c, sp, b, limit)
		c.appendHandshakeFrames(w, now)
		if w.empty() {
			w.abandon()
			continue
		}
		if sp.probes > 0 && w.eliciting {
			sp.probes--
		}
		// RFC 9000, Section 14.1, and RFC 9001, Section 9.3 [1]: a client pads all datagrams with
		// Initials, a server those that are ack-eliciting.
		if id == spaceInitial && (!c.server || w.eliciting) {
			pad = true
		}
		w.padSample() // before the next packet stands behind: RFC 9001, Section 4 [2]
		// The tag comes when all packets are complete.
		b = w.b[:len(w.b)+keys.Overhead]
		n++
		if id == spaceHandshake && !c.server {
			// RFC 9001, Section 4.9.1 [1, 3]: a client drops Initial keys when it first sends a
			// Handshake packet.
			defer c.dropSpace(spaceInitial)
		}
	}
	if n == 0 {
		return Burst{}, false
	}
	if pad {
		// RFC 9000, Section 6 [1]; RFC 9000, Section 8.1 [3]; RFC 9000, Section 14 [1]; RFC 9000,
		// Section 14.1 [1, 2].
		ws[n-1].pad(minMTU)
	}
	for i := range n {
		b = ws[i].finish(now, NotECT)
	}
	return c.burst(len(b), len(b), NotECT), true
}

// minCoalesced is the least room for another packet in a datagram, in bytes.
const minCoalesced = 128

// appendHandshakeFrames appends the frames of a packet in a handshake datagram.
func (c *Conn) appendHandshakeFrames(w *packetWriter, now instant) {
	sp := w.sp
	if sp.id == spaceApp {
		free := sp.probes > 0 || c.window(c.path.estimates) >= minMTU
		if w.early {
			c.appendEarlyFrames(w, now)
		} else {
			c.appendAppFrames(w, now, free)
		}
		return
	}
	acked := false
	if sp.recv.ackNow || sp.recv.unacked > 0 {
		acked = c.appendAck(w, now)
	}
	mark := len(w.b)
	if c.mayHandshake(sp) {
		c.appendCrypto(w)
	}
	if sp.probes > 0 && !w.eliciting && w.fits(1) { // RFC 9002, Section 6.2.4 [5]
		w.b = append(w.b, wire.FramePing)
		w.record(record{kind: recPing})
	}
	if !acked {
		return
	}
	if len(w.b) == mark && c.holdAck(&sp.recv, now) {
		w.b = w.b[:w.body]
		w.sp.sent.forget(w.recStart)
		return
	}
	sp.recv.unacked, sp.recv.ackAt, sp.recv.heldUntil, sp.recv.ackNow = 0, 0, 0, false
}

// mayHandshake reports whether congestion control lets CRYPTO data go in a handshake datagram.
// Application data in flight does not hold it up. Otherwise that could fill the window for ever:
// its probes must wait until the handshake is confirmed (RFC 9002, Section 6.2.1).
// RFC 9002, Section 7 [2].
func (c *Conn) mayHandshake(sp *space) bool {
	return sp.probes > 0 || c.spaces[spaceApp].sent.eliciting > 0 ||
		c.window(c.path.estimates) >= uint64(c.path.mtu.current)
}

// maxTLSHold is how long an acknowledgement waits for the answer of TLS to the packet.
const maxTLSHold = 5 * time.Millisecond

// holdAck reports whether an acknowledgement that would go alone waits for TLS. TLS is at work
// elsewhere, and will soon have something to send along. The peer expects no acknowledgement
// sooner: it does not know how TLS works here.
func (c *Conn) holdAck(r *recvState, now instant) bool {
	if c.tls.work == nil {
		return false
	}
	if r.heldUntil == 0 {
		r.heldUntil = now.add(maxTLSHold)
		r.ackAt = r.heldUntil
	}
	return now < r.heldUntil
}

// appendEarlyFrames appends what a 0-RTT packet is to carry (RFC 9000, Section 12.5).
func (c *Conn) appendEarlyFrames(w *packetWriter, now instant) {
	// RFC 9000, Section 7.4.1 [9, 10]: once the new limits are known, what they allow waits for
	// 1-RTT keys. These come with the rest of the server's flight.
	if c.hasPeer || c.window(c.path.estimates) < minMTU {
		return
	}
	c.appendStreamControl(w)
	if c.datagrams != nil {
		c.appendDatagrams(w, now)
	}
	c.appendStreams(w)
}

// transmitEarly writes a 0-RTT packet.
func (c *Conn) transmitEarly(now instant, buf []byte) (Burst, bool) {
	w := &c.e.writer
	w.begin(c, c.spaces[spaceApp], buf[:0], min(c.path.mtu.current, len(buf)))
	c.appendEarlyFrames(w, now)
	if w.empty() {
		w.abandon()
		return Burst{}, false
	}
	out := w.finish(now, NotECT)
	return c.burst(len(out), len(out), NotECT), true
}

// transmitProbe writes a datagram that probes for a larger MTU (RFC 8899).
func (l *lane) transmitProbe(now instant, buf []byte) (Burst, bool) {
	c, pa := l.conn, l.path
	if c.state != stateConfirmed || !pa.validated {
		return Burst{}, false
	}
	size := pa.mtu.wants(now)
	if size == 0 || size > len(buf) || l.window(pa.estimates) < uint64(size) || !pa.rtt.sampled || !l.wear() {
		return Burst{}, false
	}
	w := &c.e.writer
	w.begin(c, l.app, buf[:0], size)
	w.b = append(w.b, wire.FramePing)
	w.record(record{kind: recPing})
	w.pad(size)
	w.flags = sentProbeMTU
	pa.mtu.sent(w.pn, size)
	out := w.finish(now, NotECT)
	return l.burst(len(out), len(out), NotECT), true
}

// mtuAcked notes that a datagram of size bytes passed.
func (c *Conn) mtuAcked(m *estimates, pn uint64, size int) {
	if m.mtu.acked(pn, size) {
		m.cc.OnMTU(m.mtu.current)
		c.repace(m)
	}
	c.wake()
}
