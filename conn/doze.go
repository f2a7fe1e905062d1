package conn

import "time"

// dozeAfter is how long a connection is silent before it gives back its ciphers: 2.5 KB of some 10.
// The secrets stay. What it sends or receives next makes the ciphers again, in some microseconds.
// For a connection that says something every few seconds that is a waste, so each time doubles the
// time to the next, up to dozeAfter << maxDozes.
const (
	dozeAfter = time.Second
	maxDozes  = 3
)

// mayDoze reports whether the connection would give ciphers back. Lanes of multipath share theirs,
// so they stay awake.
func (c *Conn) mayDoze() bool {
	sp := c.app
	if c.state != stateConfirmed || c.multi != nil || sp.rx == nil || sp.tx == nil || sp.sent.rows.len() > 0 {
		return false
	}
	next := c.keys.nextRx
	return sp.rx.Awake() || sp.tx.Awake() || next != nil && next.Awake()
}

// dozeWait returns how long the connection must be silent now.
func (c *Conn) dozeWait() time.Duration { return dozeAfter << c.dozes }

// dozeTime returns when the connection has been silent for long enough.
func (c *Conn) dozeTime(now instant) instant {
	at := c.lastActivity.add(c.dozeWait())
	if at <= now {
		return now.add(c.dozeWait()) // what went meanwhile does not count as activity
	}
	return at
}

// doze gives the ciphers back, if nothing has happened meanwhile.
func (c *Conn) doze(now instant) {
	c.dozeAt = 0
	if !c.closed && c.mayDoze() && now >= c.lastActivity.add(c.dozeWait()) {
		c.giveBack()
		c.dozes = min(c.dozes+1, maxDozes)
	}
}

// giveBack gives the ciphers back.
func (c *Conn) giveBack() {
	c.app.rx.Rest()
	c.app.tx.Rest()
	if next := c.keys.nextRx; next != nil { // made because of a forged packet
		next.Rest()
	}
}
