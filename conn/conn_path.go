package conn

import (
	"errors"
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
func (c *Conn) challenged(p *received, data [8]byte) {
	if len(c.responses) == maxResponses {
		copy(c.responses, c.responses[1:])
		c.responses = c.responses[:maxResponses-1]
	}
	// RFC 9000, Section 8.1: all answers to one datagram share the bytes that it allows.
	allowance := min(minMTU, amplification*len(p.at.data)-p.reserved)
	p.reserved += allowance
	c.responses = append(c.responses, pathResponse{data: data, remote: p.at.remote, local: c.answerFrom(p.at), allowance: allowance})
	c.probeBack(p.at)
}

// probeBack makes a server validate the path by which a client probes it (RFC 9000, Section 9.6.3).
// The PATH_CHALLENGE goes into the answer, so the server sends no datagram that the client did not
// ask for.
func (c *Conn) probeBack(a *arrival) {
	if !c.server || c.state != stateConfirmed || a.remote == c.path.remote && a.local == c.path.local {
		return
	}
	if p := c.path.probed; p == nil || p.remote != a.remote || p.local != a.local {
		p = &probedPath{remote: a.remote, local: a.local}
		for i := range p.challenge.data {
			c.e.random(p.challenge.data[i][:])
		}
		c.path.probed = p
	}
	p := c.path.probed
	p.challenge.pending = !p.validated && p.challenge.tries < challengeTries
}

// appendProbe appends the PATH_CHALLENGE that goes with an answer, if there is one.
func (c *Conn) appendProbe(b []byte, r *pathResponse) []byte {
	p := c.path.probed
	if p == nil || !p.challenge.pending || p.remote != r.remote || p.local != r.local {
		return b
	}
	ch := &p.challenge
	ch.pending = false
	ch.tries++
	return c.appendChallenge(b, ch.data[ch.tries-1])
}

// appendChallenge appends a PATH_CHALLENGE.
func (c *Conn) appendChallenge(b []byte, data [8]byte) []byte {
	c.challenges.add(data)
	return wire.AppendPath(b, wire.FramePathChallenge, data)
}

// answerFrom returns where an answer to a is sent from.
func (c *Conn) answerFrom(a *arrival) netip.AddrPort {
	if c.server || c.candidate != nil && c.candidate.from == a.local {
		return a.local
	}
	return c.path.from
}

// pathResponse handles PATH_RESPONSE (RFC 9000, Section 8.2.3). It may come by any path.
func (c *Conn) pathResponse(data [8]byte) error {
	switch pa := c.path; {
	case pa.challenge.answered(data):
		pa.challenge = challenge{}
		if c.oldPath != nil {
			c.setPaths(pa, nil, c.candidate)
			c.pathChanged()
		}
		pa.validated = true
	case pa.probed != nil && pa.probed.challenge.answered(data):
		pa.probed.validated = true
	case c.candidate != nil && c.candidate.challenge.answered(data):
		cand := c.candidate
		cand.challenge, cand.validated = challenge{}, true
		if !cand.migrate {
			c.event(Event{Kind: EventPathValidated, Local: cand.local, Remote: cand.remote})
			return nil
		}
		c.migrateTo(cand)
	}
	return c.challenges.check(data)
}

// migrateTo moves a client to the path that it has validated.
func (c *Conn) migrateTo(cand *path) {
	if c.path.remote != cand.remote {
		c.formerRemote = c.path.remote
	}
	c.leaveAddr(c.path.remote, cand.remote)
	c.usePath(cand, nil, nil)
	c.switchID()
	c.pathChanged()
	// RFC 9000, Section 9.2: only a frame that does not probe moves the server's side. A client
	// that only receives has no other such frame: if the server's IDs are empty, it does not even
	// retire one.
	c.spaces[spaceApp].probes = max(c.spaces[spaceApp].probes, 1)
}

// leaveAddr forgets old, an address that was left for used. It waits a while, because packets from
// there may be under way. This matters where our own connection ID is empty.
func (c *Conn) leaveAddr(old, used netip.AddrPort) {
	if old != used {
		c.routes.retireAddr(old, c.e.now.add(tidyAfter))
	}
}

// pathChanged reports that the connection has moved.
func (c *Conn) pathChanged() {
	c.stats.PathChanges++
	c.event(Event{Kind: EventPathChanged, Local: c.path.local, Remote: c.path.remote})
}

// arrivedElsewhere handles a packet that came by another path than the one in use (RFC 9000,
// Section 9.3).
func (c *Conn) arrivedElsewhere(p *received, newest bool) {
	a := p.at
	if c.path.local == (netip.AddrPort{}) && a.remote == c.path.remote {
		c.path.local = a.local // now it is known
		if c.server {
			c.path.from = a.local
		}
		return
	}
	if !c.server {
		if !c.path.from.IsValid() && a.remote == c.path.remote {
			c.path.local = a.local // the socket chose another
		}
		return
	}
	if a.remote == c.path.remote && a.local == (netip.AddrPort{}) {
		return
	}
	// RFC 9000, Section 9: only a client migrates, after the handshake, with packets that do not
	// only probe.
	if c.state != stateConfirmed || !p.nonProbe || !newest {
		return
	}
	if c.oldPath != nil && c.oldPath.remote == a.remote && c.oldPath.local == a.local {
		// It is back where it was.
		c.usePath(c.oldPath, nil, c.candidate)
		return
	}
	c.follow(a)
}

// follow moves a server connection to where its client is now.
func (c *Conn) follow(a *arrival) {
	old, back := c.path, c.oldPath
	if old.validated {
		back = old
	}
	var shared *estimates
	for _, p := range [...]*path{old, back} {
		if p != nil && p.remote.Addr() == a.remote.Addr() {
			shared = p.estimates
			break
		}
	}
	next := c.newPath(a.remote, a.local, shared)
	next.received = uint64(len(a.data))
	probed := old.probed
	old.probed = nil
	c.usePath(next, back, c.candidate)
	c.switchID()
	if probed != nil && probed.validated && probed.remote == a.remote && probed.local == a.local {
		next.validated = true
		c.setPaths(next, nil, c.candidate)
		c.pathChanged()
		return
	}
	c.startChallenge(next)
}

// setPaths says which paths there are: the one in use, the one to go back to, and the one that a
// client probes.
func (c *Conn) setPaths(use, old, candidate *path) {
	c.path, c.oldPath, c.candidate = use, old, candidate
	c.ledger.keep(use, old, candidate)
}

// usePath puts a path in use: see setPaths.
func (c *Conn) usePath(p, old, candidate *path) {
	c.setPaths(p, old, candidate)
	c.timeouts.restart()
	c.paceAt = 0
	c.repace(p.estimates)
	if c.state == stateConfirmed {
		c.startECN() // RFC 9000, Section 13.4.2: each path by itself
	}
	if c.hasPeer {
		p.mtu.limitTo(int(min(c.peer.MaxUDPPayload, maxUDPPayload)))
	}
	c.wake()
}

// startChallenge begins to validate a path.
func (c *Conn) startChallenge(p *path) {
	ch := &p.challenge
	*ch = challenge{active: true, pending: true}
	for i := range ch.data {
		c.e.random(ch.data[i][:])
	}
	// RFC 9000, Section 8.2.4: three times the larger PTO of the old and the new path.
	wait := max(c.path.rtt.pto(), initialRTT*3) + c.peerMaxAckDelay()
	ch.until = c.e.now.add(3 * wait)
	c.wake()
}

// nextTry returns when to send another PATH_CHALLENGE, as often as an Initial packet is sent
// (RFC 9000, Section 8.2.1); 0 if there were enough.
func (ch *challenge) nextTry(p *path) instant {
	if !ch.active || ch.pending || ch.tries == 0 || ch.tries >= challengeTries {
		return 0
	}
	return ch.sentAt.add(p.rtt.pto() << (ch.tries - 1))
}

// pathTimeout runs the steps of path validation that are due.
func (c *Conn) pathTimeout(now instant) {
	for _, p := range [...]*path{c.path, c.candidate} {
		if p == nil || !p.challenge.active {
			continue
		}
		ch := &p.challenge
		if now >= ch.until {
			*ch = challenge{}
			c.pathFailed(p)
			continue
		}
		if at := ch.nextTry(p); at != 0 && at <= now {
			ch.pending = true
		}
	}
}

// pathFailed gives a path up (RFC 9000, Section 9.3.2).
func (c *Conn) pathFailed(p *path) {
	if p == c.candidate {
		c.setPaths(c.path, c.oldPath, nil)
		c.dropOther()
		c.leaveAddr(p.remote, c.path.remote)
		if p.remote != c.path.remote {
			return // RFC 9000, Section 9.6.2: the client goes on where it is
		}
		c.event(Event{Kind: EventPathFailed, Local: p.local, Remote: p.remote})
		return
	}
	if c.oldPath != nil {
		c.usePath(c.oldPath, nil, c.candidate)
	}
}

// challengeDue reports whether a PATH_CHALLENGE is to be sent.
func (c *Conn) challengeDue() bool {
	return c.path.challenge.pending || c.candidate != nil && c.candidate.challenge.pending
}

// pathOf returns the path in use or the candidate, whichever leads from local to remote; nil if
// none of them does.
func (c *Conn) pathOf(remote, local netip.AddrPort) *path {
	for _, p := range [...]*path{c.path, c.candidate} {
		if p != nil && p.remote == remote && p.from == local {
			return p
		}
	}
	return nil
}

// transmitPath writes a datagram that validates a path.
func (c *Conn) transmitPath(now instant, buf []byte) (Burst, bool) {
	sp := c.spaces[spaceApp]
	if sp == nil || sp.tx == nil {
		c.responses = nil
		return Burst{}, false
	}
	for len(c.responses) > 0 {
		r := c.responses[0]
		on := c.pathOf(r.remote, r.local)
		if on != nil && sp.probes == 0 && c.window(on.estimates) < minMTU {
			break // RFC 9000, Section 8.2.2: congestion control may delay the answer
		}
		c.responses = append(c.responses[:0], c.responses[1:]...)
		limit, here := minMTU, r.remote == c.path.remote
		switch {
		case !here:
			limit = r.allowance
		case !c.path.validated:
			limit = min(r.allowance, c.path.allowance())
		}
		if b, ok := c.pathDatagram(now, buf, limit, on, func(b []byte) []byte {
			return c.appendProbe(wire.AppendPath(b, wire.FramePathResponse, r.data), &r)
		}); ok {
			if here {
				c.path.sent += uint64(b.N)
			}
			b.Remote, b.Local = r.remote, r.local
			return b, true
		}
	}
	for _, p := range [...]*path{c.path, c.candidate} {
		if p == nil || !p.challenge.pending {
			continue
		}
		ch := &p.challenge
		limit := min(minMTU, p.allowance())
		if p == c.candidate {
			limit = minMTU
		}
		if b, ok := c.pathDatagram(now, buf, limit, p, func(b []byte) []byte {
			return c.appendChallenge(b, ch.data[ch.tries])
		}); ok {
			ch.pending, ch.sentAt = false, now
			ch.tries++
			p.sent += uint64(b.N)
			b.Remote, b.Local = p.remote, p.from
			return b, true
		}
	}
	return Burst{}, false
}

// pathDatagram writes a probing datagram. on is its path, nil if that is neither in use nor a
// candidate. RFC 9000, Section 8.2.1: the datagram is padded to the least MTU, to show that the
// path carries it, unless the anti-amplification limit forbids that.
func (c *Conn) pathDatagram(now instant, buf []byte, limit int, on *path, appendFrames func([]byte) []byte) (Burst, bool) {
	w := &c.e.writer
	if limit < 64 {
		return Burst{}, false
	}
	id := &c.remote.ids[0]
	if on != c.path {
		id = c.remote.other()
		c.watchResetsOf(id)
	}
	w.beginTo(c, c.spaces[spaceApp], buf[:0], limit, &id.id)
	w.path = on
	w.b = appendFrames(w.b)
	w.record(record{kind: recPing})
	w.pad(limit)
	w.flags = sentProbePath
	out := w.finish(now, NotECT)
	c.stats.BytesSent += uint64(len(out))
	return Burst{N: len(out), SegmentSize: len(out)}, true
}

// Probe validates the path from another local address (RFC 9000, Section 8.2)
// without moving to it. [EventPathValidated] or [EventPathFailed] follows.
func (c *Conn) Probe(local netip.AddrPort) error { return c.probePath(local, false) }

// Migrate moves a client connection to another local address (RFC 9000, Section 9), and probes it
// first if necessary. [EventPathChanged] or [EventPathFailed] follows; streams notice nothing.
// Bursts then have local as their Local. Migrate fails before the handshake is confirmed, and on a
// server. If the address of the same socket changed, pass the new address and the old port.
func (c *Conn) Migrate(local netip.AddrPort) error { return c.probePath(local, true) }

func (c *Conn) probePath(local netip.AddrPort, migrate bool) error {
	switch {
	case c.closed:
		return c.closedErr()
	case c.server:
		return errors.New("conn: a server does not migrate")
	case c.state != stateConfirmed:
		return errors.New("conn: no migration before the handshake is confirmed")
	case c.peer.DisableActiveMigration:
		return errors.New("conn: the peer does not support migration")
	case !local.IsValid():
		return errors.New("conn: the local address is not valid")
	}
	local = canonical(local)
	if p := c.candidate; p != nil && p.local == local {
		p.migrate = p.migrate || migrate
		if p.validated && migrate {
			c.migrateTo(p)
		}
		return nil
	}
	if c.candidate != nil {
		c.setPaths(c.path, c.oldPath, nil)
		c.dropOther()
	}
	if !c.remote.hasOther() {
		return errors.New("conn: the peer has no connection ID left for another path")
	}
	p := c.newPath(c.path.remote, local, nil)
	p.migrate = migrate
	c.setPaths(c.path, c.oldPath, p)
	c.startChallenge(p)
	return nil
}
