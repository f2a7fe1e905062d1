package conn

import (
	"testing"
	"time"
)

// TestSuspiciousFrames: a peer may send many frames of the rare types at once, and some all the
// time, but not many all the time.
// RFC 9000, Section 21.9 [1].
func TestSuspiciousFrames(t *testing.T) {
	const limit = 1000
	sides(t, func(t *testing.T, server bool) {
		suspicious := []func(i int) frame{
			func(int) frame { return challengeFrame("12345678") },
			func(int) frame { return newIDFrame(4, 1, "an ID") },
		}
		if !server {
			suspicious = append(suspicious, func(int) frame { return newTokenFrame("token") })
		}
		for _, f := range suspicious {
			usual := func(s *testSetup) { s.conn.MaxSuspiciousFrames = 0 }
			tc := newTestConn(t, server, usual)
			burst := func(n int) {
				for i := range n {
					if tc.write(f(i)); i%50 == 0 {
						tc.flush()
					}
				}
			}
			name := f(0).String()
			before := tc.c.Stats().SuspiciousFrames
			burst(limit - 10)
			tc.wantOpen(name + ": a burst within the limit")
			if n := tc.c.Stats().SuspiciousFrames - before; n != limit-10 {
				t.Errorf("%s: %d of %d frames were counted", name, n, limit-10)
			}
			for range 20 {
				tc.advance(time.Second)
				burst(suspectsPerSecond - 5)
			}
			tc.wantOpen(name + ": as many as each second forgives")
			for i := range limit + 1 {
				tc.write(f(i))
			}
			tc.wantClosed(name+": a burst beyond the limit", errInternal)
		}
	})
}

// TestSuspicionForgives: time forgives up to all frames, and never more.
func TestSuspicionForgives(t *testing.T) {
	var s suspicion
	now := instant(epochOffset)
	for i := range 5 {
		if !s.note(now, 5) {
			t.Fatalf("frame %d is one too many", i)
		}
	}
	if s.note(now, 5) {
		t.Error("6 frames of 5")
	}
	now = now.add(time.Hour)
	for i := range 5 {
		if !s.note(now, 5) {
			t.Fatalf("after an hour frame %d is one too many", i)
		}
	}
	if s.note(now.add(time.Second/suspectsPerSecond-1), 5) {
		t.Error("a moment forgave a frame")
	}
}
