package conn

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// A PathID names a path of a connection that speaks multipath (draft-ietf-quic-multipath). The path
// of the handshake is 0.
type PathID uint32

// A PathStats is the state of a path of a connection, with multipath or without.
type PathStats struct {
	ID            PathID
	Local, Remote netip.AddrPort
	Validated     bool // data may be sent
	Backup        bool // one of the sides wants to use it only if no other path works
	Silent        bool // a probe timeout has passed, and the peer has acknowledged nothing since

	SmoothedRTT, MinRTT             time.Duration
	CongestionWindow, BytesInFlight uint64
	MTU                             int

	// Counters of the path ID, which keeps them when it moves to other addresses: packets, and
	// bytes of QUIC in them.
	PacketsSent, PacketsReceived, PacketsLost uint64
	BytesSent, BytesReceived                  uint64
}

// Multipath reports whether the connection may have several paths at once: both sides set
// Config.MaxPaths. It is known once the handshake is complete.
func (c *Conn) Multipath() bool { return c.multi != nil }

// Paths appends the open paths of the connection to dst, in the order of their IDs. Without
// multipath there is one.
func (c *Conn) Paths(dst []PathStats) []PathStats {
	if c.multi == nil {
		return append(dst, c.lane.stats())
	}
	for _, l := range c.multi.lanes {
		if l.state == laneOpen {
			dst = append(dst, l.stats())
		}
	}
	return dst
}

func (l *lane) stats() PathStats {
	p, t := l.path, &l.traffic
	return PathStats{
		ID: PathID(l.id), Local: p.local, Remote: p.remote, Validated: p.validated,
		Backup: l.status != nil && (l.status.backup || l.status.peerBackup), Silent: l.timeouts.suspect || l.timeouts.silent,
		SmoothedRTT: p.rtt.smoothed, MinRTT: p.rtt.min, CongestionWindow: p.cc.Window(), BytesInFlight: p.inFlight,
		MTU:         p.mtu.current,
		PacketsSent: t.PacketsSent, PacketsReceived: t.PacketsReceived, PacketsLost: t.PacketsLost,
		BytesSent: t.BytesSent, BytesReceived: t.BytesReceived,
	}
}

// errNoMultipath is the error of calls that need multipath.
var errNoMultipath = errors.New("conn: the connection does not speak multipath")

// ErrPathLimit says that no path can be opened now: there are as many as both sides allow, or the
// sides have not told each other connection IDs for another one yet. That takes a round trip after
// the handshake. [EventPathsAvailable] follows once there is room.
var ErrPathLimit = errors.New("conn: no path can be opened now")

// OpenPath opens a path of a client from another local address to the server, besides those that
// there are (draft-ietf-quic-multipath-21, Section 3.1). [EventPathOpened] follows once it is
// validated and takes data, or [EventPathAbandoned]. Bursts on it have local as their Local.
// OpenPath fails before the handshake is complete, without multipath, and on a server. It returns
// [ErrPathLimit] if there is no room yet, and [ErrMigrationDisabled] if the server allows no path
// from elsewhere.
func (c *Conn) OpenPath(local netip.AddrPort) (PathID, error) {
	c.e.rec.addr(callOpenPath, c, local)
	switch {
	case c.closed:
		return 0, c.closedErr()
	case c.server:
		return 0, errors.New("conn: a server does not open paths")
	case c.multi == nil:
		return 0, errNoMultipath
	case c.peer.DisableActiveMigration: // draft-ietf-quic-multipath-21, Section 2.2
		return 0, ErrMigrationDisabled
	case !local.IsValid():
		return 0, errors.New("conn: the local address is not valid")
	}
	l := c.multi.unused()
	if l == nil {
		c.multi.wanted = true
		if c.state == stateConfirmed {
			c.multi.blocked()
		}
		return 0, ErrPathLimit
	}
	l.use(c.main().path.remote, canonical(local))
	return PathID(l.id), nil
}

// AbandonPath ends a path (draft-ietf-quic-multipath-21, Section 3.4). What was in flight on it is
// sent again on the other paths. code is one of the codes of the draft, for example 0. AbandonPath
// fails for the only path that takes data: close the connection instead. [EventPathAbandoned]
// follows.
func (c *Conn) AbandonPath(id PathID, code uint64) error {
	c.e.rec.call(callAbandonPath, c.serial, uint64(id), code)
	l, err := c.openLane(id)
	if err != nil {
		return err
	}
	if !c.multi.usableBesides(l) {
		return errors.New("conn: it is the only path")
	}
	l.abandon(min(code, maxLimit))
	return nil
}

// SetPathBackup says whether to use a path only if no other one works, and tells the peer
// (draft-ietf-quic-multipath-21, Section 3.3). The peer decides by itself what it does.
func (c *Conn) SetPathBackup(id PathID, backup bool) error {
	c.e.rec.call(callSetPathBackup, c.serial, uint64(id), flag(backup))
	l, err := c.openLane(id)
	if err != nil {
		return err
	}
	if l.status.backup != backup {
		l.status.backup, l.status.statusDue = backup, true
		c.control.paths, c.control.any = true, true
		c.wake()
	}
	return nil
}

// openLane returns the lane of an open path.
func (c *Conn) openLane(id PathID) (*lane, error) {
	switch {
	case c.closed:
		return nil, c.closedErr()
	case c.multi == nil:
		return nil, errNoMultipath
	}
	l := c.laneOf(uint32(id))
	if l == nil || l.state != laneOpen {
		return nil, errors.New("conn: there is no such path")
	}
	return l, nil
}

// unused returns the idle lane with the lowest ID for which each side has a connection ID of the
// other one; nil if there is none (draft-ietf-quic-multipath-21, Section 3.1). The peer may get the
// first packet on a path before what was sent on another one, so it has to have acknowledged ours.
// draft-ietf-quic-multipath-21, Section 3.1 [1]; draft-ietf-quic-multipath-21, Section 3.2.1 [2].
func (m *multipath) unused() *lane {
	for _, l := range m.lanes {
		if l.state == laneIdle && l.id <= m.peerLimit && l.local.known && len(l.remote.ids) > 0 {
			return l
		}
	}
	return nil
}

// blocked tells the peer why no path can be opened, once for each reason
// (draft-ietf-quic-multipath-21, Section 4.7).
// draft-ietf-quic-multipath-21, Section 3.2.1 [4].
func (m *multipath) blocked() {
	i := slices.IndexFunc(m.lanes, func(l *lane) bool { return l.state == laneIdle && l.id <= m.peerLimit })
	switch {
	case i >= 0:
		if l := m.lanes[i]; l.local.known && len(l.remote.ids) == 0 && !l.status.cidsTold {
			l.status.cidsTold, l.status.cidsDue = true, true
		}
	case m.peerLimit < m.limit && m.blockedAt != m.peerLimit+1:
		m.blockedAt, m.blockedDue = m.peerLimit+1, true
	}
	m.conn.control.paths, m.conn.control.any = true, true
	m.conn.wake()
}

// noteAvailable tells the application if there is room for a path now, and there was none before.
func (c *Conn) noteAvailable() {
	if m := c.multi; m != nil && m.wanted && m.unused() != nil {
		m.wanted = false
		c.eventOf(EventPathsAvailable, 0)
	}
}
