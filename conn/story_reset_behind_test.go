package conn

import (
	"errors"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// ResetBehind: everything that was written arrives, and then the reset.

// TestResetBehindWaits: the peer does not know RESET_STREAM_AT. It gets RESET_STREAM when it has
// acknowledged everything that was written, however often packets are lost.
func TestResetBehindWaits(t *testing.T) {
	tc := newTestConn(t, true)
	tc.c.peer.ResetStreamAt = false
	s := tc.open(Uni)
	tc.writeStream(s, "flushed")
	s.ResetBehind(7)
	if _, err := s.Write([]byte("more")); !errors.As(err, new(*StreamError)) {
		t.Errorf("Write behind the end returned %v", err)
	}
	p := tc.wantFrame("what was written goes out", streamFrame(s.ID(), 0, "flushed"))
	tc.wantIdle("the reset would overtake it")
	tc.lostByGap(p)
	tc.wantFrame("it was lost", streamFrame(s.ID(), 0, "flushed"))
	tc.ackAll()
	tc.wantFrame("it has arrived", resetStreamFrame(s.ID(), 7, 7))
	tc.wantNoEvent("the reset has not")
	tc.ackAll()
	if ev := tc.wantEvent("now it has", EventStreamAcked); ev.Stream != s {
		t.Errorf("the event is of %v", ev.Stream)
	}
	s.Release()
	tc.wantIdle("it is over")

	s = tc.open(Uni)
	s.ResetBehind(8)
	tc.wantFrame("nothing was written", resetStreamFrame(s.ID(), 8, 0))
}

// TestResetBehindAt: other peers get RESET_STREAM_AT.
func TestResetBehindAt(t *testing.T) {
	tc := newTestConn(t, true)
	s := tc.open(Uni)
	tc.writeStream(s, "flushed")
	s.ResetBehind(7)
	tc.wantFrame("what was written goes out", streamFrame(s.ID(), 0, "flushed"))
	f, _ := tc.wantType("the reset does not wait for an ACK", wire.FrameResetStreamAt)
	if want := [5]uint64{uint64(s.ID()), 7, 7, 7}; f.v != want {
		t.Errorf("RESET_STREAM_AT with %v, want %v", f.v, want)
	}
	tc.ackAll()
	tc.wantEvent("all has arrived", EventStreamAcked)
	s.Release()
	tc.wantIdle("it is over")
}

// TestResetBehindIsGivenUp: Reset ends the wait at once, and so does a peer that does not want the
// rest.
func TestResetBehindIsGivenUp(t *testing.T) {
	for _, stop := range []bool{false, true} {
		for _, knows := range []bool{false, true} {
			tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxStreamData = 4 })
			tc.c.peer.ResetStreamAt = knows
			s := tc.open(Uni)
			tc.writeStream(s, "flushed")
			s.ResetBehind(7)
			tc.ignore(wire.FrameStreamDataBlocked, wire.FrameAck)
			tc.wantFrame("as much as the peer allows", streamFrame(s.ID(), 0, "flus"))
			tc.wantIdle("the rest waits for credit")
			if stop {
				tc.write(stopSendingFrame(s.ID(), 9))
			} else {
				s.Reset(9)
			}
			tc.wantFrame("it is given up", resetStreamFrame(s.ID(), 7, 4))
		}
	}
}
