package qlog

import (
	"net/netip"
	"time"
)

// States of a connection.
const (
	Attempted          = "attempted"
	HandshakeStarted   = "handshake_started"
	EarlyWrite         = "early_write"
	PeerValidated      = "peer_validated"
	HandshakeComplete  = "handshake_complete"
	HandshakeConfirmed = "handshake_confirmed"
	Closing            = "closing"
	Draining           = "draining"
	Gone               = "closed"
)

// ConnectionState writes the state of the connection if it has changed.
func (w *Writer) ConnectionState(now time.Time, s string) {
	w.stateChange(now, connectionStateUpdated, s, w.conn)
	w.conn = s
}

// ConnectionIDUpdated writes that another connection ID is in use. remote says whether the peer
// chose it. An ID that is nil is unknown.
func (w *Writer) ConnectionIDUpdated(now time.Time, remote bool, old, id []byte) {
	w.begin(now, connectionIDUpdated)
	w.initiator(remote)
	w.optional("old", old)
	w.optional("new", id)
	w.finish()
}

// A Tuple is a pair of addresses and its name in the log.
type Tuple struct {
	ID            uint64
	Local, Remote netip.AddrPort
}

func (w *Writer) tuple(t Tuple) {
	w.key("tuple_id")
	w.b = append(w.b, '"')
	w.b = appendUint(w.b, t.ID)
	w.b = append(w.b, '"')
	w.endpoint("tuple_remote", t.Remote)
	w.endpoint("tuple_local", t.Local)
}

// TupleAssigned writes a pair of addresses that the connection begins to use or to probe.
func (w *Writer) TupleAssigned(now time.Time, t Tuple) {
	if w.unnamed(tupleAssigned) {
		return
	}
	w.begin(now, tupleAssigned)
	w.tuple(t)
	w.finish()
}

// States of a migration.
const (
	ProbingStarted     = "probing_started"
	ProbingAbandoned   = "probing_abandoned"
	ProbingSuccessful  = "probing_successful"
	MigrationStarted   = "migration_started"
	MigrationAbandoned = "migration_abandoned"
	MigrationComplete  = "migration_complete"
)

// MigrationState writes the state of a migration, and the addresses that it leads to.
func (w *Writer) MigrationState(now time.Time, s string, t Tuple) {
	if w.unnamed(migrationStateUpdated) {
		return
	}
	w.begin(now, migrationStateUpdated)
	if w.moving != "" {
		w.str("old", w.moving)
	}
	w.str("new", s)
	w.tuple(t)
	w.finish()
	w.moving = s
}

// Reasons for which data waits.
const (
	BlockedAmplification  = "amplification_protection"
	BlockedCongestion     = "congestion_control"
	BlockedPacing         = "pacing"
	BlockedConnectionFlow = "connection_flow_control"
	blockedStreamFlow     = "stream_flow_control"
)

// Blocked writes what the data of the connection waits for, if that has changed. An empty reason
// means that it waits for nothing.
func (w *Writer) Blocked(now time.Time, reason string) {
	if reason == w.blocked || w.unnamed(connectionDataBlockedUpdated) {
		return
	}
	w.begin(now, connectionDataBlockedUpdated)
	w.blockedChange(w.blocked != "", reason)
	w.blocked = reason
}

// blockedChange ends the record of what waits for another reason than before.
func (w *Writer) blockedChange(waited bool, reason string) {
	w.str("old", blocked(waited))
	w.str("new", blocked(reason != ""))
	if reason != "" {
		w.str("reason", reason)
	}
	w.finish()
}

// DatagramsBlocked writes what the datagrams of the connection wait for, if that has changed. An
// empty reason means that none waits.
func (w *Writer) DatagramsBlocked(now time.Time, reason string) {
	if reason == w.held || w.unnamed(datagramDataBlockedUpdated) {
		return
	}
	w.begin(now, datagramDataBlockedUpdated)
	w.blockedChange(w.held != "", reason)
	w.held = reason
}

// StreamBlocked writes whether a stream waits for the peer to raise the stream's limit.
func (w *Writer) StreamBlocked(now time.Time, id uint64, waits bool) {
	if w.unnamed(streamDataBlockedUpdated) {
		return
	}
	w.begin(now, streamDataBlockedUpdated)
	w.str("old", blocked(!waits))
	w.str("new", blocked(waits))
	w.uint("stream_id", id)
	if waits {
		w.str("reason", blockedStreamFlow)
	}
	w.finish()
}

func blocked(yes bool) string {
	if yes {
		return "blocked"
	}
	return "unblocked"
}

// A StreamChange is a new state of one direction of a stream.
type StreamChange struct {
	ID       uint64
	Uni      bool
	Sending  bool
	Old, New string // Old is empty at the beginning
}

// StreamState writes a new state of a stream (RFC 9000, Section 3).
func (w *Writer) StreamState(now time.Time, c StreamChange) {
	w.begin(now, streamStateUpdated)
	w.uint("stream_id", c.ID)
	if c.Uni {
		w.str("stream_type", "unidirectional")
	} else {
		w.str("stream_type", "bidirectional")
	}
	if c.Old != "" {
		w.str("old", c.Old)
	}
	w.str("new", c.New)
	if c.Sending {
		w.str("stream_side", "sending")
	} else {
		w.str("stream_side", "receiving")
	}
	w.finish()
}
