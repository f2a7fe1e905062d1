package conn

import "time"

// suspectsPerSecond is how many suspicious frames of a connection each second forgives.
const suspectsPerSecond = 100

// A suspicion counts frames that an honest peer sends rarely, whatever it does: those of connection
// IDs, paths and tokens. Each is cheap, but nothing comes of many of them (RFC 9000, Section 21.9).
type suspicion struct {
	frames int     // that are not forgiven
	since  instant // up to which time has forgiven
}

// note counts a frame. It reports false if more than limit frames are not forgiven.
// RFC 9000, Section 21.9 [1].
func (s *suspicion) note(now instant, limit int) bool {
	const each = time.Second / suspectsPerSecond
	if n := now.sub(s.since) / each; n > 0 {
		s.frames = max(s.frames-int(min(n, 1<<30)), 0)
		s.since = s.since.add(n * each)
	}
	s.frames++
	return s.frames <= limit
}

// suspect notes a frame of a type that is rare. The error ends the connection.
func (c *Conn) suspect(now instant, typ uint64) error {
	c.stats.SuspiciousFrames++
	if c.suspects.note(now, c.cfg.MaxSuspiciousFrames) {
		return nil
	}
	return violation(errInternal, typ, "more than %d suspicious frames", c.cfg.MaxSuspiciousFrames)
}
