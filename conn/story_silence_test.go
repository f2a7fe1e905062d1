package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// TestSilence: after three probe timeouts without an answer a peer is silent. That is reported
// once. An ACK ends the silence.
func TestSilence(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameStream, wire.FramePing, wire.FramePadding, wire.FrameAck)
		for range 2 {
			s := tc.open(Uni)
			tc.writeStream(s, "is anybody there?")
			tc.flush()
			for range 2 {
				tc.advanceToTimer()
				tc.flush()
				tc.wantNoEvent("it may be loss")
			}
			if tc.c.Silent() {
				t.Error("two probe timeouts are silence")
			}
			tc.advanceToTimer()
			tc.wantEvent("there is no answer", EventSilent)
			if !tc.c.Silent() {
				t.Error("the peer is silent, and Silent does not say so")
			}
			tc.advanceToTimer()
			tc.flush()
			tc.wantNoEvent("that is known")
			tc.ackAll()
			tc.wantEvent("there is one", EventAnswered)
			if tc.c.Silent() {
				t.Error("the peer has answered, and Silent does not say so")
			}
		}
	})
}

// TestPauseIsNotSilence: the machine of a server nearby is busy, and the server is away for 300 ms.
// It misses more than three probe timeouts, but is not silent yet.
func TestPauseIsNotSilence(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameStream, wire.FramePing, wire.FramePadding, wire.FrameAck)
	for range 50 { // the round trip is known to be short
		s := tc.open(Uni)
		tc.writeStream(s, "hello")
		tc.flush()
		tc.advance(100 * time.Microsecond)
		tc.ackAll()
	}
	s := tc.open(Uni)
	tc.writeStream(s, "is anybody there?")
	tc.flush()
	start := tc.now
	for tc.now.Add(max(tc.timer(), 0)).Sub(start) < 300*time.Millisecond {
		tc.advanceToTimer()
		tc.flush()
		tc.wantNoEvent("it may be a pause")
	}
	if n := tc.c.timeouts.count; n < silentAfter {
		t.Fatalf("%d probe timeouts: the test shows nothing", n)
	}
	for !tc.c.Silent() && tc.now.Sub(start) < 2*time.Second {
		tc.advanceToTimer()
		tc.flush()
	}
	tc.wantEvent("this is none", EventSilent)
}

// TestNothingAsked: a stream on which a client has asked nothing keeps no connection alive.
func TestNothingAsked(t *testing.T) {
	for _, ask := range []bool{false, true} {
		tc := newTestConn(t, false)
		first := tc.open(Uni)
		tc.writeStream(first, "hello")
		s := tc.open(Bidi)
		if ask {
			tc.writeStream(s, "question")
		}
		tc.flush()
		tc.ackAll()
		before := tc.lastSent()
		tc.advance(3 * time.Second)
		if pings := tc.lastSent() - before; pings > 0 != ask {
			t.Errorf("asked %v: %d packets", ask, pings)
		}
	}
}
