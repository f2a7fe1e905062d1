package conn

import (
	"net/netip"

	"github.com/lazoquic/lazo/internal/wire"
)

// The preferred address of a server (RFC 9000, Section 9.6).

// addPreferredID issues the connection ID that goes with the preferred address, whose sequence
// number is 1.
// RFC 9000, Section 18.2 [4, 5].
func (c *Conn) addPreferredID() {
	cfg := c.cfg
	if !cfg.PreferredAddress4.IsValid() && !cfg.PreferredAddress6.IsValid() {
		return
	}
	id, ok := c.e.generateID()
	if !ok || id.n == 0 {
		return
	}
	c.local.add(id)
	c.local.sent = c.local.next // in the transport parameters
	c.routes.addID(id, &c.lane)
}

// preferredAddress returns the transport parameter; nil if there is none.
func (c *Conn) preferredAddress() *wire.PreferredAddress {
	if len(c.local.ids) < 2 {
		return nil
	}
	id := c.local.ids[1].id
	p := &wire.PreferredAddress{ID: id.bytes(), ResetToken: c.e.resetToken(id)}
	if a := unmap(c.cfg.PreferredAddress4); a.Addr().Is4() {
		p.V4 = a
	}
	if a := c.cfg.PreferredAddress6; a.Addr().Is6() && !a.Addr().Is4In6() {
		p.V6 = a
	}
	return p
}

// takePreferredID takes the connection ID that comes with a preferred address: it is the second
// that the server issues (RFC 9000, Section 5.1.1).
func (c *Conn) takePreferredID(pref *wire.PreferredAddress) error {
	id, _ := ConnIDFromSlice(pref.ID)
	issued := remoteID{id: id, seq: 1, token: pref.ResetToken, hasToken: true}
	if c.remote.conflicts(&issued) {
		return violation(errProtocolViolation, 0, "the preferred address has the connection ID or the token of the other one")
	}
	c.remote.ids = append(c.remote.ids, issued)
	c.remote.seen.Add(1, 2)
	return nil
}

// hears reports whether a client takes datagrams from the address: that of its server, the one that
// the server prefers, or the one that it had before, from which packets may be under way. RFC 9000,
// Section 9: others are strangers.
func (c *Conn) hears(server netip.AddrPort) bool {
	return server == c.path.remote || server == c.formerRemote || c.candidate != nil && server == c.candidate.remote
}

// followPreferred makes a client validate the address that its server prefers, and move there
// (RFC 9000, Section 9.6.2).
// RFC 9000, Section 9.6.1 [1]; RFC 9000, Section 9.6.2 [1]; RFC 9000, Section 21.5.3 [1].
func (c *Conn) followPreferred() {
	pref := c.peer.Preferred
	if c.server || pref == nil || c.remote.handshake.n == 0 || c.candidate != nil {
		return
	}
	to := pref.V6 // RFC 9000, Section 9.6.3 [5]
	if c.path.remote.Addr().Is4() {
		to = pref.V4
	} else if isLinkLocal(to.Addr()) { // on the link where the server is
		to = netip.AddrPortFrom(to.Addr().WithZone(c.path.remote.Addr().Zone()), to.Port())
	}
	if !canPrefer(to) || to == c.path.remote || !c.remote.hasOther() {
		return // the ID serves for other paths
	}
	if to.Addr().IsLoopback() && !c.path.remote.Addr().IsLoopback() {
		return // RFC 9000, Section 21.5.6 [1]
	}
	if c.local.ids[0].id.n == 0 && !c.routes.addAddr(to) {
		return // datagrams from there belong to another connection
	}
	p := c.newPath(to, c.path.from, nil)
	p.migrate = true
	c.setPaths(c.path, c.oldPath, p)
	c.startChallenge(p)
}

// canPrefer reports whether a host can have the address and a socket can reach it. The field for
// IPv6 must have an IPv6 address. A link-local address needs a link (RFC 4007, Section 6).
// RFC 9000, Section 21.5.6 [2].
func canPrefer(to netip.AddrPort) bool {
	a := to.Addr()
	return a.IsValid() && to.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() &&
		!(a.Is6() && isLinkLocal(a) && a.Zone() == "")
}
