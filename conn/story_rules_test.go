package conn

import (
	"crypto/tls"
	"testing"

	"github.com/lazoquic/lazo/internal/keys"
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
// RFC 9000, Section 13.3 [5].
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

// TestResetTokensOfOtherIDs: the reset token of a connection ID that was never used, or that is
// retired, resets nothing. That of the one in use does, and nothing is sent any more. RFC 9000,
// Section 10.3.1 [2, 4].
func TestResetTokensOfOtherIDs(t *testing.T) {
	tc := newTestConn(t, true)
	reset := func(token [16]byte) {
		b := append([]byte{0x41}, make([]byte, 40)...)
		copy(b[1:], tc.c.local.ids[0].id.bytes())
		copy(b[len(b)-16:], token[:])
		tc.deliver(b, tc.peerAddr, NotECT)
	}
	old, unused := tc.c.remote.ids[0], tc.c.remote.ids[1]
	require.True(t, unused.hasToken)
	reset(unused.token)
	tc.wantOpen("the token of an ID that was never used")
	tc.c.path.peerID = peerID{}
	tc.c.assignIDs()
	require.Equal(t, unused.id, tc.c.remote.ids[0].id)
	if old.hasToken {
		reset(old.token)
		tc.wantOpen("the token of a retired ID")
	}
	tc.writeStream(tc.open(Uni), "to be sent")
	reset(unused.token)
	require.True(t, tc.c.closed)
	require.Equal(t, ErrStatelessReset, tc.c.err)
	tc.takeDatagrams()
	tc.collect()
	require.Empty(t, tc.datagrams)
}

// TestEarlyPacketsKeepToOldLimits: a client has learned the new limits of the server, and has no
// 1-RTT keys. It sends no 0-RTT packets that only the new limits allow. RFC 9000, Section 7.4.1
// [9, 10].
func TestEarlyPacketsKeepToOldLimits(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.conn.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s.peer.InitialMaxData = 3000
	})
	cfg := tc.c.cfg
	tc.c.Close(0, "")
	tc.flush()
	tc.rx, tc.tx = [numSpaces]*keys.Keys{}, [numSpaces]*keys.Keys{}
	tc.c, tc.events = tc.dial(tc.e, Target{Remote: tc.peerAddr, Local: tc.addr}, cfg), nil
	s := tc.open(Uni)
	s.Write(make([]byte, 5000))
	tc.collect()
	require.EqualValues(t, 3000, tc.c.flow.sent)
	sent := tc.c.stats.BytesSent

	c := tc.c
	p := wire.DefaultParams()
	p.InitialSCID, p.OriginalDCID = c.remote.handshake.bytes(), c.origin.bytes()
	p.MaxData, p.MaxStreamDataUni, p.MaxStreamsUni, p.MaxStreamsBidi = 1<<20, 1<<20, 100, 100
	tc.must(c.peerParams(wire.AppendParams(nil, &p, 1)))
	tc.collect()
	require.EqualValues(t, 3000, c.flow.sent)
	require.Equal(t, sent, c.stats.BytesSent)
}
