package conn

import (
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// Bytes that were written and never sent.

// TestTakeBack: what was not sent can be taken back, and what is written then takes its place.
func TestTakeBack(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxStreamData = 5 })
	s := tc.open(Uni)
	if s.Credit() != 5 || s.Sent() != 0 {
		t.Errorf("Credit = %d, Sent = %d", s.Credit(), s.Sent())
	}
	tc.writeStream(s, "hello world")
	if n := s.TakeBack(3); n != 3 {
		t.Errorf("took back %d bytes", n)
	}
	tc.wantFrame("what the peer allows", streamFrame(s.ID(), 0, "hello"))
	tc.ignore(wire.FrameStreamDataBlocked)
	if s.Credit() != 0 || s.Sent() != 5 {
		t.Errorf("Credit = %d, Sent = %d", s.Credit(), s.Sent())
	}
	s.NotifyUnsent(2)
	tc.wantNoEvent("3 bytes are unsent")
	if n := s.TakeBack(100); n != 3 || s.Unsent() != 0 {
		t.Errorf("took back %d bytes, %d are unsent", n, s.Unsent())
	}
	tc.wantEvent("none is unsent", EventStreamWritable)
	tc.write(maxStreamDataFrame(s.ID(), 100))
	tc.wantIdle("nothing is left")
	tc.writeStream(s, "!")
	tc.ignore(wire.FrameAck)
	tc.wantFrame("the next byte", streamFrame(s.ID(), 5, "!"))
	tc.writeStream(s, "end")
	tc.must(s.CloseWrite())
	if n := s.TakeBack(1); n != 0 {
		t.Errorf("took back %d bytes before the end", n)
	}
	tc.wantFrame("all of it", finFrame(s.ID(), 6, "end"))
	s = tc.open(Uni)
	tc.writeStream(s, "abc")
	tc.flush()
	s.Reset(1)
	if s.Sent() != 3 {
		t.Errorf("Sent = %d after Reset", s.Sent())
	}
	s = tc.open(Uni)
	tc.writeStream(s, "hello world")
	tc.flush()
	tc.c.Close(0, "")
	if s.Sent() != 5 || s.TakeBack(1) != 0 {
		t.Errorf("Sent = %d after Close", s.Sent())
	}
}

// TestNotifyUnsent: the event comes at the mark that was asked for, and the next one at half of
// Config.UnsentBytes again.
func TestNotifyUnsent(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxStreamData = 100; s.conn.UnsentBytes = 1000 })
	s := tc.open(Uni)
	tc.writeStream(s, strings.Repeat("x", 900))
	s.NotifyUnsent(700)
	tc.flush()
	tc.wantNoEvent("800 bytes are unsent")
	tc.write(maxStreamDataFrame(s.ID(), 200))
	tc.flush()
	tc.wantEvent("700 bytes are unsent", EventStreamWritable)
	tc.write(maxStreamDataFrame(s.ID(), 300))
	tc.flush()
	tc.wantNoEvent("nobody asked again")
	s.NotifyUnsent(600)
	tc.wantEvent("600 bytes are unsent already", EventStreamWritable)
	if n, err := s.Write(make([]byte, 500)); n != 400 || err != ErrWouldBlock {
		t.Fatalf("Write took %d bytes: %v", n, err)
	}
	tc.write(maxStreamDataFrame(s.ID(), 700))
	tc.flush()
	tc.wantNoEvent("600 bytes are unsent")
	tc.write(maxStreamDataFrame(s.ID(), 800))
	tc.flush()
	tc.wantEvent("half of UnsentBytes", EventStreamWritable)
}
