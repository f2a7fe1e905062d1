package conn

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// HandshakeIDs returns the connection IDs that packets with long headers may bear to connections of
// this server, or to what remains of closed ones. A program that shares its address with another
// one can tell by them whose these packets are: unlike in short headers the client may have chosen
// the ID (RFC 9000, Section 7.2). An ID is among them from the first packet of a connection on
// until some seconds after its handshake.
func (e *Endpoint) HandshakeIDs() (ids []ConnID) {
	for c := e.first; c != nil; c = c.next {
		ids = c.routes.appendHandshake(ids)
	}
	for cc := e.lingering.First(); cc != nil; cc = cc.lingers.Next() {
		ids = cc.claims.appendHandshake(ids)
	}
	return ids
}

// An arrival is one received datagram.
type arrival struct {
	data          []byte
	remote, local netip.AddrPort
	ecn           ECN
	waited        time.Duration // until there were keys for it

	// What is known of a packet with a short header before it is looked at: the lane that it is
	// for, or nil, and the length of its connection ID.
	lane  *lane
	idLen int
}

// Receive takes in d. It does not retain d.Data, and it does not fail: what cannot be processed is
// counted in [EndpointStats] and dropped, as RFC 9000 requires. IPv4 addresses mapped to IPv6 count
// as IPv4.
func (e *Endpoint) Receive(now time.Time, d Datagram) {
	e.rec.receive(now, &d)
	t := e.clock(now)
	if e.closed || len(d.Data) == 0 {
		return
	}
	a := &e.arrival // a variable would escape to the heap
	*a = arrival{remote: unmap(d.Remote), local: unmap(d.Local), ecn: d.ECN}
	size := d.SegmentSize
	if size <= 0 || size > len(d.Data) {
		size = len(d.Data)
	}
	var touched *Conn
	for rest := d.Data; len(rest) > 0; {
		n := min(size, len(rest))
		a.data, rest = rest[:n:n], rest[n:]
		// In a batch most go where the one before went.
		if c := touched; c != nil && !wire.IsLong(a.data[0]) && c == e.routes.lastRoute.conn {
			if a.idLen, a.lane = e.routes.again(a.data[1:]); a.lane != nil {
				c.receive(t, a)
				continue
			}
		}
		c := e.receive(t, a)
		if touched != nil && touched != c {
			touched.batchDone(t)
		}
		touched = c
	}
	a.lane = nil // an idle Endpoint keeps no connection that has closed
	if touched != nil {
		touched.batchDone(t)
	}
}

// receive takes in one datagram and returns the connection that it was for, if any.
func (e *Endpoint) receive(now instant, a *arrival) *Conn {
	b := a.data
	a.lane = nil
	if !wire.IsLong(b[0]) {
		if a.idLen, a.lane = e.routes.again(b[1:]); a.lane != nil {
			return e.routes.lastRoute.receive(now, a)
		}
		r, ok := e.routeShort(a)
		if !ok {
			if e.belongsElsewhere(now, a) || e.takeNonQUIC(now, a) {
				return nil
			}
			return e.unroutedShort(now, a)
		}
		return r.receive(now, a)
	}
	version, dcid, scid, ok := wire.ParseInvariant(b)
	if r, known := e.routeLong(dcid, a); ok && known {
		return r.receive(now, a)
	}
	if e.takeNonQUIC(now, a) {
		return nil
	}
	// RFC 9000, Section 10.3: other versions may reset with a long header.
	if c := e.resetBy(a.data); c != nil { // RFC 9000, Section 10.3 [8]
		c.statelessReset(now)
		return nil
	}
	if !ok || len(dcid) > maxConnIDLen && knownVersion(version) {
		e.stats.DroppedMalformed++
		return nil
	}
	return e.unroutedLong(now, a, version, dcid, scid)
}

// belongsElsewhere offers a datagram with a short header that belongs to no connection to another
// Endpoint, and reports whether it took it. A stateless reset of a connection that is here stays
// here.
func (e *Endpoint) belongsElsewhere(now instant, a *arrival) bool {
	if e.cfg.Elsewhere == nil || e.resetBy(a.data) != nil {
		return false
	}
	return e.cfg.Elsewhere(e.wall(now), Datagram{Data: a.data, Remote: a.remote, Local: a.local, ECN: a.ecn})
}

// takeNonQUIC gives a datagram that belongs to no connection to those who share the socket, and
// reports whether it was for them. Only packets of connections clear the fixed bit (RFC 9287,
// Section 3.1). Version Negotiation may do so too, but has to belong to a connection.
func (e *Endpoint) takeNonQUIC(now instant, a *arrival) bool {
	if e.cfg.NonQUIC == nil || a.data[0]&wire.FixedBit != 0 {
		return false
	}
	e.cfg.NonQUIC(e.wall(now), Datagram{Data: a.data, Remote: a.remote, Local: a.local, ECN: a.ecn})
	return true
}

// routeShort finds the connection of a packet with a short header.
// RFC 9000, Section 10.3.2 [2].
func (e *Endpoint) routeShort(a *arrival) (route, bool) {
	n := e.idSource.Len(a.data[1:])
	if n < 0 || n > maxConnIDLen || len(a.data) < 1+n {
		return route{}, false
	}
	return e.route(a.data[1:1+n], a.remote)
}

func (e *Endpoint) routeLong(dcid []byte, a *arrival) (route, bool) {
	return e.route(dcid, a.remote)
}

func (e *Endpoint) route(id []byte, remote netip.AddrPort) (route, bool) {
	if len(id) == 0 {
		r, ok := e.routes.addrs[remote]
		return r, ok
	}
	return e.routes.byID(id)
}

func (r route) receive(now instant, a *arrival) *Conn {
	if r.closed != nil {
		r.closed.receive(now, a)
		return nil
	}
	if c := r.conn; now == c.e.woke && c.sleptThrough(now) {
		c.onTimeout(now) // the peer has forgotten it, too
		return nil
	}
	r.conn.receive(now, a)
	return r.conn
}

// unroutedShort handles a packet with a short header whose ID leads nowhere: a stateless reset of
// one of our connections, or one that we answer with a stateless reset.
func (e *Endpoint) unroutedShort(now instant, a *arrival) *Conn {
	if c := e.resetBy(a.data); c != nil {
		c.statelessReset(now)
		return nil
	}
	e.stats.DroppedUnroutable++
	e.answerReset(now, a)
	return nil
}

// unroutedLong handles a packet with a long header whose ID leads nowhere.
// RFC 9000, Section 5.2.2 [6]; RFC 9000, Section 17.2.1 [6].
func (e *Endpoint) unroutedLong(now instant, a *arrival, version uint32, dcid, scid []byte) *Conn {
	switch {
	case version == 0: // RFC 9368, Section 2.1 [6]; RFC 9000, Section 6.1 [1]
		e.stats.DroppedUnroutable++
	case !knownVersion(version) || !e.speaks(version):
		e.answerVersion(a, version, dcid, scid)
	default:
		h, ok := wire.ParseLong(a.data)
		if !ok {
			e.stats.DroppedMalformed++
			return nil
		}
		switch {
		case h.Type == wire.TypeInitial:
			return e.admit(now, a, h)
		case h.Type == wire.Type0RTT && e.keepEarly(now, a, dcid):
		default: // RFC 9000, Section 5.2.2 [5]
			e.stats.DroppedUnroutable++
		}
	}
	return nil
}

// speaks reports whether a server speaks the version; a client answers no one.
func (e *Endpoint) speaks(version uint32) bool {
	if e.cfg.Server == nil {
		return true
	}
	for _, v := range e.cfg.Server.Versions {
		if v == version {
			return true
		}
	}
	return false
}
