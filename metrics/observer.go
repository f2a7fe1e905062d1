package metrics

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// The sides of connections that a program may be on.
const (
	client = iota
	server
	numRoles
)

// roles are the values of the label "role".
var roles = [numRoles]string{client: "client", server: "server"}

// A loopObserver counts what the Stats of one Loop do not. Only that Loop's goroutine writes to it.
type loopObserver struct {
	rtt, turns, late      meter
	handshakes, lifetimes [numRoles]meter
	closed                [numRoles][numBy][len(reasons)]atomic.Uint64
	h3Closed              [numRoles][numBy][len(h3Codes)]atomic.Uint64
}

var _ loop.Observer = (*loopObserver)(nil)

func newLoopObserver() *loopObserver {
	o := &loopObserver{rtt: newMeter(roundTripBounds), turns: newMeter(turnBounds), late: newMeter(turnBounds)}
	for role := range numRoles {
		o.handshakes[role], o.lifetimes[role] = newMeter(handshakeBounds), newMeter(lifetimeBounds)
	}
	return o
}

func roleOf(c *conn.Conn) int {
	if c.Server() {
		return server
	}
	return client
}

// HandshakeDone is part of [loop.Observer].
func (o *loopObserver) HandshakeDone(c *conn.Conn, took time.Duration) {
	o.handshakes[roleOf(c)].observe(took)
}

// ConnClosed is part of [loop.Observer].
func (o *loopObserver) ConnClosed(c *conn.Conn, err error, lasted time.Duration) {
	role := roleOf(c)
	o.lifetimes[role].observe(lasted)
	by, reason := whyClosed(err)
	o.closed[role][by][index(reasons[:], reason)].Add(1)
	e, ok := errors.AsType[*conn.ApplicationError](err)
	if ok && c.HandshakeComplete() && c.TLS().NegotiatedProtocol == "h3" {
		o.h3Closed[role][by][index(h3Codes[:], h3Code(e))].Add(1)
	}
}

// RTTSample is part of [loop.Observer].
func (o *loopObserver) RTTSample(_ *conn.Conn, rtt time.Duration) { o.rtt.observe(rtt) }

// TurnDone is part of [loop.Observer].
func (o *loopObserver) TurnDone(took, late time.Duration) {
	o.turns.observe(took)
	if late > 0 {
		o.late.observe(late)
	}
}
