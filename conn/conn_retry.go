package conn

import (
	"encoding/binary"
	"slices"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// retryTagLen is the length of the integrity tag of a Retry packet.
const retryTagLen = 16

// maxPeerToken is the length of the longest token that leaves room for something else in an Initial
// packet.
const maxPeerToken = 1000

// receiveRetry handles a Retry packet (RFC 9000, Section 17.2.5.2).
// RFC 9000, Section 8.1.3 [2, 8]; RFC 9000, Section 17.2.3 [1, 2]; RFC 9000, Section 17.2.5.1 [2,
// 3]; RFC 9000, Section 17.2.5.2 [1, 2, 3, 5]; RFC 9000, Section 17.2.5.3 [1, 2].
func (c *Conn) receiveRetry(now instant, b []byte, h wire.Long) {
	// Only the first one counts, and only before any other packet.
	if c.server || c.retried || c.remote.chosen || len(h.Token) == 0 || len(h.Token) > maxPeerToken || h.PNOff+retryTagLen != len(b) {
		c.dropped(&c.e.stats.DroppedMalformed, b, "unexpected Retry")
		return
	}
	odcid := c.remote.ids[0].id
	if odcid.equal(h.SCID) {
		c.dropped(&c.e.stats.DroppedMalformed, b, "Retry without a new connection ID")
		return
	}
	if keys.RetryTag(c.version, odcid.bytes(), b[:h.PNOff]) != [retryTagLen]byte(b[h.PNOff:]) {
		c.dropped(&c.e.stats.DroppedUndecryptable, b, "integrity of Retry")
		return
	}
	if c.traced {
		c.tracePacket(TracePacketReceived, PacketRetry, 0, b, nil)
	}
	c.retried = true
	c.retrySCID, _ = ConnIDFromSlice(h.SCID)
	c.token = append([]byte(nil), h.Token...)
	c.remote.ids[0].id = c.retrySCID
	c.initialKeys(c.retrySCID)
	// RFC 9002, Section 6.3: what was sent is sent again, with packet numbers that go on.
	sp := c.spaces[spaceInitial]
	sp.sent.discarded(nil)
	sp.cryptoOut.Rewind()
	early := c.spaces[spaceApp]
	early.sent.discarded(func(r *record) { c.recordLost(early, r) })
	c.timeouts.restart()
	c.lastActivity = now
	c.reach.noteReceived()
	c.wake()
}

// receiveVersionNegotiation handles a Version Negotiation packet (RFC 9000, Section 6.2).
func (c *Conn) receiveVersionNegotiation(now instant, b []byte) {
	versions, ok := wire.ParseVersionNegotiation(b)
	_, dcid, scid, _ := wire.ParseInvariant(b)
	// It must echo our IDs, and come before any other packet; of several the first counts
	// (RFC 9368, Section 4).
	if c.server || c.remote.chosen || c.retried || c.versions.reacted || !ok || !c.routes.hasID(dcid) || !c.origin.equal(scid) {
		// RFC 9368, Section 4 [2]; RFC 9000, Section 6.2 [2].
		c.dropped(&c.e.stats.DroppedMalformed, b, "unexpected Version Negotiation")
		return
	}
	theirs := make([]uint32, 0, len(versions)/4)
	for v := versions; len(v) >= 4; v = v[4:] {
		theirs = append(theirs, binary.BigEndian.Uint32(v))
	}
	if slices.Contains(theirs, c.version) { // RFC 9368, Section 4 [1]; RFC 9000, Section 6.2 [3]
		c.dropped(&c.e.stats.DroppedMalformed, b, "Version Negotiation lists our version")
		return
	}
	if c.traced {
		c.tracePacket(TracePacketReceived, PacketVersionNegotiation, 0, b, nil)
	}
	if v := reaction(c.cfg.Versions, theirs); v != 0 {
		c.restartWith(now, v) // RFC 9368, Section 2.1 [4]
		return
	}
	c.e.stats.TransportErrors++
	// RFC 9368, Section 2.1 [3]; RFC 9000, Section 6.2 [1].
	c.endWith(&VersionError{Versions: theirs}, nil)
}
