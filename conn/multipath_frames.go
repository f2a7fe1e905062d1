package conn

import "github.com/lazoquic/lazo/internal/wire"

// isMultipath reports whether a type is that of a frame of draft-ietf-quic-multipath.
func isMultipath(typ uint64) bool {
	return typ == wire.FramePathAck || typ == wire.FramePathAckECN || typ >= wire.FramePathAbandon && typ <= wire.FramePathCIDsBlocked
}

// handleMultipath handles a frame of multipath (draft-ietf-quic-multipath-21, Section 4).
// draft-ietf-quic-multipath-21, Section 4 [2].
func (c *Conn) handleMultipath(p *received, typ uint64, b []byte) (int, error) {
	if p.early || c.multi == nil {
		return 0, violation(errProtocolViolation, typ, "frame is only allowed in 1-RTT packets")
	}
	if typ == wire.FramePathAck || typ == wire.FramePathAckECN {
		id, f, n := wire.ParsePathAck(b)
		if n <= 0 {
			return n, nil
		}
		l, err := c.multi.lane(typ, id)
		if l == nil || err != nil {
			return n, err
		}
		return n, c.acknowledged(p, l.app, &f, typ)
	}
	if err := c.suspect(p.now, typ); err != nil {
		return 0, err
	}
	switch typ {
	case wire.FrameMaxPathID, wire.FramePathsBlocked:
		v, n := wire.ParsePathLimit(b)
		if n <= 0 {
			return n, nil
		}
		return n, c.multi.limited(typ, v)
	case wire.FramePathNewConnectionID:
		id, seq, prior, b, token, n := wire.ParsePathNewConnectionID(b)
		if n <= 0 {
			return n, nil
		}
		l, err := c.multi.lane(typ, id)
		if l == nil || err != nil || l.state == laneAbandoned {
			return n, err
		}
		return n, l.newRemoteID(seq, prior, b, token)
	}
	id, v, n := wire.ParsePathValue(b)
	if n <= 0 {
		return n, nil
	}
	l, err := c.multi.lane(typ, id)
	if l == nil || err != nil {
		return n, err
	}
	return n, c.multi.handleValue(p, l, typ, v)
}

// lane returns the lane that a frame names. It returns nil if the lane was forgotten: the frame is
// ignored. Without one there would be no state for what comes late.
// draft-ietf-quic-multipath-21, Section 4 [3, 4]; draft-ietf-quic-multipath-21, Section 4.7 [1].
func (m *multipath) lane(typ, id uint64) (*lane, error) {
	if id > uint64(m.limit) {
		return nil, violation(errProtocolViolation, typ, "path ID %d is above %d", id, m.limit)
	}
	return m.conn.laneOf(uint32(id)), nil
}

// handleValue handles a frame that names a lane, and has one more integer.
// draft-ietf-quic-multipath-21, Section 4.3 [2]; draft-ietf-quic-multipath-21, Section 4.7 [2].
func (m *multipath) handleValue(p *received, l *lane, typ, v uint64) error {
	x := l.status
	if typ == wire.FramePathAbandon {
		m.abandonedByPeer(l, p.now, v)
		return nil
	}
	if l.state == laneAbandoned {
		return nil
	}
	switch typ {
	case wire.FramePathStatusBackup, wire.FramePathStatusAvailable:
		// draft-ietf-quic-multipath-21, Section 4.3: older ones are ignored.
		if v+1 > x.peerStatusSeq {
			x.peerStatusSeq, x.peerBackup = v+1, typ == wire.FramePathStatusBackup
		}
	case wire.FramePathRetireConnectionID:
		return l.retireLocal(v, p.dcid)
	case wire.FramePathCIDsBlocked:
		if v > l.local.next {
			// Section 4.7
			return violation(errProtocolViolation, typ, "connection ID %d of path %d is not the next", v, l.id)
		}
		l.offerIDs()
	}
	return nil
}

// limited handles MAX_PATH_ID and PATHS_BLOCKED (draft-ietf-quic-multipath-21, Sections 4.6 and
// 4.7).
// draft-ietf-quic-multipath-21, Section 4.6 [3, 4];
// draft-ietf-quic-multipath-21, Section 4.7 [1].
func (m *multipath) limited(typ, v uint64) error {
	c := m.conn
	switch {
	case typ == wire.FramePathsBlocked:
		if v > uint64(m.limit) {
			return violation(errProtocolViolation, typ, "path ID %d is above %d", v, m.limit)
		}
	case v > wire.MaxPathID, v < uint64(c.peer.InitialMaxPathID):
		return violation(errProtocolViolation, typ, "invalid limit of path IDs: %d", v)
	case v > uint64(m.peerLimit):
		m.peerLimit = uint32(v)
		m.offer()
		c.noteAvailable()
	}
	return nil
}

// receiveFirst takes in the first packet on a lane that the peer opens. pnOff is where its packet
// number begins.
func (l *lane) receiveFirst(now instant, a *arrival, pkt []byte, pnOff int) {
	c, sp := l.conn, l.app
	// draft-ietf-quic-multipath-21, Section 3: only a client opens paths. Section 3.1: without a
	// connection ID of the peer for the lane, no answer is possible yet.
	if !c.server || len(l.remote.ids) == 0 || l.state != laneIdle {
		c.dropped(&c.e.stats.DroppedUnroutable, pkt, "the path is not open")
		return
	}
	l.takeKeys()
	pnLen, truncated, ok := sp.rx.Unprotect(pkt, pnOff)
	var payload []byte
	pn := wire.DecodePacketNumber(sp.recv.largest, truncated, pnLen)
	if ok {
		payload, ok = c.open(now, sp, pkt, pnOff+pnLen, pn)
	}
	if c.closed {
		return
	}
	if !ok {
		sp.rx, sp.tx = nil, nil
		c.undecryptable(now, pkt)
		return
	}
	if wire.ReservedBits(pkt[0]) != 0 {
		c.abort(violation(errProtocolViolation, 0, "reserved bits are set"))
		return
	}
	l.use(a.remote, a.local)
	l.path.received = uint64(len(a.data))
	c.process(&received{space: sp, now: now, pn: pn, pkt: pkt, payload: payload, dcid: pkt[1:pnOff], at: a})
}
