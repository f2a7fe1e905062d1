package conn

import (
	"errors"
	"testing"
	"time"
)

// Timeouts, and the timer of the application (RFC 9000, Section 10.1).

func idleAfter(conn, peer time.Duration) func(*testSetup) {
	return func(s *testSetup) { s.conn.MaxIdleTimeout, s.peer.MaxIdleTimeout = conn, peer }
}

func TestIdleTimeout(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		for _, test := range []struct{ conn, peer, want time.Duration }{
			{10 * time.Second, 20 * time.Second, 10 * time.Second},
			{20 * time.Second, 10 * time.Second, 10 * time.Second},
			{10 * time.Second, -1, 10 * time.Second},
			{-1, 10 * time.Second, 10 * time.Second},
		} {
			tc := newTestConn(t, server, idleAfter(test.conn, test.peer))
			tc.write(paddingFrames(1))
			tc.wantTimer("the smaller of both values", test.want)
			tc.advance(test.want - 1)
			tc.wantOpen("not yet")
			tc.write(paddingFrames(1))
			tc.wantTimer("each packet that comes starts it again", test.want)
			tc.advanceToTimer()
			err := tc.wantEnd("nothing came")
			if !errors.Is(err, ErrIdleTimeout) {
				t.Errorf("%v", err)
			}
			tc.wantIdle("nobody is told") // RFC 9000, Section 10.1
			if n := tc.e.Stats(); n.IdleTimeouts != 1 || n.Conns != 0 {
				t.Errorf("%+v", n)
			}
			if len(tc.e.routes.ids) != 0 {
				t.Errorf("%d routes are left", len(tc.e.routes.ids))
			}
		}
	})
}

func TestNoIdleTimeout(t *testing.T) {
	tc := newTestConn(t, true, idleAfter(-1, -1))
	tc.giveBack()
	if at := tc.e.Timeout(); !at.IsZero() {
		t.Errorf("a timer is set for %v", at.Sub(tc.now))
	}
}

// TestIdleTimeoutAndSending: after a packet has come, the first ack-eliciting packet that is sent
// starts the timeout again. Later ones do not.
func TestIdleTimeoutAndSending(t *testing.T) {
	tc := newTestConn(t, false, idleAfter(10*time.Second, 10*time.Second))
	tc.write(paddingFrames(1))
	tc.advance(6 * time.Second)
	s := tc.open(Uni)
	tc.writeStream(s, "anybody there?")
	tc.advance(6 * time.Second)
	tc.wantOpen("sending started it again")
	tc.writeStream(s, "hello?")
	tc.advance(4 * time.Second)
	if !tc.c.closed {
		t.Error("sending without an answer keeps the connection") // RFC 9000, Section 10.1
	}
}

// TestIdleTimeoutIsLongEnough: it is at least three probe timeouts (RFC 9000, Section 10.1).
// RFC 9000, Section 10.1 [1].
func TestIdleTimeoutIsLongEnough(t *testing.T) {
	tc := newTestConn(t, false)
	tc.c.idle = time.Millisecond
	tc.c.path.rtt.smoothed = time.Second
	tc.write(paddingFrames(1))
	if d := tc.timer(); d < 3*time.Second {
		t.Errorf("the connection ends in %v", d)
	}
}

func TestKeepAlive(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, idleAfter(10*time.Second, 10*time.Second), func(s *testSetup) { s.conn.KeepAlive = 3 * time.Second })
		tc.write(paddingFrames(1))
		tc.flush()
		for range 10 {
			tc.wantTimer("a while after the last packet", 3*time.Second)
			tc.advanceToTimer()
			tc.wantFrame("a PING", pingFrame())
			tc.wantIdle("one")
			tc.ackAll()
		}
		tc.wantOpen("it lives")
		tc.advance(20 * time.Second)
		if !errors.Is(tc.wantEnd("the peer is gone"), ErrIdleTimeout) {
			t.Errorf("%v", tc.c.err)
		}
	})
}

// TestSetKeepAlive: an application can keep a connection alive for a while.
func TestSetKeepAlive(t *testing.T) {
	tc := newTestConn(t, false, idleAfter(10*time.Second, 10*time.Second))
	tc.write(paddingFrames(1))
	tc.c.SetKeepAlive(3 * time.Second)
	tc.flush()
	tc.wantTimer("a while after the last packet", 3*time.Second)
	tc.advanceToTimer()
	tc.wantFrame("a PING", pingFrame())
	tc.ackAll()
	tc.c.SetKeepAlive(0)
	tc.wantTimer("no PING, but the idle timeout", 10*time.Second)
	tc.wantIdle("nothing else")
}

// TestKeepAliveFollowsIdleTimeout: an interval that is too long is shortened to half of the idle
// timeout.
func TestKeepAliveFollowsIdleTimeout(t *testing.T) {
	tc := newTestConn(t, true, idleAfter(30*time.Second, 4*time.Second), func(s *testSetup) { s.conn.KeepAlive = 20 * time.Second })
	tc.write(paddingFrames(1))
	tc.wantTimer("half of it", 2*time.Second)
}

func TestApplicationTimer(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.c.SetTimer(tc.now.Add(time.Second))
		tc.c.SetTimer(tc.now.Add(2 * time.Second)) // there is one
		tc.wantTimer("as it was set last", 2*time.Second)
		tc.advanceToTimer()
		tc.wantEvent("it is due", EventTimer)
		tc.wantNoEvent("once")
		tc.c.SetTimer(tc.now.Add(time.Second))
		tc.c.SetTimer(time.Time{})
		tc.advance(5 * time.Second)
		tc.wantNoEvent("it was stopped")
		tc.c.SetTimer(tc.now.Add(-time.Hour))
		if d := tc.timer(); d > 0 {
			t.Errorf("a time that is past is due in %v", d)
		}
		tc.advance(0)
		tc.wantEvent("a time that is past is due at once", EventTimer)
		tc.c.Close(0, "")
		tc.c.SetTimer(tc.now.Add(time.Second))
		tc.events = nil
		tc.advance(5 * time.Second)
		if tc.hasEvent(EventTimer) {
			t.Error("the timer of a closed connection")
		}
	})
}

// TestTimersWithoutEnd: whatever is configured, timers do not fire without end at one instant.
func TestTimersWithoutEnd(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, idleAfter(time.Hour, time.Hour), func(s *testSetup) {
			s.conn.KeepAlive = time.Minute
			s.peer.MaxDatagramFrameSize = 1000
		})
		s := tc.open(Uni)
		s.Write(make([]byte, 200<<10))
		tc.c.SendDatagram([]byte("old"), DatagramOptions{MaxAge: time.Second})
		tc.write(pingFrame())
		tc.advance(10 * time.Minute) // this fails if a timer is due for ever
		tc.flush()
		tc.ackAll()
		tc.advance(10 * time.Minute)
		tc.wantOpen("the idle timeout is an hour")
		if n := tc.c.stats.PTOs; n > 60 {
			t.Errorf("%d probe timeouts in 20 minutes", n)
		}
	})
}

// TestBlockedSenderSaysSo: a sender without credit tells the peer.
// RFC 9000, Section 4.1 [4]; RFC 9000, Section 19.12 [1]; RFC 9000, Section 19.13 [1].
func TestBlockedSenderSaysSo(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxData = -1 })
	s := tc.open(Uni)
	tc.writeStream(s, "x")
	tc.wantFrame("it says so", dataBlockedFrame(0))
	tc.ackAll()
	tc.wantIdle("once is enough: the peer knows")
}
