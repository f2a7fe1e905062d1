package conn

import (
	"net/netip"
	"slices"
)

// A route is where a datagram goes: to a connection, or to what remains of a closed one.
type route struct {
	conn   *Conn
	closed *closedConn
}

// A routeTable says where datagrams of an Endpoint go: by connection ID; by remote address, where
// a connection's own ID is empty; and by the token of a stateless reset. Only claims write to it,
// so an entry never outlives the connection that it leads to.
type routeTable struct {
	ids    map[ConnID]route
	addrs  map[netip.AddrPort]route
	tokens map[[resetTokenLen]byte]*Conn // that the peers gave out

	lastID    ConnID // what was looked up last, and where it leads to
	lastRoute route
	lastLane  *lane // that the ID is for; nil until a packet with a short header has come by it
}

// byID returns where a connection ID that is not empty leads to.
func (t *routeTable) byID(id []byte) (route, bool) {
	if t.lastRoute.conn != nil && t.lastID.equal(id) {
		return t.lastRoute, true
	}
	key, ok := ConnIDFromSlice(id)
	if !ok {
		return route{}, false
	}
	r, ok := t.ids[key]
	if ok && r.conn != nil {
		t.lastID, t.lastRoute, t.lastLane = key, r, nil
	}
	return r, ok
}

// again returns the lane that a packet is for, and the length of its connection ID, if it has that
// of the packet before. b is the packet, with a short header, without its first byte.
func (t *routeTable) again(b []byte) (n int, l *lane) {
	if n = int(t.lastID.n); t.lastLane != nil && len(b) > n && t.lastID.equal(b[:n]) {
		return n, t.lastLane
	}
	return 0, nil
}

// note notes the lane that the ID looked up last is for.
func (t *routeTable) note(id []byte, l *lane) {
	if t.lastRoute.conn == l.conn && t.lastID.equal(id) {
		t.lastLane = l
	}
}

// taken reports whether a connection ID is in use.
func (t *routeTable) taken(id ConnID) bool {
	_, ok := t.ids[id]
	return ok
}

func (t *routeTable) setID(id ConnID, r route) {
	if t.ids == nil {
		t.ids = make(map[ConnID]route)
	}
	t.ids[id] = r
	t.lastRoute, t.lastLane = route{}, nil
}

func (t *routeTable) setAddr(a netip.AddrPort, r route) {
	if t.addrs == nil {
		t.addrs = make(map[netip.AddrPort]route)
	}
	t.addrs[a] = r
}

func (t *routeTable) deleteID(id ConnID) {
	delete(t.ids, id)
	t.lastRoute, t.lastLane = route{}, nil
}

// claims are the routes that lead to one connection, or to what remains of it. Whatever the
// connection does meanwhile, release finds all of them.
type claims struct {
	table  *routeTable
	to     route
	ids    []claimedID
	addrs  []claimedAddr
	tokens [][resetTokenLen]byte
}

// A claimedID is a connection ID by which the peer reaches us.
type claimedID struct {
	id    ConnID
	until instant // when it is forgotten, as the peer has retired it; 0 while it is in use
	first bool    // server: the client's first packets bear it
	lane  *lane   // that the ID is for; nil once the connection has closed
}

// A claimedAddr is a remote address from which datagrams without a connection ID come.
type claimedAddr struct {
	addr  netip.AddrPort
	until instant // likewise, as the connection has left it
}

// addID makes an ID that is not in use lead here, for packets of a lane.
func (cl *claims) addID(id ConnID, l *lane) {
	cl.ids = append(cl.ids, claimedID{id: id, lane: l})
	cl.table.setID(id, cl.to)
}

// addFirst is addID for the ID of the packet that made a server connection.
func (cl *claims) addFirst(id ConnID, l *lane) {
	cl.addID(id, l)
	cl.ids[len(cl.ids)-1].first = true
}

// appendHandshake appends to b the IDs that long headers may bear. These are the ID of the client's
// first packets, as long as it is known, and with it the oldest of our IDs.
func (cl *claims) appendHandshake(b []ConnID) []ConnID {
	for i := range cl.ids {
		if !cl.ids[i].first {
			continue
		}
		b = append(b, cl.ids[i].id)
		if i > 0 {
			b = append(b, cl.ids[0].id)
		}
	}
	return b
}

// hasID reports whether b is one of the IDs.
func (cl *claims) hasID(b []byte) bool {
	for i := range cl.ids {
		if cl.ids[i].id.equal(b) {
			return true
		}
	}
	return len(b) == 0 && len(cl.addrs) > 0
}

// startOf returns the length of the ID at the start of b, and the lane that the ID is for. n is -1
// if none of them is there.
func (cl *claims) startOf(b []byte) (n int, l *lane) {
	for i := range cl.ids {
		x := &cl.ids[i]
		if id := &x.id; len(b) >= int(id.n) && id.equal(b[:id.n]) {
			return int(id.n), x.lane
		}
	}
	if len(cl.addrs) > 0 {
		return 0, &cl.to.conn.lane
	}
	return -1, nil
}

// retireID forgets an ID at a later time: packets may be under way to it. At most activeConnIDs of
// these are kept.
// RFC 9000, Section 5.1.1 [2].
func (cl *claims) retireID(id ConnID, until instant) {
	oldest, n := -1, 0
	for i := range cl.ids {
		switch x := &cl.ids[i]; {
		case x.until != 0:
			if n++; oldest < 0 || x.until < cl.ids[oldest].until {
				oldest = i
			}
		case x.id == id:
			x.until = until
			n++
		}
	}
	if n > activeConnIDs {
		cl.table.deleteID(cl.ids[oldest].id)
		cl.ids = slices.Delete(cl.ids, oldest, oldest+1)
	}
}

// addAddr makes datagrams without a connection ID from a lead here. It reports false if those
// belong to another connection. A closed connection gives up its place.
func (cl *claims) addAddr(a netip.AddrPort) bool {
	for i := range cl.addrs {
		if cl.addrs[i].addr == a {
			cl.addrs[i].until = 0
			return true
		}
	}
	if r := cl.table.addrs[a]; r.conn != nil {
		return false
	} else if r.closed != nil {
		r.closed.claims.dropAddr(a)
	}
	cl.addrs = append(cl.addrs, claimedAddr{addr: a})
	cl.table.setAddr(a, cl.to)
	return true
}

// dropAddr is the opposite of addAddr.
func (cl *claims) dropAddr(a netip.AddrPort) {
	if i := slices.IndexFunc(cl.addrs, func(x claimedAddr) bool { return x.addr == a }); i >= 0 {
		cl.addrs = slices.Delete(cl.addrs, i, i+1)
		delete(cl.table.addrs, a)
	}
}

// retireAddr forgets an address at a later time.
func (cl *claims) retireAddr(a netip.AddrPort, until instant) {
	for i := range cl.addrs {
		if x := &cl.addrs[i]; x.addr == a && x.until == 0 {
			x.until = until
		}
	}
}

// addToken makes stateless resets with the token end the connection. A token that another
// connection watches for stays with that one.
func (cl *claims) addToken(token [resetTokenLen]byte) {
	if cl.table.tokens == nil {
		cl.table.tokens = make(map[[resetTokenLen]byte]*Conn)
	}
	if _, taken := cl.table.tokens[token]; !taken {
		cl.tokens = append(cl.tokens, token)
		cl.table.tokens[token] = cl.to.conn
	}
}

// dropToken is the opposite of addToken.
func (cl *claims) dropToken(token [resetTokenLen]byte) {
	if i := slices.Index(cl.tokens, token); i >= 0 {
		cl.tokens = slices.Delete(cl.tokens, i, i+1)
		delete(cl.table.tokens, token)
	}
}

// oldest returns when expire has something to forget; 0 if nothing is retired.
func (cl *claims) oldest() (at instant) {
	for i := range cl.ids {
		at = earlier(at, cl.ids[i].until)
	}
	for i := range cl.addrs {
		at = earlier(at, cl.addrs[i].until)
	}
	return at
}

// expire forgets what was retired until now.
func (cl *claims) expire(now instant) {
	cl.ids = slices.DeleteFunc(cl.ids, func(x claimedID) bool {
		if x.until == 0 || x.until > now {
			return false
		}
		cl.table.deleteID(x.id)
		return true
	})
	cl.addrs = slices.DeleteFunc(cl.addrs, func(x claimedAddr) bool {
		if x.until == 0 || x.until > now {
			return false
		}
		delete(cl.table.addrs, x.addr)
		return true
	})
}

// handOver makes what led to a connection lead to what remains of it. Stateless resets do not
// matter to a closed connection.
func (cl *claims) handOver(cc *closedConn) {
	cl.dropTokens()
	cc.claims = claims{table: cl.table, to: route{closed: cc}, ids: cl.ids, addrs: cl.addrs}
	for i := range cl.ids {
		cl.ids[i].lane = nil
		cl.table.setID(cl.ids[i].id, cc.claims.to)
	}
	for i := range cl.addrs {
		cl.table.setAddr(cl.addrs[i].addr, cc.claims.to)
	}
	cl.ids, cl.addrs = nil, nil
}

func (cl *claims) dropTokens() {
	for _, token := range cl.tokens {
		delete(cl.table.tokens, token)
	}
	cl.tokens = nil
}

// release forgets all routes.
func (cl *claims) release() {
	cl.dropTokens()
	for i := range cl.ids {
		cl.table.deleteID(cl.ids[i].id)
	}
	for i := range cl.addrs {
		delete(cl.table.addrs, cl.addrs[i].addr)
	}
	cl.ids, cl.addrs = nil, nil
}
