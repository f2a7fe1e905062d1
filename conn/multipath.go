package conn

import (
	"slices"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Error codes of PATH_ABANDON (draft-ietf-quic-multipath-21, Section 4.2.1).
const (
	errApplicationAbandonPath = 0x3e
	errPathResourceLimit      = 0x3e75
	errPathUnstableOrPoor     = 0x3e76
)

// maxPaths bounds Config.MaxPaths. Each packet looks through the connection IDs of all paths.
const maxPaths = 8

// A multipath is what a connection keeps to use several paths at once
// (draft-ietf-quic-multipath-21). Without it, there is the lane 0 alone.
type multipath struct {
	conn *Conn
	// of every path ID up to limit that was not forgotten, in the order of the IDs
	lanes []*lane
	// scratch of transmit
	order, chosen, copying []*lane

	limit     uint32 // the largest path ID that we accept
	peerLimit uint32 // the largest that the peer accepts
	limitDue  bool   // MAX_PATH_ID is to be sent

	blockedAt  uint32 // the limit of the last PATHS_BLOCKED, plus one
	blockedDue bool
	wanted     bool // client: OpenPath found no room, and the application was not told of any since

	question  sendQuestion
	datagrams datagramQueue  // redundant ones that wait
	fates     []datagramFate // in the order of their IDs
	redundant bool           // a stream or a datagram is, or was
}

// startMultipath begins to speak multipath once the handshake is complete, if both sides offer it
// (draft-ietf-quic-multipath-21, Section 2).
// draft-ietf-quic-multipath-21, Section 2 [1]; draft-ietf-quic-multipath-21, Section 3.2.1 [1].
func (c *Conn) startMultipath() {
	if !c.offersMultipath() || c.peer.InitialMaxPathID < 0 {
		return
	}
	m := &multipath{conn: c, limit: uint32(c.cfg.MaxPaths - 1), peerLimit: uint32(c.peer.InitialMaxPathID)}
	if c.cfg.Scheduler != nil {
		m.question.scheduler = c.e.rec.scheduler(c.cfg.Scheduler())
	}
	if m.question.scheduler == nil {
		m.question.scheduler = NewEarliestCompletion()
	}
	c.multi = m
	c.lane.status = new(laneStatus)
	m.lanes = append(m.lanes, &c.lane)
	for id := uint32(1); id <= m.limit; id++ {
		m.lanes = append(m.lanes, c.newLane(id))
	}
	for _, s := range c.streams.all {
		m.redundant = m.redundant || s.redundant
	}
}

// offersMultipath reports whether this side sends initial_max_path_id. Both connection IDs must
// not be empty (draft-ietf-quic-multipath-21, Section 2.1).
// draft-ietf-quic-multipath-21, Section 2.1 [3].
func (c *Conn) offersMultipath() bool {
	return c.cfg.MaxPaths > 1 && c.local.ids[0].id.n > 0 && c.remote.handshake.n > 0
}

// checkMultipath checks what the peer offers.
// draft-ietf-quic-multipath-21, Section 2.1 [4].
func (c *Conn) checkMultipath(p *wire.Params) error {
	if c.cfg.MaxPaths > 1 && p.InitialMaxPathID >= 0 && (c.local.ids[0].id.n == 0 || c.remote.handshake.n == 0) {
		return violation(errProtocolViolation, wire.FrameCrypto, "initial_max_path_id with an empty connection ID")
	}
	return nil
}

// laneOf returns the lane with a path ID; nil if it was forgotten, or was never there.
func (c *Conn) laneOf(id uint32) *lane {
	if c.multi == nil {
		if id == 0 {
			return &c.lane
		}
		return nil
	}
	for _, l := range c.multi.lanes {
		if l.id == id {
			return l
		}
	}
	return nil
}

// main returns the lane that stands for the connection where one has to: the first that data would
// take.
func (c *Conn) main() *lane {
	if c.multi == nil {
		return &c.lane
	}
	return c.multi.best()
}

func (m *multipath) best() *lane {
	best := &m.conn.lane
	for _, l := range m.lanes {
		if l.before(best) {
			best = l
		}
	}
	return best
}

// otherThan reports whether there is a usable lane besides l whose peer answers.
func (m *multipath) otherThan(l *lane) bool {
	return slices.ContainsFunc(m.lanes, func(o *lane) bool { return o != l && o.usable() && !o.timeouts.suspect })
}

// issuedTwice reports whether a connection ID of the peer for l, or its reset token, is one of
// another lane too (draft-ietf-quic-multipath-21, Section 3.2.1).
func (m *multipath) issuedTwice(l *lane, x *remoteID) bool {
	return slices.ContainsFunc(m.lanes, func(o *lane) bool {
		return o != l && slices.ContainsFunc(o.remote.ids, func(y remoteID) bool {
			return y.id == x.id || y.hasToken && y.token == x.token
		})
	})
}

// awaitsAck is that of Conn. What is under way to a peer that does not answer on its path counts
// only if there is no other path: that one may still have to show that the connection is alive.
func (m *multipath) awaitsAck() bool {
	silent := false
	for _, l := range m.lanes {
		switch {
		case l.app.sent.eliciting == 0:
		case !l.timeouts.suspect:
			return true
		default:
			silent = true
		}
	}
	return silent && !m.otherThan(nil)
}

// usableBesides reports whether there is a usable lane besides l.
func (m *multipath) usableBesides(l *lane) bool {
	return slices.ContainsFunc(m.lanes, func(o *lane) bool { return o != l && o.usable() })
}

// silent reports whether the peer answers on no lane: see Conn.Silent.
func (m *multipath) silent() bool {
	return !slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.usable() && !l.timeouts.silent })
}

// offer issues connection IDs for the lanes that both sides may use
// (draft-ietf-quic-multipath-21, Section 3.2.1).
func (m *multipath) offer() {
	for _, l := range m.lanes {
		l.offerIDs()
	}
}

// sharedLimit is the largest path ID that both sides accept.
func (m *multipath) sharedLimit() uint32 { return min(m.limit, m.peerLimit) }

// deadline returns when something of a lane is due.
func (m *multipath) deadline() (at instant) {
	for _, l := range m.lanes {
		at = earlier(at, l.deadline())
	}
	return at
}

// onTimeout runs what is due, and forgets lanes.
func (m *multipath) onTimeout(now instant) {
	for _, l := range m.lanes {
		if l.onTimeout(now); m.conn.closed {
			return
		}
	}
	for i := 0; i < len(m.lanes); {
		if l := m.lanes[i]; l.status.deleteAt != 0 && l.status.deleteAt <= now && l.status.abandonAcked {
			m.forget(i)
			continue
		}
		i++
	}
}

// forget forgets the ith lane, and makes place for another one. Its ID is not used again
// (draft-ietf-quic-multipath-21, Section 3.4).
// draft-ietf-quic-multipath-21, Section 3.2.1 [4]; draft-ietf-quic-multipath-21, Section 3.4 [6];
// draft-ietf-quic-multipath-21, Section 4.6 [1, 2].
func (m *multipath) forget(i int) {
	m.conn.e.stats.addPath(m.lanes[i])
	m.lanes = slices.Delete(m.lanes, i, i+1)
	if m.limit == wire.MaxPathID {
		return
	}
	m.limit++
	m.lanes = append(m.lanes, m.conn.newLane(m.limit))
	m.limitDue = true
	m.conn.control.paths, m.conn.control.any = true, true
	m.offer()
}

// abandonedByPeer handles PATH_ABANDON (draft-ietf-quic-multipath-21, Section 3.4).
// draft-ietf-quic-multipath-21, Section 3.4 [3, 4, 7].
func (m *multipath) abandonedByPeer(l *lane, now instant, code uint64) {
	if l.status.peerAbandon {
		return
	}
	if !m.openBesides(l) {
		// Section 3.4: the only open path was abandoned. CONNECTION_CLOSE goes there: those that
		// were abandoned before may lead nowhere.
		m.conn.closeWith(&TransportError{Code: errNo, Frame: wire.FramePathAbandon, Reason: "the only open path was abandoned"})
		return
	}
	l.status.peerAbandon = true
	l.leave(code, errNo)
	wait := 3 * m.pto()
	l.status.deleteAt = now.add(wait)
	for i := range l.local.ids {
		m.conn.routes.retireID(l.local.ids[i].id, now.add(max(wait, tidyAfter)))
	}
	l.local.ids = l.local.ids[:min(len(l.local.ids), 1)] // long headers name that of the lane 0
}

// openBesides reports whether something may be sent on another lane than l.
func (m *multipath) openBesides(l *lane) bool {
	return slices.ContainsFunc(m.lanes, func(o *lane) bool { return o != l && o.state == laneOpen })
}

// held returns how many bytes of memory the lanes take besides the lane 0.
func (m *multipath) held() (n int64) {
	n = m.datagrams.bytes
	for _, l := range m.lanes {
		n += l.status.copies.held()
		if l.id != 0 {
			n += laneCost + int64(l.app.sent.bytes())
		}
	}
	return n
}

// untidy and tidy are those of Conn, for the other lanes.
func (m *multipath) untidy() bool {
	return slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.id != 0 && l.app.sent.oversized() })
}

func (m *multipath) tidy() {
	for _, l := range m.lanes {
		if l.id != 0 && l.path != nil {
			l.app.sent.tidy(m.conn.e.now, l.lossMemory())
		}
	}
}

// pto returns the probe timeout of the connection, without backoff.
func (c *Conn) pto() time.Duration {
	if c.multi != nil {
		return c.multi.pto()
	}
	return c.path.rtt.pto() + maxAckDelay
}

// keepAlive makes a lane send a PING, or something else that asks for an acknowledgement.
func (l *lane) keepAlive() { l.app.probes = max(l.app.probes, 1) }

// pto returns the longest probe timeout of all lanes (draft-ietf-quic-multipath-21, Sections 2.5
// and 2.6).
func (m *multipath) pto() (d time.Duration) {
	for _, l := range m.lanes {
		if l.path != nil {
			d = max(d, l.path.rtt.pto()+maxAckDelay)
		}
	}
	return d
}

// leastInWindow returns the smallest number of packets that may be in flight on a lane, and the
// shortest round-trip time, of the lanes that wait for acknowledgements: with fewer of them, those
// would come to a stop.
func (m *multipath) leastInWindow() (packets int, rtt time.Duration) {
	best := m.best()
	for _, l := range m.lanes {
		if !l.usable() || l.app.sent.eliciting == 0 && l != best {
			continue
		}
		if n := l.path.inWindow(); packets == 0 || n < packets {
			packets = n
		}
		if d := l.path.rtt.smoothed; rtt == 0 || d < rtt {
			rtt = d
		}
	}
	return packets, rtt
}

// keysOn returns the keys of the lane 0 for the lane of sp.
func (sp *space) keysOn(k *keys.Keys) *keys.Keys {
	if sp.lane.id != 0 {
		return k.OnPath(sp.lane.id)
	}
	return k
}

// turnRx makes all lanes follow the lane 0 to the next key phase. What has come on them so far was
// of the phase before.
func (m *multipath) turnRx() {
	for _, l := range m.lanes {
		if sp := l.app; sp.rx != nil {
			sp.rx = sp.keysOn(m.conn.app.rx)
			sp.phase.lastOld, sp.phase.firstRecv = sp.recv.largest, noneRecv
		}
	}
}

// turnTx is turnRx for sending.
func (m *multipath) turnTx() {
	for _, l := range m.lanes {
		if sp := l.app; sp.tx != nil {
			sp.tx, sp.phase.firstSent = sp.keysOn(m.conn.app.tx), sp.sent.next
		}
	}
}

// ackedInPhase reports whether a packet with the keys in use was acknowledged on any lane.
func (m *multipath) ackedInPhase() bool {
	return slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.app.tx != nil && l.app.ackedInPhase() })
}
