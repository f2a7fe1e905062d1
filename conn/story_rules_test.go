package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// TestStreamIDsAreUsedOnce: a stream that is over leaves its memory to the next one, but not its
// ID. RFC 9000, Section 2.1 [1].
func TestStreamIDsAreUsedOnce(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		seen := make(map[StreamID]bool)
		for range 20 {
			s := tc.open(Uni)
			require.False(t, seen[s.ID()])
			seen[s.ID()] = true
			tc.writeStream(s, "x")
			tc.must(s.CloseWrite())
			tc.flush()
			tc.ackAll()
			s.Release()
			require.Empty(t, tc.c.streams.all)
		}
	})
}

// TestStopSendingBehindReset: nobody is asked to stop what was reset. RFC 9000, Section 3.5 [5].
func TestStopSendingBehindReset(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		id := tc.theirs(Uni, 0)
		tc.write(streamFrame(id, 0, "some"))
		s := tc.stream(id)
		tc.write(resetStreamFrame(id, 1, 10))
		s.StopSending(5)
		tc.ignore(wire.FrameAck)
		tc.wantIdle("the peer has stopped already")
	})
}

// TestLimitsNeverShrink: a frame with a lower limit than one before is out of date. RFC 9000,
// Section 4.1 [3].
func TestLimitsNeverShrink(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		s := tc.open(Uni)
		stream, all := s.sendMax, tc.c.flow.sendMax
		tc.write(frame{typ: wire.FrameMaxData, v: [5]uint64{1}}, frame{typ: wire.FrameMaxStreamData, v: [5]uint64{uint64(s.ID()), 1}})
		require.Equal(t, stream, s.sendMax)
		require.Equal(t, all, tc.c.flow.sendMax)
		tc.writeStream(s, "more than a byte")
		tc.ignore(wire.FrameAck)
		tc.wantFrame("the old limits hold", streamFrame(s.ID(), 0, "more than a byte"))
	})
}

// TestResetLeavesTheOtherDirection: the account of what the peer sends goes on after this side has
// reset its own direction. RFC 9000, Section 4.4 [1].
func TestResetLeavesTheOtherDirection(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) { s.conn.InitialMaxStreamData = 10 })
		id := tc.theirs(Bidi, 0)
		tc.write(streamFrame(id, 0, "01234"))
		tc.stream(id).Reset(1)
		tc.flush()
		tc.ackAll()
		tc.write(streamFrame(id, 5, "56789"))
		tc.wantOpen("it is within the limit")
		tc.write(streamFrame(id, 10, "a"))
		tc.wantClosed("it is not", errFlowControl)
	})
}
