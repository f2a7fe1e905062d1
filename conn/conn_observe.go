package conn

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/internal/qlog"
)

// An observer writes the state of a connection into the qlog. At the end of each turn it compares
// the state with that of the turn before, and writes the changes. So the code that changes the
// state need not know of the log. A state that lasts less than a turn is not seen. A connection
// without a qlog has no observer.
type observer struct {
	log      *qlog.Writer
	timers   [numTimers]instant
	idle     time.Duration // what the idle timer was last set to
	keys     [numKeys]bool
	old      bool   // the 1-RTT keys of the previous phase are kept
	txPhase  bool   // key phase of our packets
	restored bool   // the limits for early data were written
	txTurns  uint64 // how many phases our packets had
	ours     ConnID // the connection IDs in use
	theirs   ConnID
	paths    observedPaths
	lanes    []observedLane
}

// observe writes the changes of the turn that ends.
func (c *Conn) observe(now instant) {
	o := c.observer
	at := c.e.wall(now)
	o.log.ConnectionState(at, c.qlogState())
	o.observeKeys(c, at)
	o.observeIDs(c, at)
	o.paths.observe(c, o.log, at)
	if c.multi != nil {
		o.observeLanes(c.multi, at)
	}
	if early := c.early.limits; early != nil && !o.restored {
		o.restored = true
		o.log.ParametersRestored(at, early)
	}
	o.log.Blocked(at, c.blockedBy(now))
	o.log.DatagramsBlocked(at, c.datagramsBlockedBy(now))
	o.observeTimers(c, at, now)
}

// qlogState names the state of the connection.
func (c *Conn) qlogState() string {
	switch {
	case c.state == stateConfirmed:
		return qlog.HandshakeConfirmed
	case c.state == stateComplete:
		return qlog.HandshakeComplete
	case c.server && c.path.validated:
		return qlog.PeerValidated
	case c.server && c.spaces[spaceApp].tx != nil:
		return qlog.EarlyWrite
	case c.spaces[spaceHandshake].tx != nil:
		return qlog.HandshakeStarted
	}
	return qlog.Attempted
}

// blockedBy returns what the data of streams and of the handshake waits for, or "" if it waits for
// nothing.
func (c *Conn) blockedBy(now instant) string {
	switch q := &c.streams.send; {
	case c.main().path.allowance() < minMTU && (!q.empty() || c.cryptoUnsent()):
		return qlog.BlockedAmplification
	case q.empty() && !q.blocked.Empty():
		return qlog.BlockedConnectionFlow
	case q.empty():
		return ""
	}
	return c.pathBlocks(now)
}

// datagramsBlockedBy returns what datagrams wait for, or "" if none waits.
func (c *Conn) datagramsBlockedBy(now instant) string {
	switch d := c.datagrams; {
	case d == nil || d.send.size == 0:
		return ""
	case c.main().path.allowance() < minMTU:
		return qlog.BlockedAmplification
	}
	return c.pathBlocks(now)
}

// pathBlocks returns what may hold back data that no limit of the peer holds back.
func (c *Conn) pathBlocks(now instant) string {
	switch l := c.main(); {
	case l.paceAt > now:
		return qlog.BlockedPacing
	case l.window(l.path.estimates) < uint64(l.path.mtu.current):
		return qlog.BlockedCongestion
	}
	return ""
}

// cryptoUnsent reports whether data of the handshake can be sent and has not been.
func (c *Conn) cryptoUnsent() bool {
	for _, sp := range c.spaces {
		if sp.ready() && sp.cryptoOut.Unsent() > 0 {
			return true
		}
	}
	return false
}

// The keys that an observer knows: those of each level, first for receiving and then for sending.
const (
	keyEarly = iota
	keyInitial
	keyHandshake
	keyApp
	numLevels
	numKeys = 2 * numLevels
)

// qlogKeyLevels are the names of the levels.
var qlogKeyLevels = [numLevels]string{
	keyEarly: qlog.KeyEarly, keyInitial: qlog.KeyInitial, keyHandshake: qlog.KeyHandshake, keyApp: qlog.KeyApp,
}

// keysNow returns which keys exist. Those for receiving come first.
func (c *Conn) keysNow() (has [numKeys]bool) {
	has[keyEarly], has[numLevels+keyEarly] = c.early.rx != nil, c.early.tx != nil
	for id, sp := range c.spaces {
		if sp != nil {
			has[keyInitial+id], has[numLevels+keyInitial+id] = sp.rx != nil, sp.tx != nil
		}
	}
	return has
}

// observeKeys writes which keys were installed and which were discarded (RFC 9001, Sections 4.9 and
// 6).
func (o *observer) observeKeys(c *Conn, at time.Time) {
	has := c.keysNow()
	for i := range has {
		k := qlog.Key{Server: (i >= numLevels) == c.server, Level: qlogKeyLevels[i%numLevels]}
		switch {
		case has[i] && !o.keys[i]:
			o.log.KeyInstalled(at, k)
		case !has[i] && o.keys[i]:
			o.log.KeyDiscarded(at, k, 0)
		}
	}
	o.keys = has
	phases := &c.keys
	if phases.txPhase != o.txPhase {
		o.txPhase = phases.txPhase
		o.txTurns++
		o.log.KeyUpdated(at, c.server, o.txTurns, c.stats.KeyUpdates >= o.txTurns)
	}
	if old := phases.old != nil; old != o.old {
		if o.old = old; !old {
			o.log.KeyDiscarded(at, qlog.Key{Server: !c.server, Level: qlog.KeyApp}, c.stats.KeyUpdates-1)
		}
	}
}

// observeIDs writes which connection IDs are in use.
func (o *observer) observeIDs(c *Conn, at time.Time) {
	if id := *c.remote.current(); id != o.theirs {
		o.log.ConnectionIDUpdated(at, true, o.theirs.bytes(), id.bytes())
		o.theirs = id
	}
	if len(c.local.ids) == 0 {
		return
	}
	if id := c.local.ids[0].id; id != o.ours {
		o.log.ConnectionIDUpdated(at, false, o.ours.bytes(), id.bytes())
		o.ours = id
	}
}

// A pathAddrs is the pair of addresses of a path.
type pathAddrs struct{ local, remote netip.AddrPort }

// same reports whether two pairs belong to one path. A local address may be unknown at first.
func (a pathAddrs) same(b pathAddrs) bool {
	return a.remote == b.remote && (a.local == b.local || !a.local.IsValid() || !b.local.IsValid())
}

// observedPaths is what an observer remembers of the paths.
type observedPaths struct {
	tuples    uint64 // how many pairs have names
	use       pathAddrs
	used      uint64 // the name of use
	moving    bool   // use has not been validated yet
	back      pathAddrs
	backID    uint64
	candidate pathAddrs
	probed    uint64 // the name of candidate
	probing   bool
	answered  bool // the candidate has been validated
}

// assign gives a pair of addresses a name.
func (o *observedPaths) assign(log *qlog.Writer, at time.Time, a pathAddrs) uint64 {
	o.tuples++
	log.TupleAssigned(at, tupleOf(o.tuples, a))
	return o.tuples
}

func tupleOf(id uint64, a pathAddrs) qlog.Tuple {
	return qlog.Tuple{ID: id, Local: a.local, Remote: a.remote}
}

// observe writes how the connection moves between paths (RFC 9000, Section 9).
func (o *observedPaths) observe(c *Conn, log *qlog.Writer, at time.Time) {
	use := pathAddrs{c.path.local, c.path.remote}
	if o.tuples == 0 {
		o.use, o.used = use, o.assign(log, at, use)
		return
	}
	was := o.candidate
	ended := o.observeCandidate(c, log, at)
	switch {
	case use.same(o.use):
		if o.moving && c.path.validated {
			log.MigrationState(at, qlog.MigrationComplete, tupleOf(o.used, use))
		}
		if ended {
			log.MigrationState(at, qlog.ProbingAbandoned, tupleOf(o.probed, was))
		}
	case ended && use.same(was):
		log.MigrationState(at, qlog.MigrationComplete, tupleOf(o.probed, use))
		o.used = o.probed
	case o.moving && use.same(o.back):
		log.MigrationState(at, qlog.MigrationAbandoned, tupleOf(o.used, o.use))
		o.used = o.backID
	default:
		if !o.moving {
			o.back, o.backID = o.use, o.used
		}
		o.used = o.assign(log, at, use)
		log.MigrationState(at, qlog.MigrationStarted, tupleOf(o.used, use))
		if c.path.validated {
			log.MigrationState(at, qlog.MigrationComplete, tupleOf(o.used, use))
		}
	}
	o.use, o.moving = use, !c.path.validated && c.state == stateConfirmed
}

// observeCandidate writes how the probing of a path goes. It reports whether it ended.
func (o *observedPaths) observeCandidate(c *Conn, log *qlog.Writer, at time.Time) (ended bool) {
	p := c.candidate
	if p == nil {
		ended, o.probing = o.probing, false
		return ended
	}
	a := pathAddrs{p.local, p.remote}
	if !o.probing || a != o.candidate {
		o.candidate, o.probed, o.probing, o.answered = a, o.assign(log, at, a), true, false
		log.MigrationState(at, qlog.ProbingStarted, tupleOf(o.probed, a))
	}
	if p.validated && !p.challenge.active && !o.answered {
		o.answered = true
		log.MigrationState(at, qlog.ProbingSuccessful, tupleOf(o.probed, a))
	}
	return false
}
