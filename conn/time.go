package conn

import (
	"math"
	"time"
)

// An instant is a time in nanoseconds since the epoch of an Endpoint, which lies one hour before
// the first time that it was given. The zero instant means unset.
type instant int64

// never is later than any time.
const never instant = math.MaxInt64

// epochOffset keeps every time that is really given above zero.
const epochOffset = time.Hour

func (t instant) add(d time.Duration) instant {
	if t == never || d > time.Duration(never-t) {
		return never
	}
	return t + instant(d)
}

func (t instant) sub(u instant) time.Duration { return time.Duration(t - u) }

// earlier returns the earlier of two deadlines, of which unset ones do not count.
func earlier(t, u instant) instant {
	if t == 0 || u != 0 && u < t {
		return u
	}
	return t
}

const (
	// maxStandstill is how far the caller's clock may go back before the epoch follows it.
	maxStandstill = 100 * time.Millisecond

	// maxJump is how far time goes on at once. What a clock shows beyond that is a mistake: the
	// epoch follows it. Otherwise a clock that is wrong by centuries, once, would bring time to its
	// end.
	maxJump = 10 * 365 * 24 * time.Hour

	// overslept is how late a timer runs if the program slept, or if its clock jumped forward.
	overslept = time.Second
)

// clock takes in the time of a verb. An instant never goes back. If the caller's clock goes back a
// little, time stands still until the clock has caught up. If it was set back, time goes on from
// here. Otherwise no timer would be due for as long as it was set back.
func (e *Endpoint) clock(now time.Time) instant {
	if e.epoch.IsZero() {
		e.epoch = now.Add(-epochOffset)
	}
	switch t := instant(now.Sub(e.epoch)); {
	case t > e.now:
		if t.sub(e.now) > maxJump {
			t = e.now.add(maxJump)
			e.epoch = now.Add(-time.Duration(t))
		}
		if it := e.timers.Min(); it != nil {
			if due, _ := it.Deadline(); t.sub(instant(due)) > overslept {
				e.woke = t
			}
		}
		e.now = t
	case t < e.now-instant(maxStandstill): // t may be less than the difference could show
		e.epoch = now.Add(-time.Duration(e.now))
	}
	for i, c := range e.expired {
		c.letGo()
		e.writer.forget(c)
		e.expired[i] = nil
	}
	e.expired = e.expired[:0]
	if e.memory.Used() > e.cfg.MaxBuffered {
		e.keepLimit()
	}
	if room := e.memory.Room(); e.chunks.Free() > room {
		e.chunks.Trim(room) // what is kept for reuse keeps to the limit, too
	}
	if len(e.starved) > 0 {
		e.feed()
	}
	return e.now
}

// wall returns t as the caller knows it.
func (e *Endpoint) wall(t instant) time.Time { return e.epoch.Add(time.Duration(t)) }
