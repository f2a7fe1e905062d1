package conn

import "time"

const (
	// maxHurries is how often packets of a handshake may be sent again before a probe timeout.
	maxHurries = 3

	// hurryAfter is the least time since packets were sent, while no round trip was measured.
	// Packets may come twice, or out of order.
	hurryAfter = 50 * time.Millisecond
)

// doubtMTU sends smaller datagrams if those of the handshake are not answered: the path may not
// carry what Config.InitialMTU says (RFC 9000, Section 14.1).
func (c *Conn) doubtMTU() {
	if c.path.mtu.doubt() {
		c.path.cc.OnMTU(c.path.mtu.current)
		c.repace(c.path.estimates)
	}
}

// hurry sends again what the peer seems to miss of our Initial and Handshake packets: a client sent
// its ClientHello again, or a server's first packets are missing (RFC 9002, Section 6.2.3). It does
// not wait for a probe timeout, which is long while no round trip was measured.
func (c *Conn) hurry(now instant) {
	sp := c.spaces[spaceInitial]
	if sp == nil || sp.hurries == maxHurries || sp.probes > 0 || c.tls.work != nil {
		return
	}
	wait := hurryAfter
	if c.path.rtt.sampled {
		wait = c.path.rtt.smoothed
	}
	last := sp.sent.lastEliciting
	if h := c.spaces[spaceHandshake]; h != nil {
		last = max(last, h.sent.lastEliciting)
	}
	if now.sub(last) < wait {
		return
	}
	sp.hurries++
	for _, sp := range []*space{sp, c.spaces[spaceHandshake]} {
		if sp != nil && sp.tx != nil && (sp.unanswered() || !c.server) {
			sp.probes = max(sp.probes, 1)
			c.sendAgain(sp)
		}
	}
	c.wake()
}
