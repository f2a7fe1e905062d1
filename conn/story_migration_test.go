package conn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// The path that a client has left, and the preferred address of a server (RFC 9000, Sections 9.3.3
// and 9.6.2).

// leftChallenges returns the PATH_CHALLENGE frames that went where the peer was, and forgets them.
func (tc *testConn) leftChallenges() (data []string) {
	tc.t.Helper()
	tc.collect()
	for _, p := range tc.onLeft {
		for _, f := range p.frames {
			if f.typ == wire.FramePathChallenge {
				data = append(data, f.data)
			}
		}
	}
	tc.onLeft = nil
	return data
}

// moveAway makes the client of a server move to elsewhere(1), and returns the data of the challenge
// there.
func (tc *testConn) moveAway() string {
	tc.t.Helper()
	tc.left = tc.peerAddr
	tc.writeFrom(elsewhere(1), 1200, pingFrame())
	data, to := tc.challengeOf("a client that has moved is asked whether it is there")
	require.Equal(tc.t, elsewhere(1), to)
	return data
}

// TestLeftPathIsValidated: the server asks on the path that its client seems to have left too, with
// the connection ID of that path. The answer ends this. RFC 9000, Section 9.3.3 [1]; RFC 9000,
// Section 9.5 [2].
func TestLeftPathIsValidated(t *testing.T) {
	tc := newTestConn(t, true)
	old := *tc.c.remote.current()
	data := tc.moveAway()
	require.NotEqual(t, string(old.bytes()), string(tc.current.dcid))
	require.Len(t, tc.onLeft, 1)
	p := tc.onLeft[0]
	require.Equal(t, minMTU, p.burst.N)
	require.Equal(t, string(old.bytes()), string(p.dcid))
	asked := tc.leftChallenges()
	require.Len(t, asked, 1)

	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	tc.wantEvent("the new path is validated", EventPathChanged)
	require.NotNil(t, tc.c.oldPath)
	tc.advance(tc.c.oldPath.rtt.pto())
	require.Len(t, tc.leftChallenges(), 1) // a lost one is sent again
	tc.write(responseFrame(asked[0]))
	require.Equal(t, elsewhere(1), tc.c.RemoteAddr())
	tc.flush()
	tc.advance(10 * time.Second)
	require.Nil(t, tc.c.oldPath)
	require.Empty(t, tc.leftChallenges())
	for _, x := range tc.c.remote.ids {
		require.NotEqual(t, old, x.id) // RFC 9000, Section 5.1.2 [1]
	}
}

// TestLeftPathIsDead: nobody answers on the path that the client has left. It is forgotten.
func TestLeftPathIsDead(t *testing.T) {
	tc := newTestConn(t, true)
	data := tc.moveAway()
	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	tc.wantEvent("the new path is validated", EventPathChanged)
	tc.advance(5 * time.Second)
	require.Len(t, tc.leftChallenges(), challengeTries)
	require.Nil(t, tc.c.oldPath)
	require.Equal(t, elsewhere(1), tc.c.RemoteAddr())
	require.False(t, tc.c.path.challenge.active)
}

// TestForwardedPackets: an attacker off the path forwards packets of a client faster than the
// network does, answers included. The challenge on the path that the client really has brings a
// packet from there, and the server goes back. RFC 9000, Section 9.3.3 [1].
func TestForwardedPackets(t *testing.T) {
	tc := newTestConn(t, true)
	old := *tc.c.remote.current()
	data := tc.moveAway()
	tc.writeFrom(elsewhere(1), 0, responseFrame(data)) // forwarded
	tc.wantEvent("the path of the attacker works", EventPathChanged)
	asked := tc.leftChallenges()
	require.Len(t, asked, 1)
	tc.flush()
	tc.left = netip.AddrPort{}

	// this one overtakes its copy
	tc.write(responseFrame(asked[0]), tc.ackOf(spaceApp))
	ev := tc.wantEvent("the client is where it was", EventPathChanged)
	require.Equal(t, tc.peerAddr, ev.Remote)
	require.Equal(t, tc.peerAddr, tc.c.RemoteAddr())
	require.Equal(t, old, *tc.c.remote.current())
	_, to := tc.challengeOf("this begins anew: the path of the attacker is the one that was left")
	require.Equal(t, elsewhere(1), to)
	require.NotEqual(t, string(old.bytes()), string(tc.current.dcid))
}

// TestChallengeBringsMore: whoever is asked whether it is there sends something at once that is no
// probe. So an attacker who forwards packets has to be faster with that too.
// RFC 9000, Section 9.3.3 [2].
func TestChallengeBringsMore(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.write(challengeFrame("are you?"))
		tc.wantFrame("the answer", responseFrame("are you?"))
		tc.wantType("and more", wire.FrameAck)
		tc.wantIdle("nothing else")
	})
}

// TestProbesHaveTheirIDs: a client probes two paths. The answers have different connection IDs. RFC
// 9000, Section 9.5 [2].
func TestProbesHaveTheirIDs(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID, wire.FramePathChallenge)
	seen := map[string]bool{string(tc.c.remote.current().bytes()): true}
	for i := range 3 {
		tc.writeFrom(elsewhere(i), 1200, challengeFrame("probe..."))
		p := tc.wantFrame("the probe is answered", responseFrame("probe..."))
		require.Equal(t, elsewhere(i), p.burst.Remote)
		require.False(t, seen[string(p.dcid)], "path %d", i)
		seen[string(p.dcid)] = true
	}
}

// TestClientAnswersWhereItWas: the server asks on the path that its client has left. The answer
// takes that path (RFC 9000, Section 8.2.2 [3]), with a connection ID of its own (RFC 9000, Section
// 9.5 [1]).
func TestClientAnswersWhereItWas(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID, wire.FramePing)
	seen := map[string]bool{string(tc.c.remote.current().bytes()): true}
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	tc.must(tc.c.Migrate(other))
	data, _ := tc.challengeOf("the new path is validated")
	seen[string(tc.current.dcid)] = true
	tc.deliverTo(other, tc.seal(testPacket{space: spaceApp, frames: []frame{responseFrame(data)}}), tc.peerAddr, NotECT)
	tc.wantEvent("the client moves", EventPathChanged)
	tc.flush()
	tc.write(challengeFrame("and now?"))
	p := tc.wantFrame("the client is there still", responseFrame("and now?"))
	require.Equal(t, tc.addr, p.burst.Local)
	require.False(t, seen[string(p.dcid)])
	require.Equal(t, other, tc.c.LocalAddr())
	tc.wantIdle("no more")
}

// TestMoveToPreferredWaits: the client uses the preferred address before the server has validated
// the path from there, because its answers are lost. The server asks again, and sends everything
// else from its first address meanwhile. RFC 9000, Section 9.6.2 [2, 3].
func TestMoveToPreferredWaits(t *testing.T) {
	for _, answered := range []bool{true, false} {
		tc := newTestConn(t, true, func(s *testSetup) { s.conn.PreferredAddress4 = elsewhere(9) })
		tc.ignore(wire.FrameAck, wire.FramePing, wire.FrameRetireConnectionID, wire.FrameNewToken, wire.FrameNewConnectionID)
		from := func(frames ...frame) {
			tc.deliverTo(elsewhere(9), tc.seal(testPacket{space: spaceApp, frames: frames}), tc.peerAddr, NotECT)
		}
		from(pingFrame())
		var data string
		for range 2 {
			f, p := tc.wantType("the path from there is validated", wire.FramePathChallenge)
			require.Equal(t, elsewhere(9), p.burst.Local)
			require.Equal(t, minMTU, p.burst.N)
			require.NotEqual(t, data, f.data)
			data = f.data
			s := tc.open(Uni)
			tc.writeStream(s, "hello")
			p = tc.wantFrame("data goes on", streamFrame(s.ID(), 0, "hello"))
			require.Equal(t, tc.addr, p.burst.Local)
			from(tc.ackOf(spaceApp))
			tc.wantIdle("the challenge may still be answered")
			tc.advance(tc.c.path.rtt.pto())
		}
		tc.wantNoEvent("the server has not moved")
		if !answered {
			tc.advance(10 * time.Second)
			require.Zero(t, tc.c.Stats().PathChanges)
			require.Equal(t, tc.addr, tc.c.LocalAddr())
			require.Nil(t, tc.c.candidate)
			continue
		}
		from(responseFrame(data))
		ev := tc.wantEvent("the path is validated", EventPathChanged)
		require.Equal(t, elsewhere(9), ev.Local)
		tc.flush()
		s := tc.open(Uni)
		tc.writeStream(s, "hello")
		p := tc.wantFrame("data takes it", streamFrame(s.ID(), 0, "hello"))
		require.Equal(t, elsewhere(9), p.burst.Local)
		tc.write(pingFrame())
		tc.wantIdle("a packet at the first address moves nothing")
		require.Equal(t, elsewhere(9), tc.c.LocalAddr())
	}
}

// TestMoveToPreferredOnce: a client probes the preferred address, and sends more there before it
// answers. The server asks twice, and moves once.
func TestMoveToPreferredOnce(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.PreferredAddress4 = elsewhere(9) })
	tc.ignore(wire.FrameAck, wire.FramePing, wire.FrameRetireConnectionID, wire.FrameNewToken, wire.FrameNewConnectionID,
		wire.FramePathResponse)
	from := func(frames ...frame) {
		tc.deliverTo(elsewhere(9), tc.seal(testPacket{space: spaceApp, frames: frames, size: minMTU}), tc.peerAddr, NotECT)
	}
	from(challengeFrame("12345678"))
	first, _ := tc.wantType("the server probes, too", wire.FramePathChallenge)
	from(pingFrame())
	second, _ := tc.wantType("the server validates its preferred address", wire.FramePathChallenge)
	from(responseFrame(first.data))
	from(pingFrame())
	tc.wantEvent("the path is validated", EventPathChanged)
	tc.ignore(wire.FramePathChallenge)
	from(responseFrame(second.data))
	tc.advance(10 * time.Second)
	require.Equal(t, elsewhere(9), tc.c.LocalAddr())
	require.Equal(t, uint64(1), tc.c.Stats().PathChanges)
}

// TestPreferredFromElsewhere: packets come to the preferred address from an address that the client
// did not have before. It may be that of a victim: it gets no more than three times what came from
// there, and the connection goes on where it was. RFC 9000, Section 9.6.3 [3].
func TestPreferredFromElsewhere(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.PreferredAddress4 = elsewhere(9) })
	s := tc.open(Uni)
	_, err := s.Write(make([]byte, 100<<10))
	require.NoError(t, err)
	tc.flush()
	victim, in, went := elsewhere(3), 0, 0
	for range 10 {
		b := tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}, size: 60})
		in += len(b)
		tc.deliverTo(elsewhere(9), b, victim, NotECT)
		tc.advance(100 * time.Millisecond)
		went = tc.bytesOut(victim)
		require.LessOrEqual(t, went, 3*in)
	}
	require.Positive(t, went)
	require.Equal(t, tc.peerAddr, tc.c.RemoteAddr())
	tc.advance(5 * time.Second)
	require.LessOrEqual(t, tc.bytesOut(victim), 3*in)
	require.Nil(t, tc.c.candidate)
	require.Equal(t, tc.peerAddr, tc.c.RemoteAddr())
	require.Equal(t, tc.addr, tc.c.LocalAddr())
}

// TestOldPathGivesNoSamples: a packet is acknowledged late that was sent on the path before. This
// tells nothing about the new path. RFC 9000, Section 9.4 [1].
func TestOldPathGivesNoSamples(t *testing.T) {
	tc := newTestConn(t, true)
	s := tc.open(Uni)
	tc.writeStream(s, "in flight")
	p := tc.wantFrame("data leaves", streamFrame(s.ID(), 0, "in flight"))
	data := tc.moveAway()
	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	pa := tc.c.path
	window, inFlight := pa.cc.Window(), pa.inFlight
	tc.writeFrom(elsewhere(1), 0, ackFrame(rangeString(p.pn, p.pn)))
	require.Zero(t, s.Unsent())
	require.False(t, pa.rtt.sampled)
	require.Equal(t, window, pa.cc.Window())
	require.Equal(t, inFlight, pa.inFlight)
}

// TestServerAddressesAreNotAmplified: packets come from the address of a victim to another address
// of the server than the one in use. What goes there counts, the answers to PATH_CHALLENGE too, and
// each datagram that came counts once. RFC 9000, Section 8.1 [2].
func TestServerAddressesAreNotAmplified(t *testing.T) {
	for _, followed := range []bool{false, true} {
		for _, size := range []int{60, 300, 600} {
			t.Run(fmt.Sprintf("followed %t, %d bytes", followed, size), func(t *testing.T) {
				tc := newTestConn(t, true)
				s := tc.open(Uni)
				_, err := s.Write(make([]byte, 100<<10))
				require.NoError(t, err)
				tc.flush()
				victim, in, went := elsewhere(3), 0, 0
				send := func(to netip.AddrPort, frames ...frame) {
					b := tc.seal(testPacket{space: spaceApp, frames: frames, size: size})
					in += len(b)
					tc.deliverTo(to, b, victim, NotECT)
					tc.advance(50 * time.Millisecond)
					went = tc.bytesOut(victim)
					require.LessOrEqual(t, went, 3*in)
				}
				if followed {
					send(tc.addr, pingFrame())
					require.Equal(t, victim, tc.c.RemoteAddr())
				}
				for range 5 {
					send(elsewhere(9), challengeFrame("answer 1"), challengeFrame("answer 2"), pingFrame())
				}
				require.Positive(t, went)
				tc.advance(5 * time.Second)
				require.LessOrEqual(t, tc.bytesOut(victim), 3*in)
			})
		}
	}
}

// TestAnswersToALeftPathAreNotAmplified: an answer to PATH_CHALLENGE waits for the congestion
// window of a path that is not validated, and a PATH_CHALLENGE takes all that may go there. Then
// the client is where it was before, and nothing counts any more what goes to the other address.
// RFC 9000, Section 8.1 [1].
func TestAnswersToALeftPathAreNotAmplified(t *testing.T) {
	for _, challenges := range []int{1, 3} {
		tc := newTestConn(t, true)
		s := tc.open(Uni)
		_, err := s.Write(make([]byte, 100<<10))
		require.NoError(t, err)
		tc.flush()
		victim := netip.AddrPortFrom(tc.peerAddr.Addr(), 4242) // it shares the window
		frames := []frame{pingFrame()}
		for range challenges {
			frames = append(frames, challengeFrame("answer 1"))
		}
		b := tc.seal(testPacket{space: spaceApp, frames: frames, size: 70})
		tc.deliver(b, victim, NotECT)
		tc.advance(time.Millisecond)
		require.Equal(t, 3*len(b), tc.bytesOut(victim))
		tc.write(pingFrame())
		tc.advance(5 * time.Second)
		require.Equal(t, tc.peerAddr, tc.c.RemoteAddr())
		require.Equal(t, 3*len(b), tc.bytesOut(victim))
	}
}

// TestMoveFromUnvalidatedPath: the server moves to another address of its own while it waits
// whether its client is where it moved to last. The client comes back to there. The server asks it
// again.
func TestMoveFromUnvalidatedPath(t *testing.T) {
	tc := newTestConn(t, true)
	answer := func(to, from netip.AddrPort) {
		tc.collect()
		for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
			if f.typ == wire.FramePathChallenge && tc.current.burst.Remote == from {
				tc.deliverTo(to, tc.seal(testPacket{space: spaceApp, frames: []frame{responseFrame(f.data)}}), from, NotECT)
			}
		}
	}
	tc.writeFrom(elsewhere(1), minMTU, pingFrame())
	tc.flush()
	tc.deliverTo(elsewhere(9), tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}, size: minMTU}), elsewhere(2), NotECT)
	answer(elsewhere(9), elsewhere(2))
	require.Equal(t, elsewhere(2), tc.c.RemoteAddr())
	require.Equal(t, elsewhere(9), tc.c.LocalAddr())
	require.Equal(t, tc.peerAddr, tc.c.oldPath.remote) // the last one that was validated
	tc.flush()
	tc.writeFrom(elsewhere(1), minMTU, pingFrame())
	require.Equal(t, elsewhere(2), tc.c.RemoteAddr())
	answer(tc.addr, elsewhere(1))
	require.Equal(t, elsewhere(1), tc.c.RemoteAddr())
	require.True(t, tc.c.path.validated)
}
