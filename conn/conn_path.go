package conn

import (
	"net/netip"

	"github.com/lazoquic/lazo/internal/wire"
)

// Path validation (RFC 9000, Section 8.2) and migration (Section 9).
const (
	maxResponses   = 4 // PATH_RESPONSE frames that wait; they are not sent again if lost
	challengeTries = 3
)

// A pathResponse answers a PATH_CHALLENGE on the path that it came by.
type pathResponse struct {
	data          [8]byte
	remote, local netip.AddrPort
	allowance     int // bytes that may be sent there, if the address is not validated
}

// challenged handles PATH_CHALLENGE (RFC 9000, Section 8.2.2). A flood of them costs nothing: the
// oldest answers are dropped.
// RFC 9000, Section 8.2.1 [6]; RFC 9000, Section 8.2.2 [1, 7]; RFC 9000, Section 19.17 [1].
func (l *lane) challenged(p *received, data [8]byte) {
	if l.state == laneAbandoned {
		return // draft-ietf-quic-multipath-21, Section 3.4: nothing is sent on the path
	}
	if len(l.responses) == maxResponses {
		copy(l.responses, l.responses[1:])
		l.responses = l.responses[:maxResponses-1]
	}
	// RFC 9000, Section 8.1: all answers to one datagram share the bytes that it allows.
	allowance := min(minMTU, amplification*len(p.at.data)-p.reserved)
	p.reserved += allowance
	from := l.answerFrom(p.at)
	l.responses = append(l.responses, pathResponse{data: data, remote: p.at.remote, local: from, allowance: allowance})
	if p.at.remote == l.path.remote && from == l.path.from {
		// RFC 9000, Section 9.3.3 [2]: the acknowledgement does not only probe, and leaves at once.
		p.space.recv.ackNow = true
		return
	}
	l.probedBy(p.at.remote, from)
}

// probedBy notes that the peer probes another path than the one in use. A server validates it too
// (RFC 9000, Section 9.6.3). The PATH_CHALLENGE goes into the answer, so the server sends no
// datagram that the client did not ask for.
// RFC 9000, Section 9.6.3 [4].
func (l *lane) probedBy(remote, local netip.AddrPort) {
	c := l.conn
	if c.state != stateConfirmed || l.pathOf(remote, local) != nil {
		return
	}
	p := l.path.probed
	if p == nil || p.remote != remote || p.local != local {
		p = &probedPath{remote: remote, local: local}
		for i := range p.challenge.data {
			c.e.random(p.challenge.data[i][:])
		}
		l.path.probed = p
	}
	p.challenge.pending = c.server && !p.validated && p.challenge.tries < challengeTries
}

// appendProbe appends the PATH_CHALLENGE that goes with an answer, if there is one.
func (l *lane) appendProbe(b []byte, r *pathResponse) []byte {
	c := l.conn
	p := l.path.probed
	if p == nil || !p.challenge.pending || p.remote != r.remote || p.local != r.local {
		return b
	}
	ch := &p.challenge
	ch.pending, ch.small = false, ch.small || r.allowance < minMTU
	ch.tries++
	return c.appendChallenge(b, ch.data[ch.tries-1])
}

// appendChallenge appends a PATH_CHALLENGE.
func (c *Conn) appendChallenge(b []byte, data [8]byte) []byte {
	c.challenges.add(data)
	return wire.AppendPath(b, wire.FramePathChallenge, data)
}

// answerFrom returns where an answer to a is sent from.
func (l *lane) answerFrom(a *arrival) netip.AddrPort {
	c := l.conn
	if c.server || l.candidate != nil && l.candidate.from == a.local || c.formerLocal.IsValid() && c.formerLocal == a.local {
		return a.local
	}
	// The socket of the candidate may be bound to no particular address.
	if p := l.candidate; p != nil && p.from.Addr().IsUnspecified() && p.from.Port() == a.local.Port() {
		return p.from
	}
	return l.path.from
}

// responded handles PATH_RESPONSE (RFC 9000, Section 8.2.3). It may come by any path.
func (c *Conn) responded(data [8]byte) error {
	if c.multi == nil {
		c.lane.responded(data)
	} else {
		for _, l := range c.multi.lanes {
			l.responded(data)
		}
	}
	return c.challenges.check(data)
}

// responded is that of Conn, for one lane.
func (l *lane) responded(data [8]byte) {
	c := l.conn
	switch pa := l.path; {
	case pa == nil:
	case pa.challenge.answered(data): // RFC 9000, Section 8.2.2 [4]
		small := pa.challenge.small
		pa.challenge = challenge{}
		if l.id != 0 && !pa.migrate && !pa.validated {
			c.e.stats.PathsOpened++
			c.event(Event{Kind: EventPathOpened, ID: uint64(l.id), Local: pa.local, Remote: pa.remote})
			l.newAddress()
		}
		pa.validated = true
		if small {
			// RFC 9000, Section 8.2.1 [5], and RFC 9000, Section 8.2.3 [1]: the address is the
			// peer's. Whether the path is wide enough is another question.
			l.startChallenge(pa)
			break
		}
		if pa.migrate {
			l.moved()
			l.leaveOld()
		}
	case l.oldPath != nil && l.oldPath.challenge.answered(data):
		// The path is kept until its time is over: the client may come back (RFC 9000, Section
		// 9.3.3).
		l.oldPath.challenge.pending, l.oldPath.challenge.tries = false, challengeTries
	case pa.probed != nil && pa.probed.challenge.answered(data):
		pa.probed.validated = true
	case l.candidate != nil && l.candidate.challenge.answered(data):
		cand := l.candidate
		small := cand.challenge.small
		cand.challenge, cand.validated = challenge{}, true
		switch {
		case small:
			l.startChallenge(cand)
		case c.server:
			l.moveToPreferred()
		case cand.migrate:
			l.migrateTo(cand)
		default:
			c.event(Event{Kind: EventPathValidated, Local: cand.local, Remote: cand.remote})
		}
	}
}

// leaveAddr forgets old, an address that was left for used. It waits a while, because packets from
// there may be under way. This matters where our own connection ID is empty.
func (c *Conn) leaveAddr(old, used netip.AddrPort) {
	if old != used {
		c.routes.retireAddr(old, c.e.now.add(tidyAfter))
	}
}

// pathChanged reports that the connection has moved.
func (l *lane) pathChanged() {
	c := l.conn
	c.stats.PathChanges++
	c.event(Event{Kind: EventPathChanged, Local: l.path.local, Remote: l.path.remote})
}

// dropCandidate gives the candidate up. A client no longer hears what comes from where it leads.
func (l *lane) dropCandidate() {
	p := l.candidate
	l.setPaths(l.path, l.oldPath, nil)
	if !l.conn.server {
		l.conn.leaveAddr(p.remote, l.path.remote)
	}
}

// setPaths says which paths there are: the one in use, the one in use before, and the candidate.
func (l *lane) setPaths(use, old, candidate *path) {
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p != nil && p != use && p != old && p != candidate {
			l.limitResponses(p)
		}
	}
	l.path, l.oldPath, l.candidate = use, old, candidate
	l.ledger.keep(use, old, candidate)
	l.assignIDs()
}

// limitResponses makes the answers that wait for a path which is given up keep to what its account
// still allows: nothing else will count them (RFC 9000, Section 8.1).
func (l *lane) limitResponses(p *path) {
	if !l.conn.server {
		return
	}
	left := p.allowance()
	for i := range l.responses {
		if r := &l.responses[i]; r.remote == p.remote && r.local == p.from {
			r.allowance = min(r.allowance, left)
			left -= r.allowance
		}
	}
}

// usePath puts a path in use: see setPaths. A candidate that leads to the same place is dropped.
func (l *lane) usePath(p, old, candidate *path) {
	c := l.conn
	if candidate != nil && candidate.remote == p.remote && candidate.local == p.local {
		candidate = nil
	}
	l.setPaths(p, old, candidate)
	l.timeouts.restart()
	l.paceAt = 0
	c.repace(p.estimates)
	if c.state == stateConfirmed {
		l.startECN() // RFC 9000, Section 13.4.2: each path by itself
	}
	if c.hasPeer {
		p.mtu.limitTo(int(min(c.peer.MaxUDPPayload, maxUDPPayload)))
	}
	c.wake()
}

// startChallenge begins to validate a path.
// RFC 9000, Section 8.2.1 [3]; RFC 9000, Section 8.2.4 [1, 2].
func (l *lane) startChallenge(p *path) {
	c := l.conn
	ch := &p.challenge
	*ch = challenge{active: true, pending: true}
	for i := range ch.data {
		c.e.random(ch.data[i][:])
	}
	// RFC 9000, Section 8.2.4: three times the larger PTO of the old and the new path. The path in
	// use may be either.
	wait := initialRTT * 3
	for _, q := range [...]*path{l.path, l.oldPath, p} {
		if q != nil {
			wait = max(wait, q.rtt.pto())
		}
	}
	ch.until = c.e.now.add(3 * (wait + c.peerMaxAckDelay()))
	c.wake()
}

// nextTry returns when to send another PATH_CHALLENGE, as often as an Initial packet is sent
// (RFC 9000, Section 8.2.1); 0 if there were enough.
// RFC 9000, Section 8.2.1 [2]; RFC 9000, Section 9.4 [3, 4].
func (ch *challenge) nextTry(p *path) instant {
	if !ch.active || ch.pending || ch.tries == 0 || ch.tries >= challengeTries {
		return 0
	}
	return ch.sentAt.add(p.rtt.pto() << (ch.tries - 1))
}

// validationDeadline returns when a path validation has its next step; 0 if there is none.
func (l *lane) validationDeadline() (at instant) {
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p != nil && p.challenge.active {
			at = earlier(at, earlier(p.challenge.until, p.challenge.nextTry(p)))
		}
	}
	return at
}

// pathTimeout runs the steps of path validation that are due.
func (l *lane) pathTimeout(now instant) {
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p == nil || !p.challenge.active {
			continue
		}
		ch := &p.challenge
		if now >= ch.until {
			*ch = challenge{}
			l.pathFailed(p)
			continue
		}
		if at := ch.nextTry(p); at != 0 && at <= now {
			ch.pending = true
		}
	}
}

// pathFailed gives a path up (RFC 9000, Section 9.3.2).
// draft-ietf-quic-multipath-21, Section 3.1 [8].
func (l *lane) pathFailed(p *path) {
	c := l.conn
	switch {
	case p == l.oldPath:
		l.leaveOld()
	case p == l.candidate:
		l.dropCandidate()
		if c.server {
			return
		}
		if p.remote != l.path.remote {
			c.peer.Preferred = nil // RFC 9000, Section 9.6.1 [3]
			return                 // RFC 9000, Section 9.6.2: the client goes on where it is
		}
		c.event(Event{Kind: EventPathFailed, Local: p.local, Remote: p.remote})
	case l.oldPath != nil:
		l.goBack()
	case l.id != 0: // draft-ietf-quic-multipath-21, Section 3.1
		if !c.multi.openBesides(l) {
			// The others were abandoned while this one was validated. RFC 9000, Section 8.2.4.
			c.closeWith(&TransportError{Code: errNoViablePath, Reason: "the last path failed"})
			return
		}
		l.abandon(errPathUnstableOrPoor)
	}
}

// challengeDue reports whether a PATH_CHALLENGE is to be sent.
func (l *lane) challengeDue() bool {
	return l.path.challenge.pending || l.oldPath != nil && l.oldPath.challenge.pending ||
		l.candidate != nil && l.candidate.challenge.pending
}

// pathOf returns the path in use or the candidate, whichever leads from local to remote; nil if
// none of them does.
func (l *lane) pathOf(remote, local netip.AddrPort) *path {
	for _, p := range [...]*path{l.path, l.candidate} {
		if p != nil && p.remote == remote && p.from == local {
			return p
		}
	}
	return nil
}

// transmitPath writes a datagram that validates a path.
// RFC 9000, Section 8.2.1 [1]; RFC 9000, Section 8.2.2 [2, 3].
// draft-ietf-quic-multipath-21, Section 3.1 [5].
func (l *lane) transmitPath(now instant, buf []byte) (Burst, bool) {
	sp := l.app
	if sp == nil || sp.tx == nil {
		l.responses = nil
		return Burst{}, false
	}
	for len(l.responses) > 0 {
		r := l.responses[0]
		on := l.pathOf(r.remote, r.local)
		if on != nil && sp.probes == 0 && l.window(on.estimates) < minMTU {
			// RFC 9000, Section 8.2.2: congestion control may delay the answer. But if the peer has
			// been silent, it may be because it must not send more to an address that is not
			// validated. Then the answer is what both wait for, so each probe timeout allows one.
			if !l.timeouts.spare {
				break
			}
			l.timeouts.spare = false
		}
		l.responses = append(l.responses[:0], l.responses[1:]...)
		limit, account := r.allowance, l.accountOf(r.remote, r.local)
		switch {
		case account != nil && account.validated:
			limit = minMTU
		case account != nil && l.conn.server:
			limit = min(r.allowance, account.allowance())
		}
		r.allowance = limit
		if b, ok := l.pathDatagram(now, buf, limit, on, l.answerID(&r), func(b []byte) []byte {
			return l.appendProbe(wire.AppendPath(b, wire.FramePathResponse, r.data), &r)
		}); ok {
			if account != nil {
				account.sent += uint64(b.N)
			}
			b.Remote, b.Local = r.remote, r.local
			return b, true
		}
	}
	return l.transmitChallenge(now, buf)
}

// answerID returns the connection ID for an answer.
func (l *lane) answerID(r *pathResponse) *ConnID {
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p != nil && p.remote == r.remote && p.from == r.local {
			return l.idFor(&p.peerID)
		}
	}
	if p := l.path.probed; p != nil && p.remote == r.remote && p.local == r.local {
		return l.idFor(&p.peerID)
	}
	return l.idFor(nil)
}

// transmitChallenge writes a datagram with a PATH_CHALLENGE that is due.
func (l *lane) transmitChallenge(now instant, buf []byte) (Burst, bool) {
	c := l.conn
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p == nil || !p.challenge.pending {
			continue
		}
		ch := &p.challenge
		limit := minMTU
		if c.server {
			limit = min(minMTU, p.allowance())
		}
		if b, ok := l.pathDatagram(now, buf, limit, p, l.idFor(&p.peerID), func(b []byte) []byte {
			return c.appendChallenge(b, ch.data[ch.tries])
		}); ok {
			ch.pending, ch.sentAt = false, now
			ch.tries++
			ch.small = ch.small || b.N < minMTU
			p.sent += uint64(b.N)
			b.Remote, b.Local = p.remote, p.from
			return b, true
		}
	}
	return Burst{}, false
}

// pathDatagram writes a probing datagram. on is its path, nil if that has no account. RFC 9000,
// Section 8.2.1: the datagram is padded to the least MTU, to show that the path carries it, unless
// the anti-amplification limit forbids that.
// RFC 9000, Section 8.2.1 [4]; RFC 9000, Section 8.2.2 [5, 6].
// draft-ietf-quic-multipath-21, Section 3.1 [6].
func (l *lane) pathDatagram(now instant, buf []byte, limit int, on *path, id *ConnID, appendFrames func([]byte) []byte) (Burst, bool) {
	c := l.conn
	w := &c.e.writer
	if limit < 64 || !l.wear() {
		return Burst{}, false
	}
	w.beginTo(c, l.app, buf[:0], limit, id)
	w.path = on
	w.b = appendFrames(w.b)
	w.record(record{kind: recPing})
	w.pad(limit)
	w.flags = sentProbePath
	out := w.finish(now, NotECT)
	c.stats.BytesSent += uint64(len(out))
	return Burst{N: len(out), SegmentSize: len(out)}, true
}
