package conn

import (
	"errors"
	"slices"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// abort closes the connection because of an error, which is a *TransportError or an internal one.
// RFC 9000, Section 11 [1, 2].
func (c *Conn) abort(err error) {
	te, ok := errors.AsType[*TransportError](err)
	if !ok {
		te = &TransportError{Code: errInternal, Err: err}
	}
	c.closeWith(te)
}

// closeWith closes the connection with an error that the peer is told (RFC 9000, Section 10.2).
// RFC 9000, Section 11.1 [1].
func (c *Conn) closeWith(err error) {
	if c.closed {
		return
	}
	e := c.e
	if _, ok := err.(*ApplicationError); ok {
		e.stats.ClosedLocally++
	} else {
		e.stats.TransportErrors++
	}
	var all []farewell
	if c.server || c.stats.PacketsSent > 0 { // otherwise the peer knows of no connection
		all = c.sayFarewell(err)
	}
	c.endWith(err, all)
}

// sayFarewell returns a datagram with CONNECTION_CLOSE for each open path: any of them may have
// died (draft-ietf-quic-multipath-21, Section 2.6).
func (c *Conn) sayFarewell(err error) (all []farewell) {
	main := c.main()
	if b := c.closePacket(main, err); b != nil {
		all = append(all, farewellOn(main.path, slices.Clone(b)))
	}
	if c.multi == nil {
		return all
	}
	for _, l := range c.multi.lanes {
		if l == main || !l.usable() {
			continue
		}
		if b := c.closePacket(l, err); b != nil {
			all = append(all, farewellOn(l.path, slices.Clone(b)))
		}
	}
	return all
}

// endWith ends the connection and leaves a closedConn in its place. That sends the farewells, and
// repeats them for a peer that has not heard of them.
// RFC 9000, Section 10.2 [1, 2]; draft-ietf-quic-multipath-21, Section 2.6 [1].
func (c *Conn) endWith(err error, all []farewell) {
	e := c.e
	linger := 3 * c.pto()
	cc := &closedConn{e: e, farewells: all, due: uint8(1<<len(all) - 1)}
	cc.timer.Value = cc
	c.routes.handOver(cc)
	c.end(err)
	e.memory.Charge(cc.cost())
	e.lingering.PushBack(&cc.lingers, cc)
	e.timers.Set(&cc.timer, int64(e.now.add(linger)))
	if len(all) > 0 {
		e.farewells.push(cc)
	}
}

// drain ends the connection because the peer closed it (RFC 9000, Section 10.2.2).
// RFC 9000, Section 10.2.2 [1, 2].
func (c *Conn) drain(err error) {
	c.e.stats.ClosedByPeer++
	c.endWith(err, nil)
}

// statelessReset ends the connection because the peer does not know it any more (RFC 9000,
// Section 10.3.1).
// RFC 9000, Section 10.3.1 [4].
func (c *Conn) statelessReset(instant) {
	c.e.stats.StatelessResets++
	c.endWith(ErrStatelessReset, nil)
}

// timeoutHandshake ends a handshake that took too long. The peer is told, because it may only be
// slow.
func (c *Conn) timeoutHandshake() {
	c.endWith(c.reach.explain(ErrHandshakeTimeout), c.sayFarewell(&ApplicationError{}))
}

// forget ends the connection without telling the peer.
func (c *Conn) forget(err error) { c.end(err) }

// end takes the connection out of the Endpoint, and lets go of what it holds.
func (c *Conn) end(err error) {
	e := c.e
	c.closed, c.err = true, err
	if c.state == stateHandshake {
		e.handshakes(c, -1)
		c.memory.Release(handshakeCost)
	}
	e.stats.Conns--
	e.stats.addConn(&c.stats)
	e.extraCredit -= c.flow.extra
	c.routes.release()
	c.tls.close(err)
	e.timers.Remove(&c.timer)
	e.unlink(c)
	for i, sp := range c.spaces {
		if sp != nil {
			sp.cryptoIn.Reset(&c.chunks)
			sp.cryptoOut.Reset(&c.chunks)
			c.spaces[i] = nil
		}
	}
	for _, s := range c.streams.all {
		s.resetSize = s.Sent()
		s.out.Reset(&c.chunks) // what came stays readable until EventClosed is taken
		c.streams.send.remove(s)
		s.flags &^= flagInControl
	}
	c.streams.control = controlList{}
	c.waiting, c.responses = waitingPackets{}, nil
	c.setPaths(c.path, nil, nil)
	if c.multi != nil {
		for _, l := range c.multi.lanes {
			e.stats.addPath(l)
		}
		c.multi = nil
	}
	c.token, c.control.token = nil, nil
	c.settle()
	c.lastHeld = c.memory.Used()
	e.leaving += c.lastHeld
	c.endQLog(err)
	c.event(Event{Kind: EventClosed, Err: err})
}

// closePacket returns a datagram for a lane with CONNECTION_CLOSE in a packet of each space that
// the peer may have keys for (RFC 9000, Section 10.2.3); nil if nothing may be sent.
// RFC 9000, Section 10.2.3 [1, 2, 3, 4]; RFC 9000, Section 10.3 [1]; RFC 9000, Section 11 [3].
func (c *Conn) closePacket(l *lane, err error) []byte {
	limit := min(l.path.mtu.current, l.path.allowance())
	if limit < minMTU {
		return nil
	}
	b := make([]byte, 0, limit)
	var ws [numSpaces]packetWriter
	n, pad := 0, false
	for id, sp := range c.spaces {
		switch {
		case id == int(spaceApp):
			sp = l.app
		case l.id != 0:
			continue // the other spaces have one path
		}
		if !sp.ready() || id == int(spaceApp) && c.state == stateHandshake && !c.server || limit-len(b) < minCoalesced {
			continue
		}
		w := &ws[n]
		w.begin(c, sp, b, limit)
		c.appendLastAck(w)
		appendClose(w, err, sp.id)
		b = w.b[:len(w.b)+keys.Overhead]
		pad = pad || sp.id == spaceInitial && !c.server
		n++
	}
	if n == 0 {
		return nil
	}
	if pad {
		ws[n-1].pad(minMTU)
	}
	for i := range n {
		b = ws[i].finish(c.e.now, NotECT)
	}
	return b
}

// closeRoom is how many bytes of a packet an ACK frame leaves to CONNECTION_CLOSE.
const closeRoom = maxReason + 24

// appendLastAck appends an ACK frame in front of CONNECTION_CLOSE if the peer waits for one:
// nothing else will tell it that what it sent has arrived.
func (c *Conn) appendLastAck(w *packetWriter) {
	if w.sp.id != spaceApp || w.sp.recv.unacked == 0 {
		return
	}
	w.limit -= closeRoom
	c.appendAck(w, c.e.now)
	w.limit += closeRoom
}

// maxReason bounds the reason in CONNECTION_CLOSE in bytes, so that three of them fit into a
// datagram.
const maxReason = 200

// appendClose appends CONNECTION_CLOSE.
// RFC 9000, Section 12.5 [1].
func appendClose(w *packetWriter, err error, id spaceID) {
	limit := min(w.room(), maxReason)
	switch err := err.(type) {
	case *TransportError:
		// Err is not for the peer: callbacks of a tls.Config may say there what is in files and in
		// databases.
		reason := err.Reason
		if reason == "" {
			reason = alertText(err.Code)
		}
		w.b = wire.AppendConnectionClose(w.b, limit, false, err.Code, err.Frame, reason)
	case *ApplicationError:
		if id != spaceApp {
			// RFC 9000, Section 10.2.3: what the application says is not for Initial and Handshake
			// packets.
			// RFC 9000, Section 10.2.3 [5, 6, 7].
			w.b = wire.AppendConnectionClose(w.b, limit, false, errApplication, 0, "")
			return
		}
		w.b = wire.AppendConnectionClose(w.b, limit, true, err.Code, 0, err.Reason)
	}
}
