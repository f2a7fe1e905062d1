package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/qlog"
)

// The timers that an observer knows. The first two kinds have one timer for each packet number
// space.
const (
	timerLoss = 0
	timerAck  = timerLoss + int(numSpaces)
	timerPTO  = timerAck + int(numSpaces)
	timerPath = timerPTO + int(numSpaces)

	timerCandidate = timerPath + 1
	timerHandshake = timerCandidate + 1
	timerIdle      = timerHandshake + 1
	numTimers      = timerIdle + 1
)

// qlogSpaces are the names of the packet number spaces.
var qlogSpaces = [numSpaces]string{
	spaceInitial: qlog.SpaceInitial, spaceHandshake: qlog.SpaceHandshake, spaceApp: qlog.SpaceApp,
}

// qlogTimer returns the name of a timer in the log.
func qlogTimer(i int) qlog.Timer {
	space := func(first int) string { return qlogSpaces[i-first] }
	switch {
	case i < timerAck:
		return qlog.Timer{Kind: qlog.TimerLoss, Space: space(timerLoss)}
	case i < timerPTO:
		return qlog.Timer{Kind: qlog.TimerAck, Space: space(timerAck)}
	case i < timerPath:
		return qlog.Timer{Kind: qlog.TimerPTO, Space: space(timerPTO)}
	case i == timerHandshake:
		return qlog.Timer{Kind: qlog.TimerHandshake}
	case i == timerIdle:
		return qlog.Timer{Kind: qlog.TimerIdle}
	}
	return qlog.Timer{Kind: qlog.TimerPath}
}

// timersNow returns when the timers are due. It returns 0 for those that do not run.
func (c *Conn) timersNow(now instant) (t [numTimers]instant) {
	waits := false
	for id, sp := range c.spaces {
		if sp == nil {
			continue
		}
		t[timerLoss+id], t[timerAck+id] = sp.sent.lossTime, sp.recv.ackAt
		waits = waits || sp.sent.lossTime != 0
	}
	if !waits { // RFC 9002, Section A.8: there is one timer for both
		if at, id := c.ptoDeadline(now); at != 0 {
			t[timerPTO+int(id)] = at
		}
	}
	if ch := &c.path.challenge; ch.active {
		t[timerPath] = ch.until
	}
	if p := c.candidate; p != nil {
		t[timerCandidate] = p.challenge.until
	}
	t[timerHandshake], t[timerIdle] = c.handshakeBy, c.idleDeadline()
	return t
}

// observeTimers writes which timers were set and which were cancelled. The idle timer begins anew
// with every packet, so it is written only if its length changed.
func (o *observer) observeTimers(c *Conn, at time.Time, now instant) {
	t := c.timersNow(now)
	for i := range t {
		switch {
		case t[i] == o.timers[i]:
			continue
		case t[i] == 0:
			o.log.TimerCancelled(at, qlogTimer(i))
			continue
		case i == timerIdle:
			length := t[i].sub(c.lastActivity)
			if length == o.idle {
				continue
			}
			o.idle = length
		}
		o.log.TimerSet(at, qlogTimer(i), t[i].sub(now))
	}
	o.timers = t
}

// timersExpired writes which timers have expired, before their work is done.
func (o *observer) timersExpired(c *Conn, now instant) {
	for i, due := range c.timersNow(now) {
		if due != 0 && due <= now {
			o.log.TimerExpired(c.e.wall(now), qlogTimer(i))
			o.timers[i] = 0
		}
	}
}
