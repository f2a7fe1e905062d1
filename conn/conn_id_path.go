package conn

import "slices"

// Which connection ID of the peer a path uses (RFC 9000, Section 9.5).

// A peerID is the connection ID of the peer that is used on one path.
type peerID struct {
	seq   uint64
	known bool // the path has one
}

// hasOther reports whether there is an ID for another path. An ID of length zero serves all paths.
func (r *remoteIDs) hasOther() bool {
	return r.handshake.n == 0 || slices.ContainsFunc(r.ids, func(x remoteID) bool { return !x.used })
}

// index returns where the ID of a path is, -1 if it has none or that is retired.
func (r *remoteIDs) index(of peerID) int {
	return slices.IndexFunc(r.ids, func(x remoteID) bool { return of.known && x.seq == of.seq })
}

// assign gives a path an ID if it has none, and returns where that is. It is one that was never
// used. If the peer has issued too few, it is the one in use: RFC 9000, Section 9.5, allows that
// where the network has changed the peer's address, and a peer that moves by itself has issued
// others.
func (r *remoteIDs) assign(to *peerID) int {
	i := r.index(*to)
	if i < 0 {
		i = max(slices.IndexFunc(r.ids, func(x remoteID) bool { return !x.used }), 0)
	}
	x := &r.ids[i]
	x.used = true
	*to = peerID{x.seq, true}
	return i
}

// assignIDs gives an ID to each path, puts the one in use first, and retires those whose path is
// gone.
// RFC 9000, Section 5.1.2 [1]; RFC 9000, Section 9.5 [1, 2].
// draft-ietf-quic-multipath-21, Section 3.2.2 [1].
func (l *lane) assignIDs() {
	r := &l.remote
	if len(r.ids) == 0 || l.conn.closed || l.state == laneAbandoned {
		return
	}
	i := r.assign(&l.path.peerID)
	x := r.ids[i]
	copy(r.ids[1:], r.ids[:i])
	r.ids[0] = x
	for _, p := range [...]*path{l.oldPath, l.candidate} {
		if p != nil {
			r.assign(&p.peerID)
		}
	}
	for i := 1; i < len(r.ids); {
		if x := &r.ids[i]; !x.used || l.uses(x.seq) || len(r.retired) >= maxRetired {
			i++
			continue
		}
		_ = l.dropRemote(i) // there is room for another retired one
	}
	l.watchResets()
}

// uses reports whether a path uses the ID with a sequence number.
func (l *lane) uses(seq uint64) bool {
	is := func(p peerID) bool { return p.known && p.seq == seq }
	return is(l.path.peerID) || l.oldPath != nil && is(l.oldPath.peerID) || l.candidate != nil && is(l.candidate.peerID) ||
		l.path.probed != nil && is(l.path.probed.peerID)
}

// idFor returns the ID with which to send on a path that is not in use. of is nil if nothing is
// known of the path: then an unused ID is used once.
func (l *lane) idFor(of *peerID) *ConnID {
	if of == nil {
		of = &peerID{}
	}
	if l.remote.index(*of) < 0 {
		l.assignIDs() // makes place
	}
	x := &l.remote.ids[l.remote.assign(of)]
	l.watchResetsOf(x)
	return &x.id
}
