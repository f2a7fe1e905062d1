package h3

import "time"

// cancelPeriod is the time in which a client gets back all of Config.MaxCancels.
const cancelPeriod = 30 * time.Second

// A cancelBucket bounds how fast a client may make a server begin what comes to nothing:
// each request that it cancels or gets wrong costs a token.
type cancelBucket struct {
	used   float64   // tokens
	filled time.Time // when used was right
}

// take takes a token of size, and reports false if there was none.
func (b *cancelBucket) take(now time.Time, size int64) bool {
	back := float64(size) * now.Sub(b.filled).Seconds() / cancelPeriod.Seconds()
	b.used, b.filled = max(0, b.used-back), now
	b.used++
	return b.used <= float64(size)
}

// served notes that a request of the client was answered to the end, which makes up for one
// that was not: a client with many requests, such as a proxy, also cancels many.
func (s *Stream) served() {
	if c := s.c; c.server && !s.counted {
		c.cancels.used = max(0, c.cancels.used-1)
	}
}

// wasted notes that a request of the client has come to nothing, once for each.
func (s *Stream) wasted() {
	c := s.c
	if !c.server || s.counted || c.cfg.MaxCancels < 0 {
		return
	}
	s.counted = true
	if !c.cancels.take(c.now, c.cfg.MaxCancels) {
		c.stats.Floods++
		c.fail(&Error{ExcessiveLoad, "too many requests that come to nothing"})
	}
}
