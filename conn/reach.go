package conn

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// A reach is what a connection knows of datagrams that certainly got nowhere.
type reach struct {
	heard        bool  // something of the peer was received
	sent, failed int   // datagrams of a handshake, until then
	err          error // of the last one that failed; nil once something is received
}

// noteSent counts the datagrams of b, until something is received.
func (r *reach) noteSent(b *Burst) {
	if !r.heard {
		r.sent += b.datagrams()
	}
}

// noteFailed notes that n datagrams got nowhere, and reports whether that is true of all
// that were sent.
func (r *reach) noteFailed(n int, err error) (all bool) {
	r.err = err
	if r.heard {
		return false
	}
	r.failed += n
	return r.failed >= r.sent
}

// noteReceived notes that the path works.
func (r *reach) noteReceived() {
	if !r.heard || r.err != nil {
		r.heard, r.err = true, nil
	}
}

// explain adds to timeout the likely reason why nothing was received.
func (r *reach) explain(timeout error) error {
	if r.err == nil {
		return timeout
	}
	return &silenceError{timeout, r.err}
}

// A silenceError is a timeout, and the last error of sending before it.
type silenceError struct{ timeout, send error }

func (e *silenceError) Error() string   { return e.timeout.Error() + " (" + e.send.Error() + ")" }
func (e *silenceError) Unwrap() []error { return []error{e.timeout, e.send} }
func (*silenceError) Timeout() bool     { return true }
func (*silenceError) Temporary() bool   { return false }

// datagrams returns how many datagrams b has.
func (b *Burst) datagrams() int {
	if b.SegmentSize <= 0 || b.SegmentSize >= b.N {
		return 1
	}
	return (b.N + b.SegmentSize - 1) / b.SegmentSize
}

// SendFailed tells the Endpoint that b, of an earlier Transmit, was not sent, and why. Loss
// recovery treats its packets as lost on the way. err becomes part of the error of a timeout. A
// client whose datagrams have all failed so far ends with an [UnreachableError].
func (e *Endpoint) SendFailed(now time.Time, b Burst, err error) {
	e.rec.sendFailed(now, &b, err)
	e.clock(now)
	c := b.Conn
	if c == nil || c.closed {
		return
	}
	l := c.laneOfBurst(&b)
	if l == nil || min(b.SegmentSize, b.N) > l.path.mtu.current {
		return // a probe of the path MTU may be larger than what the device sends
	}
	c.failed(b.datagrams(), err)
}

// laneOfBurst returns the lane whose path b took; nil if that is in use no more.
func (c *Conn) laneOfBurst(b *Burst) *lane {
	if c.multi == nil {
		if b.Remote == c.path.remote {
			return &c.lane
		}
		return nil
	}
	for _, l := range c.multi.lanes {
		if l.state == laneOpen && l.path.remote == b.Remote && l.path.from == b.Local {
			return l
		}
	}
	return nil
}

// Undelivered tells the Endpoint what an ICMP message reports: a datagram to d.Remote did not
// arrive, and why. d.Data is the beginning of that datagram as the message quotes it. If that is
// too short to show that the datagram is ours, err only becomes part of the error of a handshake
// timeout. Anyone can send ICMP messages, so they count for nothing once something was received
// (RFC 9000, Section 14.2.1; RFC 8085, Section 5.2).
func (e *Endpoint) Undelivered(now time.Time, d Datagram, err error) {
	e.rec.undelivered(now, &d, err)
	e.clock(now)
	remote := canonicalRemote(d.Remote)
	_, dcid, scid, ok := wire.ParseInvariant(d.Data)
	if !ok {
		if c := e.dialing(remote); c != nil {
			c.reach.err = err
		}
		return
	}
	r, _ := e.route(scid, remote)
	c := r.conn
	// The connection ID that the client chose for the server cannot be guessed.
	if c != nil && c.unanswered(remote) && c.origin.equal(dcid) {
		c.failed(1, err)
	}
}

// maxDialing bounds the connections among which an ICMP message without a quote looks.
const maxDialing = 64

// dialing returns the newest connection that waits for the first answer from remote.
func (e *Endpoint) dialing(remote netip.AddrPort) *Conn {
	c := e.last
	for range maxDialing {
		if c == nil || c.unanswered(remote) {
			return c
		}
		c = c.prev
	}
	return nil
}

// unanswered reports whether c is a client's that has received nothing from remote yet.
func (c *Conn) unanswered(remote netip.AddrPort) bool {
	return !c.server && !c.closed && !c.reach.heard && c.path.remote == remote
}

// failed notes that n datagrams got nowhere.
func (c *Conn) failed(n int, err error) {
	if all := c.reach.noteFailed(n, err); all && !c.server {
		c.e.stats.Unreachable++
		c.forget(&UnreachableError{Remote: c.path.remote, Err: err})
	}
}

// SendError returns why the last datagram that certainly got nowhere failed: the error of
// [Endpoint.SendFailed] or [Endpoint.Undelivered]. It returns nil if something was received since.
func (c *Conn) SendError() error { return c.reach.err }
