package conn

// silentAfter is how many probe timeouts in a row pass before the peer counts as silent: with the
// backoff, seven times the first of them.
const silentAfter = 3

// probed notes that a probe timeout has passed.
func (c *Conn) probed() {
	if c.ptoCount >= silentAfter && !c.silent && c.state != stateHandshake {
		c.silent = true
		c.event(Event{Kind: EventSilent})
	}
}

// answered notes that the peer has acknowledged something.
func (c *Conn) answered() {
	if c.silent {
		c.silent = false
		c.event(Event{Kind: EventAnswered})
	}
}

// Silent reports whether three probe timeouts in a row have passed and the peer has acknowledged
// nothing since: it may be gone, or the path to it. The connection goes on trying until its idle
// timeout. [EventSilent] and [EventAnswered] tell when this changes.
func (c *Conn) Silent() bool { return c.silent }
