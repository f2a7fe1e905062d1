package h3

import "time"

// cancelPeriod is the time in which a client gets all of Config.MaxCancels back.
const cancelPeriod = 30 * time.Second

// A cancelBucket bounds how fast a client may make requests that come to nothing. Each request that
// it cancels, or that breaks a rule, costs a token.
type cancelBucket struct {
	used   float64   // tokens that were taken
	filled time.Time // the time for which used holds
}

// take takes one of size tokens. It reports false if there was none left.
func (b *cancelBucket) take(now time.Time, size int64) bool {
	back := float64(size) * now.Sub(b.filled).Seconds() / cancelPeriod.Seconds()
	b.used, b.filled = max(0, b.used-back), now
	b.used++
	return b.used <= float64(size)
}

// served notes that a request of the client was answered to the end. It makes up for one that was
// not, because a client with many requests, such as a proxy, also cancels many.
func (s *Stream) served() {
	if c := s.c; c.server && !s.counted {
		c.cancels.used = max(0, c.cancels.used-1)
	}
}

// wasted notes that a request of the client has come to nothing. It counts each request once.
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
