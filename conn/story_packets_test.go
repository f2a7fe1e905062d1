package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// Packets in datagrams, their numbers, and transport parameters (RFC 9000, Sections 12 and 18.2).

// TestCoalescedPackets: of the packets in a datagram each counts by itself. One does not open, and
// one goes to another connection ID of the same connection, as everything behind it then might.
// RFC 9000, Section 12.2 [1, 4, 5, 6].
func TestCoalescedPackets(t *testing.T) {
	tc := handshakeConn(t, true)
	tc.flush()
	packet := func(p testPacket) []byte {
		p.space, p.frames = spaceHandshake, []frame{pingFrame()}
		return tc.seal(p)
	}
	first := tc.next[spaceHandshake]
	b := packet(testPacket{})
	broken := packet(testPacket{})
	broken[len(broken)-1] ^= 1
	b = append(append(b, broken...), packet(testPacket{})...)
	other := tc.c.firstDCID()
	require.NotEqual(t, other, tc.dcid)
	b = append(append(b, packet(testPacket{dcid: &other})...), packet(testPacket{})...)
	tc.deliver(b, tc.peerAddr, NotECT)
	tc.collect()
	want := ackFrame(rangeString(first+2, first+2) + " " + rangeString(first, first))
	for _, p := range tc.queue {
		for _, f := range p.frames {
			if p.space == spaceHandshake && f.typ == wire.FrameAck {
				require.Equal(t, want, f)
				return
			}
		}
	}
	t.Fatalf("no acknowledgement: %v", tc.queue)
}

// TestIDsOfCoalescedPackets: the packets of a datagram go to one connection ID.
// RFC 9000, Section 12.2 [3].
func TestIDsOfCoalescedPackets(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := handshakeConn(t, server)
		most := 0
		for _, d := range tc.datagrams {
			most = max(most, len(d.packets))
			for _, p := range d.packets {
				require.Equal(t, string(d.packets[0].dcid), string(p.dcid))
			}
		}
		if server {
			require.Greater(t, most, 1)
		}
	})
}

// TestFramesOfHandshakePackets: Initial and Handshake packets have the frames alone that belong
// there.
// RFC 9000, Section 12.5 [2].
func TestFramesOfHandshakePackets(t *testing.T) {
	check := func(tc *testConn) {
		t.Helper()
		seen := map[PacketType]bool{}
		for _, d := range tc.datagrams {
			for _, p := range d.packets {
				if seen[p.typ] = true; p.typ != PacketInitial && p.typ != PacketHandshake {
					continue
				}
				for _, f := range p.frames {
					require.NotZero(t, uint64(framesHandshake)>>f.typ&1, "%v", f)
				}
			}
		}
		require.True(t, seen[PacketInitial] && seen[PacketHandshake])
	}
	check(handshakeServer(t))
	tc := startTestConn(t, false)
	tc.exchange(func() bool { return tc.c.state == stateComplete })
	tc.collect()
	check(tc)
}

// TestNumbersRunOut: the last packet number was used. The connection ends, and sends nothing.
// RFC 9000, Section 12.3 [3].
func TestNumbersRunOut(t *testing.T) {
	tc := newTestConn(t, true)
	tc.c.app.sent.next = maxLimit
	tc.writeStream(tc.open(Uni), "too late")
	require.Empty(t, drainEndpoint(tc.e, tc.now, tc.buf))
	require.True(t, tc.c.closed)
	require.Error(t, tc.c.Err())
}

// TestParamsOfHonestSides: what the sides say of themselves. The parser takes a parameter of
// servers from nobody else.
// RFC 9000, Section 18.2 [1, 7, 9].
func TestParamsOfHonestSides(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		p, err := wire.ParseParams(tc.c.localParams(Version1), server)
		require.NoError(t, err)
		require.GreaterOrEqual(t, p.ActiveConnIDLimit, uint64(2))
		if !server {
			require.Nil(t, p.ResetToken)
			require.Nil(t, p.OriginalDCID)
			require.Nil(t, p.RetrySCID)
			require.Nil(t, p.Preferred)
		}
	})
}

// TestNoPreferredAddressWithoutIDs: where connection IDs are empty, there is none for a preferred
// address, and so there is no such address.
// RFC 9000, Section 18.2 [4, 5].
func TestNoPreferredAddressWithoutIDs(t *testing.T) {
	for _, empty := range []bool{true, false} {
		tc := newTestConn(t, false, func(s *testSetup) {
			if s.conn.PreferredAddress4 = elsewhere(9); empty {
				s.endpoint.ConnIDs = emptyIDs{}
			}
		})
		tc.c.addPreferredID() // as a server does when it accepts
		require.Equal(t, !empty, tc.c.preferredAddress() != nil)
	}
}
