package conn

import "time"

const (
	// silentAfter is how many probe timeouts in a row pass before the peer counts as silent: with
	// the backoff, seven times the first of them.
	silentAfter = 3
	// minSilence is how long they have to last, from the first one on. Between two hosts of one
	// network three of them are over in 10 ms. Many a server that is well is away for longer,
	// because it is not scheduled, or collects garbage.
	minSilence = 300 * time.Millisecond
)

// A timeouts counts the probe timeouts in a row. It says how far the next one backs off, and
// whether the peer is silent.
type timeouts struct {
	count  int
	since  instant // when the first of them had passed
	silent bool    // EventSilent was reported, and no answer since
	spare  bool    // one PATH_RESPONSE may exceed the window: see transmitPath
	// with multipath: nothing but probes is sent on this lane, see lane.probe
	suspect bool
}

// restart ends the row: what it was about has been replaced.
func (t *timeouts) restart() { t.count, t.since, t.spare, t.suspect = 0, 0, false, false }

// probed notes that a probe timeout has passed, and reports whether the row is a silence.
func (l *lane) probed(now instant) bool {
	c, t := l.conn, &l.timeouts
	if t.count == 0 {
		t.since = now
	}
	t.count++
	t.spare = true
	c.stats.PTOs++
	long := t.count >= silentAfter && now.sub(t.since) >= minSilence
	if long && !t.silent && c.state != stateHandshake {
		t.silent = true
		if c.Silent() {
			c.eventOf(EventSilent, 0)
		}
	}
	return long
}

// answered notes that the peer has acknowledged something.
func (l *lane) answered() {
	l.timeouts.restart()
	if l.timeouts.silent {
		l.answeredAgain()
	}
}

// answeredAgain notes that the peer was silent on the lane, and is not any more.
func (l *lane) answeredAgain() {
	was := l.conn.Silent()
	l.timeouts.silent = false
	if was {
		l.conn.eventOf(EventAnswered, 0)
	}
}

// Silent reports whether three probe timeouts in a row have passed, for 300 ms at least, and the
// peer has acknowledged nothing since: it may be gone, or the path to it. The connection goes on
// trying until its idle timeout. [EventSilent] and [EventAnswered] tell when this changes.
func (c *Conn) Silent() bool {
	if c.multi != nil {
		return c.multi.silent()
	}
	return c.timeouts.silent
}
