package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// TestSilence: three probe timeouts without an answer make a peer silent, once, and an ACK makes it
// answer again.
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
