package conn

import "time"

// minPace is the shortest wait that pacing asks for: timers are not finer, and bursts should stay
// long.
const minPace = 50 * time.Microsecond

// deadline returns when HandleTimeout is due next; 0 if never.
func (c *Conn) deadline(now instant) instant {
	at := c.lossDeadline(now)
	at = earlier(at, c.userTimer)
	at = earlier(at, c.paceAt)
	at = earlier(at, c.handshakeBy)
	at = earlier(at, c.idleDeadline())
	at = earlier(at, c.keepAliveDeadline())
	at = earlier(at, c.quietDeadline())
	at = earlier(at, c.keys.dropAt)
	at = earlier(at, c.tidyAt)
	at = earlier(at, c.dozeAt)
	at = earlier(at, c.routes.oldest())
	for _, sp := range c.spaces {
		if sp != nil {
			at = earlier(at, sp.recv.ackAt)
		}
	}
	at = earlier(at, c.validationDeadline())
	if d := c.datagrams; d != nil {
		at = earlier(at, d.expiry)
	}
	if c.multi != nil {
		at = earlier(at, c.multi.deadline())
	}
	return at
}

// lossDeadline returns when loss detection is due: to declare packets lost, or to probe.
// RFC 9002, Section 6.2.1 [6].
func (c *Conn) lossDeadline(now instant) instant {
	at := instant(0)
	for _, sp := range c.spaces {
		if sp != nil {
			at = earlier(at, sp.sent.lossTime)
		}
	}
	if at != 0 {
		return at
	}
	at, _ = c.ptoDeadline(now)
	return at
}

// idleDeadline is RFC 9000, Section 10.1.
func (c *Conn) idleDeadline() instant {
	if c.idle == 0 {
		return 0
	}
	// RFC 9000, Section 10.1: at least three times the probe timeout.
	// RFC 9000, Section 10.1 [1].
	return c.lastActivity.add(max(c.idle, 3*c.pto()))
}

// sleptThrough reports whether the idle timeout has passed while the endpoint slept. What came
// meanwhile does not change that: it may have waited for as long.
func (c *Conn) sleptThrough(now instant) bool {
	end := c.idleDeadline()
	return end != 0 && now.sub(end) > overslept
}

// awaitsAck reports whether a 1-RTT packet is under way that asks for an acknowledgement.
func (c *Conn) awaitsAck() bool {
	if c.multi == nil {
		return c.app.sent.eliciting > 0
	}
	return c.multi.awaitsAck()
}

// keepAliveDeadline returns when to send a PING so that the idle timeout does not pass (RFC 9000,
// Section 10.1.2).
func (c *Conn) keepAliveDeadline() instant {
	if c.keepAlive == 0 || c.state == stateHandshake || c.awaitsAck() {
		return 0
	}
	if c.main().path.allowance() < minMTU {
		return 0 // RFC 9000, Section 8.1: nothing could be sent
	}
	every := c.keepAlive
	if c.idle > 0 {
		every = min(every, c.idle/2)
	}
	return c.lastActivity.add(every)
}

// onTimeout runs what is due.
func (c *Conn) onTimeout(now instant) {
	if c.observer != nil {
		c.observer.timersExpired(c, now)
	}
	due := func(t instant) bool { return t != 0 && t <= now }
	switch {
	case due(c.idleDeadline()):
		c.e.stats.IdleTimeouts++
		c.forget(c.reach.explain(ErrIdleTimeout))
		return
	case due(c.handshakeBy):
		c.e.stats.HandshakeTimeouts++
		c.timeoutHandshake()
		return
	}
	if due(c.userTimer) {
		c.userTimer = 0
		c.eventOf(EventTimer, 0)
	}
	if due(c.lossDeadline(now)) {
		c.lossTimeout(now)
	}
	if due(c.keepAliveDeadline()) {
		c.main().keepAlive()
	}
	if due(c.quietDeadline()) {
		c.breakSilence()
	}
	if due(c.keys.dropAt) {
		c.keys.old, c.keys.dropAt = nil, 0
	}
	for _, sp := range c.spaces {
		if sp != nil && due(sp.recv.ackAt) {
			sp.recv.ackNow, sp.recv.ackAt = true, 0
		}
	}
	if due(c.tidyAt) {
		c.tidy()
	}
	if due(c.dozeAt) {
		c.doze(now)
	}
	if due(c.routes.oldest()) {
		c.routes.expire(now)
	}
	c.pathTimeout(now)
	c.paceAt = 0
	if c.multi != nil {
		c.multi.onTimeout(now)
	}
	if c.datagrams != nil {
		c.expireDatagrams(now)
	}
	c.wake()
}

// lossTimeout is RFC 9002, Section A.9.
func (c *Conn) lossTimeout(now instant) {
	waits := false
	for _, sp := range c.spaces {
		if sp == nil || sp.sent.lossTime == 0 {
			continue
		}
		waits = true
		if sp.sent.lossTime <= now {
			c.detectLost(sp, now)
		}
	}
	if waits {
		return
	}
	if at, id := c.ptoDeadline(now); at != 0 && at <= now {
		c.probe(id, now)
	}
}

// tidyAfter is how long empty rings keep their memory. It is also how long packets may be under way
// to retired IDs and from addresses that were left.
const tidyAfter = 5 * time.Second

// untidy reports whether there are empty rings that have become long.
func (c *Conn) untidy() bool {
	d := c.datagrams
	return c.app.sent.oversized() || c.multi != nil && c.multi.untidy() || d != nil && (d.send.oversized() || d.recv.oversized())
}

// tidy gives back the memory of rings that are empty.
func (c *Conn) tidy() {
	c.tidyAt = 0
	if d := c.datagrams; d != nil {
		for _, q := range []*datagramQueue{&d.send, &d.recv} {
			if q.oversized() && !q.used {
				*q = datagramQueue{}
			}
			q.used = false
		}
	}
	c.app.sent.tidy(c.e.now, c.lossMemory())
	if c.multi != nil {
		c.multi.tidy()
	}
}

// rest is called when the connection has no more output: it sets the timer.
func (c *Conn) rest(now instant) {
	if c.closed {
		return
	}
	c.settle()
	if c.traced {
		c.traceMetrics()
		if c.observer != nil {
			c.observe(now)
		}
	}
	if c.tidyAt == 0 && c.untidy() {
		c.tidyAt = now.add(tidyAfter)
	}
	if c.dozeAt == 0 && c.mayDoze() {
		c.dozeAt = c.dozeTime(now)
	}
	at := c.deadline(now)
	if at == 0 {
		c.e.timers.Remove(&c.timer)
		return
	}
	c.e.timers.Set(&c.timer, int64(at))
}
