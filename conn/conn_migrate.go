package conn

import (
	"errors"
	"net/netip"
)

// How a client moves between local addresses (RFC 9000, Section 9.2).

// Probe validates the path from another local address (RFC 9000, Section 8.2) without moving to it.
// [EventPathValidated] or [EventPathFailed] follows. A path that was validated is validated again.
// A connection probes one path at a time: another one that is being probed fails.
func (c *Conn) Probe(local netip.AddrPort) error {
	c.e.rec.addr(callProbe, c, local)
	return c.probePath(local, false)
}

// Migrate moves a client connection to another local address (RFC 9000, Section 9), and probes it
// first if necessary. [EventPathChanged] or [EventPathFailed] follows; streams notice nothing.
// Bursts then have local as their Local. Migrate fails before the handshake is confirmed, and on a
// server. If the address of the same socket changed, pass the new address and the old port.
func (c *Conn) Migrate(local netip.AddrPort) error {
	c.e.rec.addr(callMigrate, c, local)
	return c.probePath(local, true)
}

// Switch is Migrate, but moves at once. It is for a client that has lost the network it was in, or
// that has used the path before. Both sides validate the path while it is in use (RFC 9000, Section
// 9.2). If it does not work, the connection stays there nevertheless. [EventPathChanged] follows.
func (c *Conn) Switch(local netip.AddrPort) error {
	c.e.rec.addr(callSwitch, c, local)
	if err := c.mayMove(local); err != nil {
		return err
	}
	local = canonical(local)
	if c.path.from == local {
		return nil
	}
	p := c.candidate
	if p == nil || p.local != local {
		var err error
		if p, err = c.newCandidate(local); err != nil {
			return err
		}
	}
	known := p.validated
	p.validated = true // a client may send as much as congestion control allows
	c.migrateTo(p)
	if !known {
		c.startChallenge(p)
	}
	return nil
}

func (c *Conn) probePath(local netip.AddrPort, migrate bool) error {
	if err := c.mayMove(local); err != nil {
		return err
	}
	local = canonical(local)
	if p := c.candidate; p != nil && p.local == local {
		p.migrate = p.migrate || migrate
		switch {
		case !p.validated:
		case migrate:
			c.migrateTo(p)
		default:
			p.validated = false
			c.startChallenge(p)
		}
		return nil
	}
	p, err := c.newCandidate(local)
	if err != nil {
		return err
	}
	p.migrate = migrate
	c.setPaths(c.path, c.oldPath, p)
	c.startChallenge(p)
	return nil
}

// ErrMigrationDisabled says that the server does not support migration
// (disable_active_migration, RFC 9000, Section 18.2).
var ErrMigrationDisabled = errors.New("conn: the peer does not support migration")

// MigrationDisabled reports whether the server does not support migration.
func (c *Conn) MigrationDisabled() bool { return c.peer.DisableActiveMigration }

// mayMove returns why the connection cannot move to a local address; nil if it can.
// RFC 9000, Section 18.2 [3].
func (c *Conn) mayMove(local netip.AddrPort) error {
	switch {
	case c.closed:
		return c.closedErr()
	case c.server:
		return errors.New("conn: a server does not migrate")
	case c.state != stateConfirmed: // RFC 9000, Section 9 [1]
		return errors.New("conn: no migration before the handshake is confirmed")
	case c.peer.DisableActiveMigration: // RFC 9000, Section 9 [2]
		return ErrMigrationDisabled
	case c.lane.state != laneOpen:
		return errors.New("conn: the path of the handshake was abandoned")
	case !local.IsValid():
		return errors.New("conn: the local address is not valid")
	}
	return nil
}

// newCandidate returns a path from another local address. A path that is being probed is given up
// for it.
func (c *Conn) newCandidate(local netip.AddrPort) (*path, error) {
	if p := c.candidate; p != nil {
		c.dropCandidate()
		if !p.validated && p.remote == c.path.remote {
			c.event(Event{Kind: EventPathFailed, Local: p.local, Remote: p.remote})
		}
	}
	if !c.remote.hasOther() {
		return nil, errors.New("conn: the peer has no connection ID left for another path")
	}
	return c.newPath(c.path.remote, local, nil), nil
}

// migrateTo moves a client to the path that it has validated.
// RFC 9000, Section 9.6.1 [2].
func (l *lane) migrateTo(cand *path) {
	c := l.conn
	if l.path.remote != cand.remote {
		c.formerRemote, c.peer.Preferred = l.path.remote, nil
	}
	if l.path.from != cand.from {
		c.formerLocal = l.path.from
	}
	cand.migrate = false
	c.leaveAddr(l.path.remote, cand.remote)
	l.usePath(cand, nil, nil)
	l.pathChanged()
	// RFC 9000, Section 9.2: only a frame that does not probe moves the server's side. A client
	// that only receives has no other such frame: if the server's IDs are empty, it does not even
	// retire one.
	l.app.probes = max(l.app.probes, 1)
	c.followPreferred() // RFC 9000, Section 9.6.3 [2]: if the move came first
}
