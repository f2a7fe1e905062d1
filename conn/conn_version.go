package conn

import (
	"slices"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// errVersionNegotiation is the code of RFC 9368, Section 9.
const errVersionNegotiation = 0x11

// A versionState is compatible version negotiation (RFC 9368): the server may choose another
// version than the client's first packet had, without a round trip.
// RFC 9368, Section 8 [2].
type versionState struct {
	original uint32 // of the client's first packet
	secretID ConnID // Initial keys derive from it
	reacted  bool   // client: to a Version Negotiation packet
	// server: for Initial packets in the original version, once it chose another
	otherRx *keys.Keys
}

func knownVersion(v uint32) bool { return v == Version1 || v == Version2 }

// firstVersion returns the version that a client starts with. That is version 1 if the client
// speaks it, because all servers know it. A server that prefers another version changes to that.
// RFC 9368, Section 2.5 [1, 2].
func firstVersion(versions []uint32) uint32 {
	if slices.Contains(versions, Version1) {
		return Version1
	}
	return versions[0]
}

// chooseVersion returns the version that a server negotiates: its favourite among those that the
// client offers (RFC 9368, Section 2.3). Without a favourite it is the version of the client's
// first packet. All that we know are compatible with each other (RFC 9369, Section 4).
// RFC 9368, Section 2.2 [1]; RFC 9368, Section 2.3 [1]; RFC 9369, Section 4 [3].
func (c *Config) chooseVersion(original uint32, client *wire.Params) uint32 {
	if client.ChosenVersion == 0 || c.noFavourite {
		return original
	}
	for _, v := range c.Versions {
		if slices.Contains(client.AvailableVersions, v) {
			return v
		}
	}
	return original
}

// negotiateVersion takes in version_information of the peer.
func (c *Conn) negotiateVersion(p *wire.Params) error {
	v := &c.versions
	if c.server {
		if p.ChosenVersion != 0 && p.ChosenVersion != v.original { // RFC 9368, Section 4 [8, 9, 10]
			return violation(errVersionNegotiation, 0, "version_information does not fit the first packet")
		}
		if chosen := c.cfg.chooseVersion(v.original, p); chosen != c.version {
			v.otherRx = c.spaces[spaceInitial].rx // RFC 9369, Section 4.1 [6]
			c.version = chosen                    // RFC 9369, Section 4.1 [4, 7]
			c.initialKeys(v.secretID)
		}
		return nil
	}
	// RFC 9368, Section 4: what the server chose must be what it says, or somebody downgraded us.
	// RFC 9368, Section 4 [12, 17].
	if p.ChosenVersion != 0 && p.ChosenVersion != c.version || p.ChosenVersion == 0 && c.version != v.original {
		return violation(errVersionNegotiation, 0, "the server speaks version %#x and says %#x", c.version, p.ChosenVersion)
	}
	if v.reacted {
		return c.checkReaction(p)
	}
	return nil
}

// restartWith makes a client begin again with a version that the server listed in a Version
// Negotiation packet (RFC 9368, Section 2.1). What it sent before, early data included, counts for
// nothing. A new destination connection ID shows what answers the new attempt: the Version
// Negotiation packet may be forged, and the server may speak the version before.
// RFC 9368, Section 6 [2].
func (c *Conn) restartWith(now instant, version uint32) {
	v := &c.versions
	c.rejectEarly()
	c.tls.close(nil)
	c.tls = tlsState{}
	if c.sessions != nil { // what it looked up is of another version
		c.sessions = &clientSessions{ClientSessionCache: c.sessions.ClientSessionCache}
	}
	c.early = earlyState{data: c.early.data}
	c.peer = wire.DefaultParams()
	c.flow.sendMax, c.streams.peerLimit = 0, [2]uint64{}
	c.dropSpace(spaceInitial)
	c.spaces[spaceInitial] = newSpace(spaceInitial, &c.lane)
	v.reacted, v.original, c.version = true, version, version
	c.e.random(c.origin.b[:c.origin.n])
	c.remote.ids[0].id = c.origin
	c.initialKeys(c.origin)
	c.lastActivity = now
	c.reach.noteReceived()
	if c.qlog != nil {
		c.qlog.VersionInformation(c.e.wall(now), false, c.cfg.Versions, version)
	}
	c.tls.init(c, clientTLS(c))
	c.wake()
	c.stepTLS()
}

// reaction returns the version that a client chooses among those of a server; 0 if there is none.
// RFC 9368, Section 2.1 [2].
func reaction(ours, theirs []uint32) uint32 {
	for _, v := range ours {
		if slices.Contains(theirs, v) {
			return v
		}
	}
	return 0
}

// checkReaction makes sure that a Version Negotiation packet was genuine: with what the server says
// now, the client would have chosen the same version (RFC 8999, Section 7 [1]; RFC 9368, Section
// 4).
// RFC 9368, Section 4 [11, 13, 14, 15, 16]; RFC 9368, Section 8 [1].
func (c *Conn) checkReaction(p *wire.Params) error {
	v := c.versions.original
	if p.ChosenVersion == 0 {
		if v != Version1 { // RFC 9368, Section 8
			return violation(errVersionNegotiation, 0, "the server sent a Version Negotiation packet, and no version_information")
		}
		return nil
	}
	if len(p.AvailableVersions) == 0 || reaction(c.cfg.Versions, append(p.AvailableVersions, v)) != v {
		return violation(errVersionNegotiation, 0, "the server speaks versions %#x, and said otherwise", p.AvailableVersions)
	}
	return nil
}

// initialRx returns the keys to open a long header packet of another version than the one in use;
// nil if none is expected. It may come from a server that chose another version, or from a client
// that has not changed yet.
func (c *Conn) initialRx(h *wire.Long) *keys.Keys {
	v := &c.versions
	switch {
	case h.Type != wire.TypeInitial:
		return nil
	case c.server:
		if h.Version == v.original {
			return v.otherRx
		}
	case c.version != v.original && h.Version != v.original: // the server has chosen already
	case !c.hasPeer && slices.Contains(c.cfg.Versions, h.Version):
		_, server := keys.Initial(h.Version, v.secretID.bytes())
		return server
	}
	return nil
}

// followVersion makes a client go on in the version that the server chose. It does not go back: a
// server acknowledges the first part of a long ClientHello in the original version, and that packet
// may come late.
func (c *Conn) followVersion(version uint32) {
	if c.server || version == c.version || c.version != c.versions.original {
		return
	}
	c.version = version
	c.initialKeys(c.versions.secretID)
}
