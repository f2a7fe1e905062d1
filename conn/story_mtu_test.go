package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Path MTU discovery (RFC 8899; RFC 9000, Section 14.3).

func searching(s *testSetup) { s.conn.MaxMTU, s.peer.MaxMTU = 1452, 1452 }

// newMTUStory returns a Conn that knows nothing about its path yet.
func newMTUStory(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := newTestConn(t, true, append([]func(*testSetup){searching}, edit...)...)
	tc.ackEverything()
	tc.flush()
	m := &tc.c.path.mtu
	limit := m.limit
	*m = mtuState{}
	m.init(tc.c.cfg)
	m.limitTo(limit)
	tc.c.wake()
	return tc
}

// ackEverything acknowledges all that was ever sent.
func (tc *testConn) ackEverything() {
	tc.t.Helper()
	tc.flush()
	sp := tc.c.spaces[spaceApp]
	if sp.sent.next > sp.sent.oldest() {
		tc.write(ackFrame(rangeString(sp.sent.oldest(), sp.sent.next-1)))
	}
}

// wantProbe wants an MTU probe of so many bytes, and returns it.
func (tc *testConn) wantProbe(why string, size int) *seenPacket {
	tc.t.Helper()
	tc.ignore(wire.FrameAck)
	p := tc.wantFrame(why, pingFrame())
	if p.size != size || p.burst.N != size {
		tc.t.Fatalf("%s: a probe of %d bytes, want %d", why, p.size, size)
	}
	return p
}

// pass lets datagrams of up to size bytes through, and loses larger ones, until no more probes are
// sent. It returns the sizes of the probes.
func (tc *testConn) pass(size int) (probes []int) {
	tc.t.Helper()
	for range 60 {
		tc.collect()
		sent := tc.queue
		tc.queue, tc.unread = nil, nil
		for _, p := range sent {
			if p.burst.N > minMTU {
				probes = append(probes, p.burst.N)
			}
			if p.burst.N > size {
				tc.lose(p)
			}
		}
		if len(sent) == 0 {
			return probes
		}
		for range packetThreshold {
			tc.ping()
		}
		tc.now = tc.now.Add(testRTT)
		tc.queue = nil
		tc.ackAll()
	}
	tc.t.Fatalf("the search does not end: %v", probes)
	return nil
}

// RFC 9000, Section 14.2 [1, 3]; RFC 9000, Section 14.3 [1].
func TestMTUOfAWidePath(t *testing.T) {
	tc := newMTUStory(t)
	tc.wantProbe("the largest size comes first", 1452)
	tc.wantIdle("one probe at a time")
	tc.ackAll()
	if got := tc.c.Stats().MTU; got != 1452 {
		t.Errorf("the MTU is %d", got)
	}
	tc.wantIdle("the search is over")
	s := tc.open(Uni)
	s.Write(make([]byte, 5000))
	if _, p := tc.wantType("packets grow", wire.FrameStream); p.size != 1452 {
		t.Errorf("a packet of %d bytes", p.size)
	}
}

// RFC 9000, Section 14.4 [1].
func TestMTUOfNarrowPaths(t *testing.T) {
	for _, size := range []int{1200, 1201, 1280, 1350, 1400, 1437, 1451} {
		tc := newMTUStory(t)
		cc := &wideController{}
		tc.c.path.cc = cc
		probes := tc.pass(size)
		m := &tc.c.path.mtu
		if m.current > size || m.current+mtuGranularity < size || m.current < minMTU {
			t.Errorf("the MTU is %d on a path of %d: probes %v", m.current, size, probes)
		}
		if len(probes) > 25 {
			t.Errorf("%d probes for a path of %d", len(probes), size)
		}
		if cc.lost > 0 {
			// RFC 9000, Section 14.4
			t.Errorf("lost probes of %d bytes count as congestion", cc.lost)
		}
		tc.advance(20 * time.Second)
		if tc.c.stats.PTOs > 0 {
			t.Errorf("%d probe timeouts", tc.c.stats.PTOs)
		}
	}
}

func TestMTUIsSearchedAgain(t *testing.T) {
	tc := newMTUStory(t, func(s *testSetup) { s.conn.MaxIdleTimeout, s.peer.MaxIdleTimeout = -1, -1 })
	tc.pass(1300)
	tc.flush()
	tc.advance(mtuRaiseAfter)
	tc.ping()
	tc.wantProbe("ten minutes later the path may have changed", 1452)
}

func TestMTUOfThePeer(t *testing.T) {
	tc := newMTUStory(t, func(s *testSetup) { s.peer.MaxMTU = 1300 })
	limit := tc.c.peer.MaxUDPPayload
	if limit >= 1452 {
		tc.c.path.mtu.limitTo(1300) // a peer may state this limit
	}
	tc.wantProbe("never more than the peer takes", 1300)
}

func TestMTUBlackHole(t *testing.T) {
	tc := newMTUStory(t)
	tc.wantProbe("a probe", 1452)
	tc.ackAll()
	s := tc.open(Uni)
	s.Write(make([]byte, 9000))
	tc.collect()
	sent := tc.queue
	tc.queue = nil
	for _, p := range sent {
		tc.lose(p)
	}
	for range packetThreshold {
		tc.ping()
	}
	tc.now = tc.now.Add(testRTT)
	tc.queue = nil
	tc.ackAll()
	if got := tc.c.Stats().MTU; got != minMTU {
		// RFC 8899, Section 4.3
		t.Fatalf("the MTU is %d after %d lost packets larger than %d", got, len(sent), minMTU)
	}
	tc.collect()
	for _, p := range tc.queue {
		if p.frames[0].typ == wire.FrameStream && p.size > minMTU {
			t.Errorf("data is sent again in %d bytes", p.size)
		}
	}
}

// TestMTUBlackHoleInSilence: nothing arrives from some time on.
func TestMTUBlackHoleInSilence(t *testing.T) {
	tc := newMTUStory(t)
	tc.wantProbe("a probe", 1452)
	tc.ackAll()
	s := tc.open(Uni)
	s.Write(make([]byte, 4000))
	tc.flush()
	for range 4 {
		tc.advanceToTimer()
		tc.collect()
	}
	last := tc.datagrams[len(tc.datagrams)-1]
	if len(last.data) > minMTU || tc.c.Stats().MTU != minMTU {
		t.Errorf("after four probe timeouts, datagrams have %d bytes", len(last.data))
	}
}

// TestOrdinaryLossIsNoBlackHole: large packets arrive between those that are lost.
func TestOrdinaryLossIsNoBlackHole(t *testing.T) {
	tc := newMTUStory(t)
	tc.wantProbe("a probe", 1452)
	tc.ackAll()
	tc.c.path.cc = &wideController{}
	s := tc.open(Uni)
	for range 6 {
		s.Write(make([]byte, 20<<10))
		tc.collect()
		for i, p := range tc.queue {
			if i%2 == 0 {
				tc.lose(p)
			}
		}
		tc.queue = nil
		tc.now = tc.now.Add(testRTT)
		tc.ackAll()
	}
	if got := tc.c.Stats().MTU; got != 1452 {
		t.Errorf("the MTU is %d", got)
	}
}

// RFC 9000, Section 14.2 [2].
func TestMTUIsNotSearchedWithoutWish(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ping()
	tc.flush()
	tc.ackAll()
	tc.wantIdle("MaxMTU is InitialMTU")
}

// TestMTULateNewsOfABlackHole: after a black hole, the fate of packets that were sent before it
// does not influence the new search.
func TestMTULateNewsOfABlackHole(t *testing.T) {
	tc := newMTUStory(t)
	tc.wantProbe("a probe", 1452)
	tc.ackAll()
	s := tc.open(Uni)
	s.Write(make([]byte, 1400))
	tc.collect()
	big := tc.queue[0]
	if big.size <= minMTU {
		t.Fatalf("a packet of %d bytes", big.size)
	}
	tc.flush()
	m := &tc.c.path.mtu
	m.limit, m.ceiling = 1500, 1500
	tc.c.wake()
	old := tc.wantProbe("another search", 1500)
	// Both are still on their way when the path seems to be a black hole.
	m.blackHole(tc.c.spaces[spaceApp].sent.next)
	tc.c.wake()
	probe := tc.wantProbe("the search begins again", (minMTU+1451+1)/2)
	tries := m.tries
	tc.lose(probe)
	// this comes before the first probe, so that the probe is not lost
	tc.write(ackFrame(rangeString(big.pn, big.pn)))
	if m.current != minMTU {
		t.Errorf("a packet from before the black hole makes the MTU %d", m.current)
	}
	for range packetThreshold {
		tc.sendPings(1, 0)
	}
	tc.write(ackFrame(rangeString(tc.lastSent()-1, tc.lastSent()-1)))
	if !m.inFlight || m.tries != tries {
		t.Errorf("the loss of packet %d counts against the probe %d: %+v", old.pn, probe.pn, *m)
	}
	tc.sendPings(1, 0)
	tc.write(ackFrame(rangeString(tc.lastSent(), tc.lastSent())))
	if m.inFlight || m.tries != tries+1 {
		t.Errorf("the loss of the probe %d does not count: %+v", probe.pn, *m)
	}
}

// lastSent returns the number of the last packet that the Conn sent.
func (tc *testConn) lastSent() uint64 { return tc.c.spaces[spaceApp].sent.next - 1 }
