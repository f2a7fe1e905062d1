package conn

import (
	"errors"
	"math"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// A keyPhase is the state of 1-RTT key updates (RFC 9001, Section 6). The keys in use are those of
// the application space.
type keyPhase struct {
	txPhase, rxPhase bool
	old              *keys.Keys // of the phase before, for packets that come late
	nextRx           *keys.Keys // made when a packet seemed to need them; RFC 9001, Section 6.3 [3]
	dropAt           instant    // when old is dropped
	sealed           uint64     // packets with the keys in use (RFC 9001, Section 6.6 [1])
	failed           uint64     // packets that did not open, with all keys (RFC 9001, Section 6.6)
}

// numbersOfPhase are the packet numbers of one packet number space in the key phase in use.
type numbersOfPhase struct {
	firstSent uint64 // the first one sent in the phase
	firstRecv uint64 // the lowest one received in the phase
	lastOld   int64  // the highest one received in the phases before
}

// open opens a 1-RTT packet with the keys of its phase (RFC 9001, Section 5.5 [1]).
func (c *Conn) open(now instant, sp *space, pkt []byte, hdrLen int, pn uint64) ([]byte, bool) {
	k, ph := &c.keys, &sp.phase
	if wire.KeyPhase(pkt[0]) == k.rxPhase {
		payload, ok := sp.rx.Open(pkt, hdrLen, pn)
		if !ok {
			c.openFailed(sp.rx)
			return nil, false
		}
		if pn < ph.firstRecv {
			if int64(pn) < ph.lastOld {
				return c.backInPhase()
			}
			ph.firstRecv = pn
		}
		return payload, true
	}
	switch {
	case k.old == nil:
		return c.openNext(now, sp, pkt, hdrLen, pn)
	case pn < ph.firstRecv && ph.firstRecv != noneRecv:
		return c.openOld(sp, pkt, hdrLen, pn)
	}
	// The packet is of the next phase, or the peer has gone back to the keys before. Opening with
	// wrong keys destroys a packet, so the old keys are tried on a copy.
	buf := c.e.buffers.get(len(pkt))
	_, back := sp.keysOn(k.old).Open(append(buf, pkt...), hdrLen, pn)
	c.e.buffers.put(buf)
	switch {
	case back && ph.firstRecv == noneRecv:
		return c.openOld(sp, pkt, hdrLen, pn)
	case back:
		return c.backInPhase()
	}
	return c.openNext(now, sp, pkt, hdrLen, pn)
}

// noneRecv is the firstRecv of a lane on which nothing of the phase has come: another lane has
// begun it. What comes next may be of the phase before, or of the next one.
const noneRecv = math.MaxUint64

// openOld opens a packet of the phase before, delayed (RFC 9001, Section 6.5).
func (c *Conn) openOld(sp *space, pkt []byte, hdrLen int, pn uint64) ([]byte, bool) {
	payload, ok := sp.keysOn(c.keys.old).Open(pkt, hdrLen, pn)
	if !ok {
		c.openFailed(sp.rx)
		return nil, false
	}
	sp.phase.lastOld = max(sp.phase.lastOld, int64(pn))
	return payload, true
}

// backInPhase ends the connection: a packet has older keys than one with a lower number (RFC 9001,
// Section 6.4 [2]).
func (c *Conn) backInPhase() ([]byte, bool) {
	c.abort(violation(errKeyUpdate, 0, "a packet has older keys than one before it"))
	return nil, false
}

// openNext opens a packet of the next phase, which updates the keys if it is authentic (RFC 9001,
// Section 6.2 [1, 2]; RFC 9001, Section 5.5 [2]). A forged packet takes the time of any other, but
// for the first one, which has the keys made (RFC 9001, Section 6.3 [1, 2]).
func (c *Conn) openNext(now instant, sp *space, pkt []byte, hdrLen int, pn uint64) ([]byte, bool) {
	k := &c.keys
	if k.nextRx == nil {
		next, err := sp.rx.Next()
		if err != nil {
			return nil, false
		}
		k.nextRx = next
	}
	payload, ok := sp.keysOn(k.nextRx).Open(pkt, hdrLen, pn)
	if !ok {
		c.openFailed(sp.rx)
		return nil, false
	}
	if int64(pn) < sp.recv.largest {
		return c.backInPhase()
	}
	// A server may update before its client learns that the handshake is confirmed.
	if k.rxPhase == k.txPhase && k.sealed == 0 {
		// RFC 9001, Section 6.2: nothing can have been acknowledged with the keys in use.
		c.abort(violation(errKeyUpdate, 0, "two key updates at once"))
		return nil, false
	}
	c.turnRx(now, sp, pn)
	if k.txPhase != k.rxPhase {
		if err := c.turnTx(); err != nil {
			c.abort(err)
			return nil, false
		}
	}
	return payload, true
}

// turnRx puts the next keys for receiving in use, and keeps those before (RFC 9001, Section 6.1 [3,
// 4]).
// draft-ietf-quic-multipath-21, Section 2.5 [1].
func (c *Conn) turnRx(now instant, sp *space, pn uint64) {
	k := &c.keys
	k.old, c.app.rx, k.nextRx = c.app.rx, k.nextRx, nil
	k.rxPhase = !k.rxPhase
	if c.multi != nil {
		c.multi.turnRx()
	}
	sp.phase.lastOld, sp.phase.firstRecv = sp.recv.largest, pn
	k.dropAt = now.add(3 * c.pto()) // RFC 9001, Section 6.5 [2, 3]
	c.stats.KeyUpdates++
	if c.traced {
		c.trace(&TraceEvent{Kind: TraceKeyUpdated, Packet: Packet1RTT, Number: c.stats.KeyUpdates}, nil)
	}
}

// turnTx puts the next keys for sending in use, for all packets that follow (RFC 9001, Section 6.4
// [1]).
func (c *Conn) turnTx() error {
	k, sp := &c.keys, c.spaces[spaceApp]
	next, err := sp.tx.Next()
	if err != nil {
		return err
	}
	sp.tx = next
	k.txPhase = !k.txPhase
	sp.phase.firstSent, k.sealed = sp.sent.next, 0
	if c.multi != nil {
		c.multi.turnTx()
	}
	return nil
}

// mayUpdateKeys reports whether the keys may be updated. A packet sent with the keys in use must
// have been acknowledged, and the peer must have followed the last update (RFC 9001, Section 6.1
// [2]), three PTOs ago: it may keep no older keys than those before (RFC 9001, Section 6.5 [1]).
func (c *Conn) mayUpdateKeys() bool {
	k := &c.keys
	return k.old == nil && k.txPhase == k.rxPhase && (c.app.ackedInPhase() || c.multi != nil && c.multi.ackedInPhase())
}

// ackedInPhase reports whether a packet with the keys in use was acknowledged.
func (sp *space) ackedInPhase() bool { return sp.sent.largestAcked >= int64(sp.phase.firstSent) }

// wear makes sure that neither the keys nor the packet numbers of a lane wear out. It reports false
// if the connection has ended, now or before.
func (l *lane) wear() bool { return !l.conn.closed && l.conn.wearKeys() && l.wearNumbers() }

// wearNumbers ends the connection before one packet number could be taken for another (RFC 9000,
// Section 17.1). It reports false if it did.
// RFC 9000, Section 12.3 [3].
func (l *lane) wearNumbers() bool {
	if l.app.sent.next >= maxLimit {
		l.conn.forget(errors.New("conn: the packet numbers are used up"))
		return false
	}
	if l.app.sent.overdue() {
		l.conn.abort(errors.New("the peer does not acknowledge what it receives"))
		return false
	}
	return true
}

// initiateKeyUpdate starts to send with the next keys.
func (c *Conn) initiateKeyUpdate() error { return c.turnTx() }

// openFailed counts packets that rx did not open. The limit of forgeries is for all keys of the
// connection together (RFC 9001, Section 6.6 [4, 6, 7]).
func (c *Conn) openFailed(rx *keys.Keys) {
	k := &c.keys
	if k.failed++; k.failed >= rx.IntegrityLimit() {
		c.abort(violation(errAEADLimit, 0, "too many forged packets"))
	}
}

// wornSpare is how many packets remain for keys that count as worn out: those of the burst that is
// being built, and CONNECTION_CLOSE.
const wornSpare = 4096

// wearKeys updates the keys before they wear out (RFC 9001, Section 6.6 [2, 3, 4, 5]; RFC 9001,
// Section 5.3 [3]). It reports false if they have.
func (c *Conn) wearKeys() bool {
	k, sp := &c.keys, c.spaces[spaceApp]
	limit := sp.tx.ConfidentialityLimit()
	if k.sealed < limit/2 {
		return true
	}
	if c.state == stateConfirmed && c.mayUpdateKeys() {
		c.initiateKeyUpdate()
		return true
	}
	if k.sealed >= limit-wornSpare {
		c.abort(violation(errAEADLimit, 0, "the keys are worn out"))
		return false
	}
	return true
}
