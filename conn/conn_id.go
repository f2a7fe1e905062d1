package conn

import (
	"slices"

	"github.com/lazoquic/lazo/internal/rangeset"
	"github.com/lazoquic/lazo/internal/wire"
)

// A localID is a connection ID that we issued (RFC 9000, Section 5.1.1).
type localID struct {
	id  ConnID
	seq uint64
	due bool // a NEW_CONNECTION_ID frame is to be sent
}

// localIDs are the connection IDs that we issued and the peer has not retired, in the order of
// their sequence numbers.
type localIDs struct {
	ids  []localID
	next uint64 // sequence number of the next
	sent uint64 // the peer was told of those below
	// the peer has acknowledged one that it was told of
	known bool
}

// RFC 9000, Section 5.1.1 [1].
func (l *localIDs) add(id ConnID) *localID {
	l.ids = append(l.ids, localID{id: id, seq: l.next})
	l.next++
	return &l.ids[len(l.ids)-1]
}

// lost notes that the frame with an ID was lost, and reports whether it is to be sent again.
func (l *localIDs) lost(seq uint64) bool {
	for i := range l.ids {
		if x := &l.ids[i]; x.seq == seq {
			x.due = true
			return true
		}
	}
	return false
}

// generateID draws a connection ID that is not in use.
// RFC 9000, Section 5.1 [1, 2].
func (e *Endpoint) generateID() (id ConnID, ok bool) {
	for range 16 {
		e.idRoom = [maxConnIDLen]byte{} // on the stack it would escape through the interface
		n := e.idSource.Generate(&e.idRoom)
		if n < 0 || n > maxConnIDLen {
			return ConnID{}, false
		}
		id.b, id.n = e.idRoom, uint8(n)
		clear(id.b[n:])
		if n == 0 {
			return id, true
		}
		if !e.routes.taken(id) {
			return id, true
		}
	}
	return ConnID{}, false
}

// addFirstID puts in place the ID of the handshake, whose sequence number is 0.
func (c *Conn) addFirstID(id ConnID) {
	c.local.ids = make([]localID, 0, activeConnIDs)
	c.local.add(id)
	c.local.sent = c.local.next
	if id.n == 0 {
		c.routes.addAddr(c.path.remote)
		return
	}
	c.routes.addID(id, &c.lane)
}

// offerIDs issues connection IDs until the peer has as many as it accepts, up to our own bound.
// RFC 9000, Section 5.1.1 [3, 4, 7]; RFC 9000, Section 9.5 [5]; RFC 9000, Section 19.15 [2].
// draft-ietf-quic-multipath-21, Section 3.2.1 [3];
// draft-ietf-quic-multipath-21, Section 3.2.2 [2].
func (l *lane) offerIDs() {
	c := l.conn
	if c.state != stateConfirmed || l.state == laneAbandoned {
		return
	}
	want := int(min(c.peer.ActiveConnIDLimit, activeConnIDs))
	switch {
	case l.id == 0 && (len(l.local.ids) == 0 || l.local.ids[0].id.n == 0), l.id != 0 && l.id > c.multi.sharedLimit():
		return
	case l.id != 0:
		want = min(want, laneIDs)
	}
	for len(l.local.ids) < want {
		id, ok := c.e.generateID()
		if !ok || id.n == 0 {
			return
		}
		l.local.add(id).due = true
		c.routes.addID(id, l)
		c.control.newIDs, c.control.any = true, true
	}
}

// laneIDs is how many connection IDs are issued for each lane but the lane 0: one to use, and one
// to move with (draft-ietf-quic-multipath-21, Section 3.2.1).
const laneIDs = 2

// retireLocal handles RETIRE_CONNECTION_ID (RFC 9000, Section 19.16). dcid is that of the packet.
// RFC 9000, Section 5.1.1 [6]; RFC 9000, Section 19.16 [1, 3].
func (l *lane) retireLocal(seq uint64, dcid []byte) error {
	c := l.conn
	if seq >= l.local.sent {
		// RFC 9000, Section 19.16: an ID that the peer was not told of yet counts as never issued.
		return violation(errProtocolViolation, wire.FrameRetireConnectionID, "connection ID %d was never issued", seq)
	}
	for i := range l.local.ids {
		x := &l.local.ids[i]
		if x.seq != seq {
			continue
		}
		if x.id.equal(dcid) {
			return violation(errProtocolViolation, wire.FrameRetireConnectionID, "connection ID %d is in use by the packet", seq)
		}
		c.routes.retireID(x.id, c.e.now.add(tidyAfter))
		l.local.ids = slices.Delete(l.local.ids, i, i+1)
		l.offerIDs()
		return nil
	}
	return nil // retired before
}

// firstDCID returns the destination connection ID of the packet that made a server connection.
func (c *Conn) firstDCID() ConnID {
	if c.retried {
		return c.retrySCID
	}
	return c.origin
}

// A remoteID is a connection ID that the peer issued.
type remoteID struct {
	id       ConnID
	seq      uint64
	token    [16]byte
	hasToken bool
	used     bool // on a path, or it was
}

// maxRetired bounds the RETIRE_CONNECTION_ID frames that wait for acknowledgement. A peer that
// makes us retire more is hostile (RFC 9000, Section 5.1.2).
const maxRetired = 3 * activeConnIDs // RFC 9000, Section 5.1.2 [4, 5]

// remoteIDs are the connection IDs by which we reach the peer. The first is that of the path in
// use: see assignIDs for the others.
type remoteIDs struct {
	ids         []remoteID
	handshake   ConnID // the first ID that the peer chose
	chosen      bool   // client: handshake is the server's, not our own choice
	retireBelow uint64 // RetirePriorTo
	retired     []retiredID
	seen        rangeset.Set // sequence numbers from retireBelow on
	former      []remoteID   // the last that were retired, the newest last
}

// A retiredID is one whose RETIRE_CONNECTION_ID is not acknowledged.
type retiredID struct {
	seq uint64
	due bool
}

func (r *remoteIDs) init(id ConnID) {
	r.ids = append(make([]remoteID, 0, 2), remoteID{id: id})
	r.handshake = id
	r.seen.Add(0, 1)
}

// current returns the ID in use.
func (r *remoteIDs) current() *ConnID { return &r.ids[0].id }

// maxFormer is how many retired IDs are remembered: a peer may send their frames again.
const maxFormer = 8

// remember keeps a retired ID. The oldest of more than maxFormer is forgotten.
func (r *remoteIDs) remember(x *remoteID) {
	for i := range r.former {
		if r.former[i].seq == x.seq {
			return
		}
	}
	if len(r.former) == maxFormer {
		r.former = append(r.former[:0], r.former[1:]...)
	}
	r.former = append(r.former, *x)
}

// conflicts reports whether x contradicts what the peer said before about the same ID, or about the
// same sequence number (RFC 9000, Section 19.15), or has the reset token of another ID (Section
// 10.3.2).
func (r *remoteIDs) conflicts(x *remoteID) bool {
	for _, known := range [...][]remoteID{r.ids, r.former} {
		for i := range known {
			y := &known[i]
			sameToken := y.hasToken && y.token == x.token
			if y.seq == x.seq && (y.id != x.id || y.hasToken && !sameToken) || y.seq != x.seq && (y.id == x.id || sameToken) {
				return true
			}
		}
	}
	return false
}

// newRemoteID handles NEW_CONNECTION_ID (RFC 9000, Section 19.15).
// RFC 9000, Section 5.1.2 [3]; RFC 9000, Section 19.15 [1, 3, 4, 7, 8].
func (l *lane) newRemoteID(seq, retirePriorTo uint64, b []byte, token [16]byte) error {
	r := &l.remote
	if r.handshake.n == 0 {
		return violation(errProtocolViolation, wire.FrameNewConnectionID, "the peer's connection IDs are empty")
	}
	id, ok := ConnIDFromSlice(b)
	if !ok {
		return violation(errFrameEncoding, wire.FrameNewConnectionID, "connection ID of %d bytes", len(b))
	}
	left := 0 // IDs that stay
	for i := range r.ids {
		if r.ids[i].seq >= retirePriorTo {
			left++
		}
	}
	issued := remoteID{id: id, seq: seq, token: token, hasToken: true}
	if r.conflicts(&issued) || l.conn.multi != nil && l.conn.multi.issuedTwice(l, &issued) {
		return violation(errProtocolViolation, wire.FrameNewConnectionID, "connection ID %d conflicts with another", seq)
	}
	if left == 0 && r.seen.Contains(seq) {
		return nil // a late frame for an ID that we retired: obeying it would leave none
	}
	if retirePriorTo > r.retireBelow {
		r.retireBelow = retirePriorTo
		r.seen.Remove(0, retirePriorTo)
	}
	if seq < r.retireBelow {
		r.remember(&issued)
		return l.retireRemote(seq)
	}
	if r.seen.Add(seq, seq+1) { // no retransmission
		r.ids = append(r.ids, issued)
	}
	if r.seen.Len() > activeConnIDs {
		// RFC 9000, Section 5.1.1: numbers increase by one, so those between were issued too. They
		// have not come, so they are not retired, and count as active.
		return violation(errConnectionIDLimit, wire.FrameNewConnectionID, "connection ID %d, and too many before are missing", seq)
	}
	for i := 0; i < len(r.ids); {
		if r.ids[i].seq >= r.retireBelow {
			i++
			continue
		}
		if err := l.dropRemote(i); err != nil {
			return err
		}
	}
	if len(r.ids) > activeConnIDs {
		// RFC 9000, Section 5.1.1 [5].
		return violation(errConnectionIDLimit, wire.FrameNewConnectionID, "more than %d connection IDs", activeConnIDs)
	}
	if l.path == nil {
		l.conn.noteAvailable()
		return nil
	}
	l.assignIDs()
	return nil
}

// lost notes that the frame which retires an ID was lost, and reports whether it is to be sent
// again.
func (r *remoteIDs) lost(seq uint64) bool {
	for i := range r.retired {
		if x := &r.retired[i]; x.seq == seq {
			x.due = true
			return true
		}
	}
	return false
}

func (r *remoteIDs) isRetired(seq uint64) bool {
	for _, x := range r.retired {
		if x.seq == seq {
			return true
		}
	}
	return false
}

// dropRemote retires the ith ID.
// RFC 9000, Section 19.16 [2].
func (l *lane) dropRemote(i int) error {
	c := l.conn
	x := l.remote.ids[i]
	if x.hasToken {
		c.routes.dropToken(x.token)
	}
	l.remote.ids = append(l.remote.ids[:i], l.remote.ids[i+1:]...)
	l.remote.remember(&x)
	return l.retireRemote(x.seq)
}

// retireRemote queues RETIRE_CONNECTION_ID.
// RFC 9000, Section 5.1.2 [6].
func (l *lane) retireRemote(seq uint64) error {
	c := l.conn
	r := &l.remote
	if r.isRetired(seq) {
		return nil
	}
	if len(r.retired) >= maxRetired {
		return violation(errConnectionIDLimit, wire.FrameNewConnectionID, "too many connection IDs to retire")
	}
	r.retired = append(r.retired, retiredID{seq: seq, due: true})
	c.control.retireIDs, c.control.any = true, true
	return nil
}

// watchResets begins to recognise stateless resets with the token of the ID in use. Tokens of IDs
// that were never used do not count (RFC 9000, Section 10.3.1).
// RFC 9000, Section 10.3.1 [2].
func (l *lane) watchResets() { l.watchResetsOf(&l.remote.ids[0]) }

func (l *lane) watchResetsOf(x *remoteID) {
	c := l.conn
	if x.hasToken {
		c.routes.addToken(x.token)
	}
}
