package conn

import (
	"github.com/lazoquic/lazo/internal/wire"
)

// noRank is behind all ranks.
const noRank = 4

// rank says which lanes take data: those of the lowest rank that there is. Backup lanes come behind
// others, then lanes whose peer does not answer (draft-ietf-quic-multipath-21, Section 3.3), and
// last those whose path is not validated: little may be sent there (RFC 9000, Section 8.1).
// draft-ietf-quic-multipath-21, Section 3.1 [7].
func (l *lane) rank() int {
	switch x := l.status; {
	case l.state != laneOpen:
		return noRank
	case !l.path.validated:
		return 3
	case l.timeouts.suspect:
		return 2
	case x.backup || x.peerBackup:
		return 1
	}
	return 0
}

// before reports whether data takes l rather than o.
func (l *lane) before(o *lane) bool {
	if r, s := l.rank(), o.rank(); r != s {
		return r < s
	}
	return l.path != nil && o.path != nil && l.path.rtt.smoothed < o.path.rtt.smoothed
}

// working returns the lanes that may take data, in the order of their IDs.
func (m *multipath) working() []*lane {
	lanes, least := m.order[:0], noRank
	for _, l := range m.lanes {
		switch rank := l.rank(); {
		case rank == noRank || rank > least:
		case rank < least:
			lanes, least = append(lanes[:0], l), rank
		default:
			lanes = append(lanes, l)
		}
	}
	m.order = lanes
	return lanes
}

// transmit writes the next burst of 1-RTT packets. Each lane may find that the connection must end.
func (m *multipath) transmit(now instant, buf []byte, maxSegments int) (Burst, bool) {
	lanes := m.working()
	order := lanes
	if len(lanes) > 1 {
		m.chosen = append(m.chosen[:0], lanes...)
		order = m.question.ask(m.conn, now, m.chosen)
	}
	for _, l := range m.lanes {
		if b, ok := m.transmitFirst(l, order, now, buf); ok || m.conn.closed {
			return b, ok
		}
	}
	if m.redundant {
		lanes = m.carriers(lanes)
		m.spread(now, lanes)
		for _, l := range lanes {
			if b, ok := l.transmitCopies(now, buf); ok || m.conn.closed {
				return b, ok
			}
		}
	}
	for _, l := range order {
		first := l.app.sent.recs.tail
		b, ok := l.transmitApp(now, buf, maxSegments)
		if ok && m.redundant {
			m.repeat(l, first, lanes)
		}
		if ok || m.conn.closed {
			return b, ok
		}
	}
	return Burst{}, false
}

// transmitFirst writes what a lane has to send besides data.
func (m *multipath) transmitFirst(l *lane, order []*lane, now instant, buf []byte) (Burst, bool) {
	if l.state != laneOpen {
		if l.app.recv.ackNow {
			// Its acknowledgements go on another lane.
			m.conn.control.paths, m.conn.control.any = true, true
		}
		return Burst{}, false
	}
	if l.id != 0 && (len(l.responses) > 0 || l.challengeDue()) {
		if b, ok := l.transmitPath(now, buf); ok {
			return b, true
		}
	}
	if b, ok := l.transmitProbe(now, buf); ok {
		return b, true
	}
	if (l.app.recv.ackNow || l.app.probes > 0) && (len(order) == 0 || order[0] != l) {
		return l.transmitQuiet(now, buf)
	}
	return Burst{}, false
}

// transmitQuiet writes a packet of a lane that does not take data now: an acknowledgement, or a
// probe.
func (l *lane) transmitQuiet(now instant, buf []byte) (Burst, bool) {
	c, w, pa, sp := l.conn, &l.conn.e.writer, l.path, l.app
	if !l.wear() {
		return Burst{}, false
	}
	size := min(pa.mtu.current, len(buf), pa.allowance())
	if size < minMTU {
		return Burst{}, false
	}
	w.begin(c, sp, buf[:0], size)
	if sp.recv.unacked > 0 && c.appendAck(w, now) {
		sp.recv.unacked, sp.recv.ackAt, sp.recv.ackNow = 0, 0, false
	}
	if sp.probes > 0 {
		sp.probes--
		w.b = append(w.b, wire.FramePing)
		w.record(record{kind: recPing})
	}
	if w.empty() {
		w.abandon()
		sp.recv.ackNow = false
		return Burst{}, false
	}
	mark := pa.ecn.mark()
	out := w.finish(now, mark)
	return l.burst(len(out), len(out), mark), true
}

// appendPaths appends the frames of multipath that are due. What does not fit stays due.
// draft-ietf-quic-multipath-21, Section 4 [1].
func (m *multipath) appendPaths(w *packetWriter) {
	k := &m.conn.control
	k.paths = false
	for _, l := range m.lanes {
		k.paths = !m.appendLane(w, l) || k.paths
	}
	if m.limitDue {
		if !w.fits(2 + 8) {
			k.paths = true
			return
		}
		m.limitDue = false
		w.b = wire.AppendPathLimit(w.b, wire.FrameMaxPathID, m.limit)
		w.record(record{kind: recMaxPathID, value: uint64(m.limit)})
	}
	if m.blockedDue && m.peerLimit+1 == m.blockedAt {
		if !w.fits(2 + 8) {
			k.paths = true
			return
		}
		m.blockedDue = false
		w.b = wire.AppendPathLimit(w.b, wire.FramePathsBlocked, m.peerLimit)
		w.record(record{kind: recPathsBlocked, value: uint64(m.peerLimit)})
	}
}

// appendLane appends the frames of a lane, and reports whether all fitted.
// draft-ietf-quic-multipath-21, Section 3.4.3 [1]; draft-ietf-quic-multipath-21, Section 4.3 [1].
func (m *multipath) appendLane(w *packetWriter, l *lane) bool {
	x := l.status
	if l.state == laneAbandoned && l.app.recv.ackNow {
		// draft-ietf-quic-multipath-21, Section 3.4.3
		if !m.conn.appendPathAck(w, l, m.conn.e.now) {
			return false
		}
		l.app.recv.unacked, l.app.recv.ackAt, l.app.recv.ackNow = 0, 0, false
	}
	if x.abandonDue {
		if !w.fits(2 + 8 + 8) {
			return false
		}
		x.abandonDue = false
		w.b = wire.AppendPathValue(w.b, wire.FramePathAbandon, l.id, x.code)
		w.record(record{kind: recPathAbandon, gen: l.id})
	}
	if x.statusDue {
		if !w.fits(2 + 8 + 8) {
			return false
		}
		x.statusDue = false
		typ := uint64(wire.FramePathStatusAvailable)
		if x.backup {
			typ = wire.FramePathStatusBackup
		}
		w.b = wire.AppendPathValue(w.b, typ, l.id, x.statusSeq)
		w.record(record{kind: recPathStatus, gen: l.id, value: x.statusSeq})
		x.statusSeq++
	}
	if x.cidsDue {
		if !w.fits(2 + 8 + 8) {
			return false
		}
		x.cidsDue = false
		w.b = wire.AppendPathValue(w.b, wire.FramePathCIDsBlocked, l.id, 0) // there is none
		w.record(record{kind: recPing})                                     // it is not sent again
	}
	return true
}

// appendPathAck appends a PATH_ACK frame of a lane.
func (c *Conn) appendPathAck(w *packetWriter, l *lane, now instant) bool {
	r := &l.app.recv
	n := r.seen.Len()
	if n == 0 || !w.fits(40) {
		return false
	}
	var ecn *[3]uint64
	limit := w.room()
	if r.anyECN {
		if limit < 72 {
			return false
		}
		ecn = &r.ecn
	}
	delay := uint64(max(now.sub(r.largestAt), 0)/1000) >> ackDelayExponent
	w.b, _ = wire.AppendPathAck(w.b, limit, l.id, n, r.rangeAt, delay, ecn)
	w.sp.sent.note(record{kind: recAck, value: uint64(r.largest), gen: l.id})
	return true
}

// pathFrameLost makes a frame of multipath due again, if it still matters.
// draft-ietf-quic-multipath-21, Section 4.2 [1]; draft-ietf-quic-multipath-21, Section 4.3 [3];
// draft-ietf-quic-multipath-21, Section 4.6 [5].
func (m *multipath) pathFrameLost(r *record) {
	l, k := m.conn.laneOf(r.gen), &m.conn.control
	switch r.kind {
	case recMaxPathID:
		if r.value != uint64(m.limit) {
			return
		}
		m.limitDue = true
	case recPathsBlocked:
		if r.value != uint64(m.peerLimit) {
			return
		}
		m.blockedDue = true
	case recPathAbandon:
		if l == nil || l.status.abandonAcked {
			return
		}
		l.status.abandonDue = true
	case recPathStatus:
		if l == nil || l.state == laneAbandoned || r.value+1 != l.status.statusSeq {
			return
		}
		l.status.statusDue = true
	}
	k.paths, k.any = true, true
}
