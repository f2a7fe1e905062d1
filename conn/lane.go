package conn

import "net/netip"

// A lane is what a connection keeps for one path ID (draft-ietf-quic-multipath-21): its packet
// numbers, its connection IDs, what is in flight, and its timers. The draft calls this a path. In
// this package a path is a pair of addresses, and a lane may move from one to another, as the whole
// connection does where there is only the lane with the ID 0.
type lane struct {
	conn  *Conn
	id    uint32
	state laneState
	app   *space // of its 1-RTT packets

	local     localIDs
	remote    remoteIDs
	path      *path // in use; nil until the lane is open
	oldPath   *path // server: in use before, until both it and path are validated
	candidate *path // client: probed by it; server: the move to its preferred address
	responses []pathResponse
	ledger    ledger
	timeouts  timeouts
	paceAt    instant     // when pacing allows more; 0 if it does not hold anything up
	skipNext  uint64      // the packet number to leave out next
	traffic   PathTraffic // the lane 0 has the packets of the handshake too

	status *laneStatus // nil without multipath
}

// A laneState says how far a lane has come.
type laneState uint8

const (
	laneIdle      laneState = iota // the sides may have issued connection IDs, no more
	laneOpen                       // its path may still have to be validated
	laneAbandoned                  // nothing more is sent on it
)

// A laneStatus is what only matters with multipath.
type laneStatus struct {
	// of the next PATH_STATUS frame; of the last one of the peer, plus one
	statusSeq, peerStatusSeq uint64
	backup, peerBackup       bool // as those frames say
	statusDue                bool // PATH_STATUS_BACKUP or PATH_STATUS_AVAILABLE is to be sent
	cidsDue                  bool // PATH_CIDS_BLOCKED is to be sent
	cidsTold                 bool // it was, once

	code         uint64 // of PATH_ABANDON
	abandonDue   bool   // it is to be sent
	abandonAcked bool
	peerAbandon  bool    // the peer's has come
	deleteAt     instant // when the lane is forgotten; 0 if that is not known

	copies copyQueue
}

// newLane makes a lane whose ID is not 0.
func (c *Conn) newLane(id uint32) *lane {
	l := &lane{conn: c, id: id, status: new(laneStatus)}
	l.app = newSpace(spaceApp, l)
	// Other lanes may have begun the phase in use: the first packet here may be of the one before.
	l.app.phase.lastOld, l.app.phase.firstRecv = -1, noneRecv
	l.remote.handshake = c.remote.handshake // it tells that IDs are not empty
	l.chooseSkip()
	return l
}

// use puts an idle lane to use on a path (draft-ietf-quic-multipath-21, Section 3.1).
// draft-ietf-quic-multipath-21, Section 3.1 [3, 4].
func (l *lane) use(remote, local netip.AddrPort) {
	l.takeKeys()
	l.state = laneOpen
	l.usePath(l.newPath(remote, local, nil), nil, nil)
	l.offerIDs()
	l.startChallenge(l.path)
}

// takeKeys derives the keys of the lane from those of the lane 0.
func (l *lane) takeKeys() {
	l.app.rx, l.app.tx = l.conn.app.rx.OnPath(l.id), l.conn.app.tx.OnPath(l.id)
}

// usable reports whether data may be sent.
func (l *lane) usable() bool { return l.state == laneOpen && l.path.validated }

// abandon ends a lane, and tells the peer why (draft-ietf-quic-multipath-21, Section 3.4). What was
// in flight is sent again on other lanes.
func (l *lane) abandon(code uint64) { l.leave(code, code) }

// leave ends a lane. code is for the application, and told for the peer.
// draft-ietf-quic-multipath-21, Section 3.4 [1, 2];
// draft-ietf-quic-multipath-21, Section 3.4.3 [2].
func (l *lane) leave(code, told uint64) {
	c, x := l.conn, l.status
	if l.state == laneAbandoned {
		return
	}
	l.state, x.code, x.abandonDue, x.statusDue, x.cidsDue = laneAbandoned, told, true, false, false
	c.control.paths, c.control.any = true, true
	for i := range l.remote.ids {
		// Section 3.4.2: resets with the tokens of IDs that are retired do not count.
		if r := &l.remote.ids[i]; r.hasToken {
			c.routes.dropToken(r.token)
		}
	}
	l.remote.retired = nil
	for i := range l.local.ids {
		l.local.ids[i].due = false
	}
	l.app.sent.discarded(func(r *record) { c.recordLost(l.app, r) })
	l.app.probes, l.paceAt, l.responses = 0, 0, nil
	c.multi.drop(&x.copies)
	ev := Event{Kind: EventPathAbandoned, ID: uint64(l.id), Code: code}
	if l.path != nil {
		c.e.stats.PathsAbandoned++
		ev.Local, ev.Remote = l.path.local, l.path.remote
		l.path.challenge = challenge{}
		l.setPaths(l.path, nil, nil)
	}
	c.event(ev)
	c.wake()
}

// deadline returns when something of a lane is due; 0 if nothing is. What the lane 0 has without
// multipath too is in Conn.deadline.
func (l *lane) deadline() instant {
	at := l.app.recv.ackAt
	if l.status.abandonAcked {
		at = earlier(at, l.status.deleteAt)
	}
	if l.state != laneOpen || l.id == 0 {
		return at
	}
	at = earlier(at, l.paceAt)
	at = earlier(at, l.lossDeadline())
	return earlier(at, l.validationDeadline())
}

// lossDeadline returns when packets are to be declared lost, or when to probe.
func (l *lane) lossDeadline() instant {
	s := &l.app.sent
	switch {
	case s.lossTime != 0:
		return s.lossTime
	case s.eliciting == 0, l.path.allowance() < minMTU && l.conn.server:
		return 0
	}
	return s.lastEliciting.add(l.probeTimeout(spaceApp))
}

// onTimeout runs what is due.
func (l *lane) onTimeout(now instant) {
	due := func(t instant) bool { return t != 0 && t <= now }
	if r := &l.app.recv; due(r.ackAt) {
		r.ackNow, r.ackAt = true, 0
	}
	if l.state != laneOpen || l.id == 0 {
		return
	}
	l.paceAt = 0
	if due(l.lossDeadline()) {
		if l.app.sent.lossTime != 0 {
			l.conn.detectLost(l.app, now)
		} else {
			l.probe(now)
		}
	}
	l.pathTimeout(now)
}

// probe sends a probe (RFC 9002, Section 6.2.4). Where there is another lane, all that is in flight
// on this one is sent again there at once, and nothing but probes here until the peer answers
// (draft-ietf-quic-multipath-21, Section 5.7).
func (l *lane) probe(now instant) {
	c := l.conn
	silent := l.probed(now)
	if c.multi.otherThan(l) {
		l.timeouts.suspect = true
		l.app.probes = 1
		i := l.app.sent.repeat()
		for p, k := l.app.sent.again(&i, false); p != nil; p, k = l.app.sent.again(&i, false) {
			c.sendFramesAgain(l.app, p, k)
		}
	} else {
		l.app.probes = 2
		c.sendAgain(l.app)
	}
	if silent {
		l.suspectECN()
		if l.path.mtu.current > minMTU && l.path.mtu.blackHole(l.app.sent.next) {
			l.path.cc.OnMTU(l.path.mtu.current)
		}
	}
}
