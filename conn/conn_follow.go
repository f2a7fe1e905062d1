package conn

// How a server follows its client to another path (RFC 9000, Sections 9.3 and 9.6.2).

// arrivedElsewhere handles a packet that came by another path than the one in use (RFC 9000,
// Section 9.3).
func (l *lane) arrivedElsewhere(p *received, newest bool) {
	c, a := l.conn, p.at
	if l.state == laneAbandoned || l.learnLocal(a) || !c.server {
		return
	}
	// RFC 9000, Section 9: only a client migrates, after the handshake, with packets that do not
	// only probe.
	if c.state != stateConfirmed || !p.nonProbe || !newest {
		return
	}
	back, probed := l.oldPath, l.path.probed
	validated := probed != nil && probed.validated && probed.remote == a.remote && probed.local == a.local
	switch {
	case c.preferred && a.local != l.path.local:
		// RFC 9000, Section 9.6.2: the server has moved there for good. The packet itself counts.
	case back != nil && back.remote == a.remote && back.local == a.local:
		l.goBack()
	case !validated && a.local != l.path.local && a.local.IsValid() && l.path.local.IsValid():
		l.validatePreferred(a)
	default:
		l.follow(a, validated)
	}
}

// learnLocal notes the local address of the path in use where it was not known, and reports whether
// the datagram came by that path.
func (l *lane) learnLocal(a *arrival) bool {
	c, pa := l.conn, l.path
	switch {
	case a.remote != pa.remote:
		return false
	case pa.local.IsValid() && c.server:
		return !a.local.IsValid()
	case pa.local.IsValid() && pa.from.IsValid():
		return false
	}
	pa.local = a.local // now it is known, or the socket chose another
	if c.server {
		pa.from = a.local
	}
	return true
}

// follow moves a server connection to where its client is now, and validates that path, if it is
// not validated, and the one before (RFC 9000, Section 9.3.3).
// RFC 9000, Section 9 [3, 4]; RFC 9000, Section 9.3 [1, 2].
// draft-ietf-quic-multipath-21, Section 3.1.2 [1].
func (l *lane) follow(a *arrival, validated bool) {
	old, back := l.path, l.fallback()
	next := l.pathFrom(a)
	if probed := old.probed; probed != nil && probed.remote == a.remote && probed.local == a.local {
		next.peerID = probed.peerID
		next.migrate = !validated || probed.challenge.small
	}
	next.validated = validated
	l.notePreferred(old, next)
	old.probed = nil
	l.usePath(next, back, l.candidate)
	if back != nil && !back.challenge.active {
		l.startChallenge(back) // RFC 9000, Section 9.3.3 [1]
	}
	if next.migrate {
		l.startChallenge(next)
		return
	}
	l.moved()
}

// pathFrom returns a path to where a datagram came from. It shares the estimates of a path that
// differs in the port alone (RFC 9000, Section 9.4).
// RFC 9000, Section 9.4 [2].
func (l *lane) pathFrom(a *arrival) *path {
	var shared *estimates
	for _, p := range [...]*path{l.path, l.oldPath} {
		if p != nil && p.remote.Addr() == a.remote.Addr() {
			shared = p.estimates
			break
		}
	}
	next := l.newPath(a.remote, a.local, shared)
	next.received = uint64(len(a.data))
	next.migrate = true
	return next
}

// goBack returns a server to the path that was in use before. If the one in use was validated, the
// client has moved once more, and that path is validated again (RFC 9000, Section 9.3.3). If not,
// the move was spurious (RFC 9000, Section 9.3.2).
// RFC 9000, Section 9.3.2 [1].
func (l *lane) goBack() {
	old, from := l.oldPath, l.path
	old.challenge = challenge{}
	if from.migrate {
		l.usePath(old, nil, l.candidate)
	} else {
		l.usePath(old, from, l.candidate)
		l.startChallenge(from)
		l.pathChanged()
	}
	if !old.validated {
		l.startChallenge(old) // the client left the first path of the lane before it had answered
	}
}

// fallback returns where a server may go back to if it leaves the path in use. It is that path, or
// while that is not validated the one before.
func (l *lane) fallback() *path {
	if l.path.migrate {
		return l.oldPath
	}
	return l.path
}

// moved reports that the path in use, to which the connection has moved, is validated.
func (l *lane) moved() {
	l.path.migrate = false
	l.pathChanged()
	l.newAddress()
}

// newAddress gives a client whose new address is validated a token for it.
// RFC 9000, Section 19.7 [3].
func (l *lane) newAddress() {
	if l.conn.server {
		l.conn.sendNewToken(l.path.remote) // RFC 9000, Section 9.3 [4]
	}
}

// leaveOld forgets the path that was in use before, once no validation needs it.
func (l *lane) leaveOld() {
	if old := l.oldPath; old != nil && !old.challenge.active && !l.path.migrate {
		l.setPaths(l.path, nil, l.candidate)
	}
}

// validatePreferred makes a server validate the path from another address of its own by which its
// client reaches it, before it sends anything else from there (RFC 9000, Section 9.6.2).
// RFC 9000, Section 9.6.2 [2, 3]; RFC 9000, Section 9.6.3 [3].
func (l *lane) validatePreferred(a *arrival) {
	p := l.candidate
	if p != nil && p.remote == a.remote && p.local == a.local {
		return
	}
	p = l.pathFrom(a)
	p.validated = a.remote == l.path.remote && l.path.validated
	if probed := l.path.probed; probed != nil && probed.remote == a.remote && probed.local == a.local {
		p.peerID = probed.peerID
	}
	l.setPaths(l.path, l.oldPath, p)
	l.startChallenge(p)
}

// moveToPreferred moves a server to its candidate, which is validated.
func (l *lane) moveToPreferred() {
	old, next := l.path, l.candidate
	l.notePreferred(old, next)
	back := l.fallback()
	if back != nil && back.remote == next.remote {
		back = nil // the client has not moved: it is only the server's address that changes
	}
	l.usePath(next, back, nil)
	if back != nil && !back.challenge.active {
		l.startChallenge(back)
	}
	l.moved()
}

// notePreferred notes whether a server that has a preferred address moves there.
func (l *lane) notePreferred(old, next *path) {
	c := l.conn
	offers := c.cfg.PreferredAddress4.IsValid() || c.cfg.PreferredAddress6.IsValid()
	if offers && old.local.IsValid() && old.local != next.local {
		c.preferred = true
	}
}
