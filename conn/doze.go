package conn

import "time"

// dozeAfter is how long a connection is silent before it gives back its ciphers: 2.5 KB of some 10.
// The secrets stay. What it sends or receives next makes the ciphers again, in some microseconds.
const dozeAfter = time.Second

// mayDoze reports whether the connection would give ciphers back. Lanes of multipath share theirs,
// so they stay awake.
func (c *Conn) mayDoze() bool {
	sp := c.app
	if c.state != stateConfirmed || c.multi != nil || sp.rx == nil || sp.tx == nil || sp.sent.rows.len() > 0 {
		return false
	}
	return sp.rx.Awake() || sp.tx.Awake()
}

// dozeTime returns when the connection has been silent for long enough.
func (c *Conn) dozeTime(now instant) instant {
	at := c.lastActivity.add(dozeAfter)
	if at <= now {
		return now.add(dozeAfter) // what went meanwhile does not count as activity
	}
	return at
}

// doze gives the ciphers back, if nothing has happened meanwhile.
func (c *Conn) doze(now instant) {
	c.dozeAt = 0
	if !c.closed && c.mayDoze() && now >= c.lastActivity.add(dozeAfter) {
		c.giveBack()
	}
}

// giveBack gives the ciphers back.
func (c *Conn) giveBack() {
	c.app.rx.Rest()
	c.app.tx.Rest()
}
