package conn

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Loss detection, probe timeouts and congestion (RFC 9002).

// sendPings makes the Conn send n packets, with gap between them, and returns their numbers.
func (tc *testConn) sendPings(n int, gap time.Duration) (pns []uint64) {
	tc.t.Helper()
	for i := range n {
		if i > 0 {
			tc.now = tc.now.Add(gap)
			tc.e.HandleTimeout(tc.now)
		}
		s := tc.open(Uni)
		tc.writeStream(s, "x")
		tc.collect()
		if len(tc.queue) != 1 {
			tc.t.Fatalf("want one packet, got %v", tc.queue)
		}
		pns = append(pns, tc.queue[0].pn)
		tc.queue = nil
	}
	return pns
}

func (tc *testConn) wantLost(why string, n uint64) {
	tc.t.Helper()
	if got := tc.c.stats.PacketsLost; got != n {
		tc.t.Fatalf("%s: %d packets count as lost, want %d", why, got, n)
	}
}

// RFC 9002, Section 6.1.1 [1, 2]; RFC 9002, Section 7.4 [1].
func TestPacketThreshold(t *testing.T) {
	tc := newTestConn(t, false)
	pn := tc.sendPings(4, 0)
	tc.now = tc.now.Add(testRTT / 2)
	tc.write(ackFrame(rangeString(pn[2], pn[2])))
	tc.wantLost("two packets later is reordering", 0)
	tc.write(ackFrame(rangeString(pn[2], pn[3])))
	tc.wantLost("three packets later is a loss", 1) // RFC 9002, Section 6.1.1
}

// RFC 9002, Section 6.1.2 [1, 3, 4]; RFC 9002, Section 6.2.1 [6].
func TestTimeThreshold(t *testing.T) {
	tc := newTestConn(t, true)
	pn := tc.sendPings(2, 0)
	tc.now = tc.now.Add(testRTT)
	tc.write(ackFrame(rangeString(pn[1], pn[1])))
	tc.wantLost("it may come yet", 0)
	tc.wantTimer("9/8 of the RTT after it was sent", testRTT/8) // RFC 9002, Section 6.1.2
	tc.advanceToTimer()
	tc.wantLost("now it is late", 1)
	tc.wantIdleBut("its data is sent again", wire.FrameStream)
	if tc.c.stats.PTOs != 0 {
		t.Error("a loss is no probe timeout")
	}
}

// wantIdleBut wants one frame of the type, and nothing else.
func (tc *testConn) wantIdleBut(why string, typ uint64) {
	tc.t.Helper()
	tc.wantType(why, typ)
	tc.wantIdle(why)
}

// RFC 9002, Section 6.1.2 [2, 5].
func TestLossDelayHasAGranularity(t *testing.T) {
	tc := newTestConn(t, true)
	r := &tc.c.path.rtt
	r.smoothed, r.latest, r.min, r.variance = 10*time.Microsecond, 10*time.Microsecond, 10*time.Microsecond, 0
	pn := tc.sendPings(2, 0)
	tc.now = tc.now.Add(10 * time.Microsecond)
	tc.write(ackFrame(rangeString(pn[1], pn[1])))
	tc.wantTimer("a millisecond after it was sent", timerGranularity-10*time.Microsecond)
}

// RFC 9000, Section 13.3 [7].
func TestSpuriousLoss(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	tc.writeStream(s, "late")
	p := tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "late"))
	before := tc.c.path.cc.Window()
	tc.lostByGap(p)
	if w := tc.c.path.cc.Window(); w >= before {
		t.Fatalf("the loss left the congestion window at %d", w)
	}
	tc.ignore(wire.FramePing)
	tc.wantFrame("the loss is repaired", streamFrame(s.ID(), 0, "late"))
	tc.got[spaceApp].Add(p.pn, p.pn+1)
	tc.ackAll()
	if w := tc.c.path.cc.Window(); w < before {
		t.Errorf("the loss did not happen, but the congestion window stays at %d, below %d", w, before)
	}
	if n := tc.c.Stats().SpuriousLosses; n != 1 {
		t.Errorf("%d spurious losses counted", n)
	}
}

// TestLateAckSavesSendingAgain: data that has arrived after all is not sent again.
// RFC 9000, Section 13.3 [6].
func TestLateAckSavesSendingAgain(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	tc.writeStream(s, "late")
	p := tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "late"))
	tc.lose(p)
	for range packetThreshold {
		tc.ping()
	}
	tc.flush()
	// Both acknowledgements come in one batch.
	tc.write(tc.ackOf(spaceApp))
	tc.got[spaceApp].Add(p.pn, p.pn+1)
	tc.write(tc.ackOf(spaceApp))
	tc.wantIdle("all has arrived")
}

// RFC 9002, Section 6.2 [1]; RFC 9002, Section 6.2.1 [4, 5]; RFC 9002, Section 6.2.4 [1, 2].
func TestProbeTimeout(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		s := tc.open(Uni)
		tc.writeStream(s, "tail")
		tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "tail"))
		for i, want := range []time.Duration{testPTO, 2 * testPTO, 4 * testPTO, 8 * testPTO} {
			tc.wantTimer("the timeout backs off", want) // RFC 9002, Section 6.2.1
			tc.advanceToTimer()
			tc.wantFrame("the probe carries what was not acknowledged", streamFrame(s.ID(), 0, "tail"))
			// RFC 9002, Section 6.2.4: up to two
			tc.wantFrame("and a second one follows", pingFrame())
			tc.wantIdle("not more")
			if n := tc.c.stats.PTOs; n != uint64(i+1) {
				t.Fatalf("%d probe timeouts counted", n)
			}
			tc.wantLost("a probe timeout does not tell what is lost", 0)
		}
		tc.now = tc.now.Add(testRTT)
		tc.ackAll()
		tc.writeStream(s, "more")
		tc.wantFrame("later data", streamFrame(s.ID(), 4, "more"))
		if d := tc.timer(); d > 2*testPTO {
			t.Errorf("after an acknowledgement the timeout is still %v", d)
		}
	})
}

// RFC 9002, Section 7.5 [1, 2].
func TestProbesIgnoreTheWindow(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	s.Write(make([]byte, 200<<10))
	tc.flush()
	if w := tc.c.window(tc.c.path.estimates); w >= minMTU {
		t.Fatalf("%d bytes are left of the congestion window", w)
	}
	tc.advanceToTimer()
	tc.collect()
	if len(tc.queue) != 2 {
		t.Fatalf("%d probes were sent", len(tc.queue)) // RFC 9002, Section 7.5
	}
}

// TestClientBreaksDeadlock: a client that has nothing in flight sends nevertheless. Its server may
// be waiting for bytes before it may send (RFC 9002, Section 6.2.2.1).
// RFC 9002, Section 6.2.2.1 [2, 3]; RFC 9002, Section 6.2.4 [5]; RFC 9000, Section 8.1 [4, 5].
func TestClientBreaksDeadlock(t *testing.T) {
	tc := startTestConn(t, false)
	tc.collect()
	first := tc.queue[0]
	tc.exchange(func() bool { return tc.peer != nil })
	tc.takeKeys()
	// The server acknowledges the ClientHello, and cannot send more.
	tc.flush()
	tc.writeIn(spaceInitial, ackFrame(rangeString(first.pn, first.pn)))
	tc.wantIdle("nothing is in flight")
	tc.advanceToTimer()
	tc.wantFrame("the client gives the server more bytes", pingFrame())
	if n := len(tc.datagrams[0].data); n < minMTU {
		t.Errorf("in a datagram of %d bytes", n) // RFC 9000, Section 14.1
	}
	if tc.current.typ != PacketInitial {
		t.Errorf("in %v", tc.current)
	}
}

// takeKeys is takeOver in the middle of a handshake. The packets of the test have high packet
// numbers.
func (tc *testConn) takeKeys() {
	tc.keepKeys()
	tc.dcid = tc.c.local.ids[0].id
	tc.next = [numSpaces]uint64{50, 50, 50}
}

// TestClientBreaksDeadlockWithHandshakeKeys: it also sends once it has Handshake keys.
// RFC 9002, Section 6.2.2.1 [3]; RFC 9000, Section 8.1 [5].
func TestClientBreaksDeadlockWithHandshakeKeys(t *testing.T) {
	tc := handshakeClient(t)
	tc.flush()
	tc.writeIn(spaceInitial, tc.ackOf(spaceInitial))
	tc.flush()
	tc.advanceToTimer()
	tc.collect()
	for _, p := range tc.queue {
		if p.typ == PacketHandshake && p.frames[0].typ == wire.FramePing {
			return
		}
	}
	t.Fatalf("no Handshake packet was sent: %v", tc.queue)
}

// TestNoProbesBeforeConfirmation: 1-RTT packets have no probe timeout before the handshake is
// confirmed (RFC 9002, Section 6.2.1).
// RFC 9002, Section 6.2.1 [3].
func TestNoProbesBeforeConfirmation(t *testing.T) {
	tc := completeClient(t)
	tc.collect()
	tc.ackAllIn(spaceHandshake)
	s := tc.open(Uni)
	tc.writeStream(s, "x")
	tc.flush()
	tc.advance(2 * time.Second)
	tc.wantIdle("the server may not have the keys to open it")
	tc.write(handshakeDoneFrame())
	tc.advance(time.Second)
	tc.ignore(wire.FrameAck, wire.FrameNewConnectionID)
	tc.wantType("now it has", wire.FrameStream)
}

// RFC 9002, Section 7.6.1 [1]; RFC 9002, Section 7.6.2 [1, 2, 4].
func TestPersistentCongestionOfConn(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	tc.writeStream(s, "before")
	tc.flush()
	tc.now = tc.now.Add(testRTT)
	tc.ackAll()
	r := &tc.c.path.rtt
	limit := 3 * (r.pto() + maxAckDelay) // RFC 9002, Section 7.6.1
	var lost []*seenPacket
	for end := tc.now.Add(limit + limit/4); tc.now.Before(end); {
		tc.writeStream(s, "lost")
		tc.collect()
		lost = append(lost, tc.queue...)
		tc.flush()
		tc.advance(limit / 8)
	}
	for _, p := range lost {
		tc.lose(p)
	}
	for pn := lost[0].pn; pn <= uint64(tc.largest[spaceApp]); pn++ {
		tc.got[spaceApp].Remove(pn, pn+1) // probes too
	}
	tc.flush()
	for range packetThreshold {
		tc.ping()
	}
	tc.flush()
	r.min = testRTT / 2 // another path, perhaps
	tc.now = tc.now.Add(testRTT)
	tc.ackAll()
	if r.min != testRTT { // RFC 9002, Section 5.2 [3, 4]
		t.Errorf("the shortest round trip is %v", r.min) // RFC 9002, Section 5.2 [3]
	}
	if w := tc.c.path.cc.Window(); w > 2*minMTU {
		t.Errorf("the congestion window is %d bytes", w) // RFC 9002, Section 7.6.2
	}
}

func TestNoPersistentCongestionAcrossAnAck(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	tc.writeStream(s, "before")
	tc.flush()
	tc.now = tc.now.Add(testRTT)
	tc.ackAll()
	var all []*seenPacket
	for range 12 {
		tc.writeStream(s, "x")
		tc.collect()
		all = append(all, tc.queue...)
		tc.flush()
		tc.now = tc.now.Add(40 * time.Millisecond)
	}
	for i, p := range all {
		if i != len(all)/2 { // one in the middle arrives
			tc.lose(p)
		}
	}
	for range packetThreshold {
		tc.ping()
	}
	tc.flush()
	tc.now = tc.now.Add(testRTT)
	tc.ackAll()
	tc.now = tc.now.Add(testRTT)
	tc.ping()
	tc.flush()
	tc.now = tc.now.Add(testRTT)
	tc.ackAll() // recovery is over
	if w := tc.c.path.cc.Window(); w <= 2*minMTU {
		t.Errorf("the congestion window is %d bytes, as if congestion had been persistent", w)
	}
}

// RFC 9002, Section 5.2 [1, 2]; RFC 9002, Section 5.3 [4].
func TestRTTSamples(t *testing.T) {
	tc := newTestConn(t, false)
	tc.c.path.rtt.init(initialRTT)
	pn := tc.sendPings(3, 0)
	tc.now = tc.now.Add(40 * time.Millisecond)
	tc.write(ackFrame(rangeString(pn[0], pn[0])))
	r := &tc.c.path.rtt
	if r.latest != 40*time.Millisecond || r.smoothed != r.latest || r.variance != 20*time.Millisecond || r.min != r.latest {
		t.Fatalf("after the first sample: %+v", *r) // RFC 9002, Section 5.3
	}
	tc.now = tc.now.Add(20 * time.Millisecond)
	tc.write(frame{typ: wire.FrameAck, data: rangeString(pn[1], pn[1]), v: [5]uint64{3: 10000 >> ackDelayExponent}})
	// The sample is 60 ms, less the peer's delay of 10 ms.
	if r.latest != 60*time.Millisecond || r.smoothed != 41250*time.Microsecond || r.min != 40*time.Millisecond {
		t.Fatalf("after the second sample: %+v", *r)
	}
	tc.now = tc.now.Add(100 * time.Millisecond)
	tc.write(ackFrame(rangeString(pn[0], pn[1])))
	if r.latest != 60*time.Millisecond {
		t.Error("nothing was newly acknowledged, so there is no sample")
	}
	tc.write(frame{typ: wire.FrameAck, data: rangeString(pn[2], pn[2]), v: [5]uint64{3: 35000 >> ackDelayExponent}})
	// The sample is 160 ms, less the 25 ms that the peer may wait.
	if want := (41250*7 + 135000) * time.Microsecond / 8; r.smoothed != want {
		t.Errorf("a delay above max_ack_delay made the smoothed RTT %v, want %v", r.smoothed, want)
	}
}

// RFC 9002, Section 5.1 [1].
func TestRTTSampleNeedsTheLargest(t *testing.T) {
	tc := newTestConn(t, false)
	pn := tc.sendPings(3, 0)
	tc.now = tc.now.Add(30 * time.Millisecond)
	tc.write(ackFrame(rangeString(pn[2], pn[2])))
	if got := tc.c.path.rtt.latest; got != 30*time.Millisecond {
		t.Fatalf("latest RTT %v", got)
	}
	tc.now = tc.now.Add(2 * time.Millisecond)
	tc.write(ackFrame(rangeString(pn[0], pn[2])))
	tc.wantLost("they arrived", 0)
	if got := tc.c.path.rtt.latest; got != 30*time.Millisecond {
		t.Errorf("an older packet made a sample of %v", got) // RFC 9002, Section 5.1
	}
}

func TestAckOnlyPacketsAreNotAwaited(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		for range 20 {
			tc.write(pingFrame())
			tc.write(pingFrame())
			tc.wantType("each pair is acknowledged", wire.FrameAck)
		}
		if tc.c.path.inFlight != 0 {
			t.Errorf("acknowledgements count %d bytes as in flight", tc.c.path.inFlight)
		}
		if d := tc.timer(); d < time.Second {
			t.Errorf("a timer is due in %v", d)
		}
	})
}

// RFC 9002, Section 7 [2].
func TestWindowLimitsSending(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		s := tc.open(Uni)
		window := tc.c.path.cc.Window()
		s.Write(make([]byte, 100<<10))
		tc.collect()
		if n := tc.c.path.inFlight; n > window || n+minMTU < window {
			t.Fatalf("%d bytes are in flight, the window is %d", n, window)
		}
		tc.flush()
		tc.wantIdle("the window is full")
		tc.now = tc.now.Add(testRTT)
		tc.ackAll()
		if got := tc.bytesOut(tc.peerAddr); got < int(window) {
			t.Errorf("after all is acknowledged, %d bytes leave", got)
		}
	})
}

// TestClientBreaksDeadlockWithEarlyData: it also sends while early data is in flight, which has no
// probe timeout of its own yet. More early data does not put the probe off.
func TestClientBreaksDeadlockWithEarlyData(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.conn.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	})
	cfg := tc.c.cfg
	tc.c.Close(0, "")
	tc.flush()
	tc.rx, tc.tx = [numSpaces]*keys.Keys{}, [numSpaces]*keys.Keys{}
	tc.c, tc.events = tc.dial(tc.e, Target{Remote: tc.peerAddr, Local: tc.addr}, cfg), nil
	tc.writeStream(tc.open(Uni), "early")
	tc.collect()
	first := tc.queue[0]
	if tc.c.spaces[spaceApp].sent.eliciting == 0 {
		t.Fatal("no early data is in flight")
	}
	tc.takeKeys()
	tc.flush()
	// The server acknowledges the ClientHello. Its other packets are lost.
	tc.writeIn(spaceInitial, ackFrame(rangeString(first.pn, first.pn)))
	tc.wantIdle("no Initial packet is in flight")
	timeout := tc.c.probeTimeout(spaceInitial)
	for range 10 {
		tc.advance(timeout / 10)
		tc.writeStream(tc.open(Uni), "more")
	}
	tc.advance(timeout / 10)
	f, p := tc.wantType("the client gives the server more bytes", wire.FramePing)
	if p.typ != PacketInitial || p.burst.N < minMTU {
		t.Errorf("%v in %v, a datagram of %d bytes", f, p, p.burst.N) // RFC 9002, Section 6.2.2.1
	}
}

// TestNoPersistentCongestionAcrossAQuietPacket: a packet that carries only acknowledgements arrives
// in the middle. That prevents persistent congestion, too (RFC 9002, Section 7.6.2).
func TestNoPersistentCongestionAcrossAQuietPacket(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		tc := newTestConn(t, false)
		cc := &noteController{}
		tc.c.path.cc = cc
		r := tc.c.path.rtt
		pn := tc.sendPings(1, 0)
		tc.now = tc.now.Add(4 * (r.pto() + maxAckDelay) / 2)
		tc.write(pingFrame())
		tc.write(pingFrame())
		_, quiet := tc.wantType("the peer is acknowledged", wire.FrameAck)
		tc.queue = nil
		tc.now = tc.now.Add(4 * (r.pto() + maxAckDelay) / 2)
		pn = append(pn, tc.sendPings(1+packetThreshold, 0)...)
		last := pn[len(pn)-1]
		ranges := rangeString(last, last)
		if arrives {
			ranges += " " + rangeString(quiet.pn, quiet.pn)
		}
		tc.write(ackFrame(ranges))
		if n := len(cc.losses); n == 0 || cc.losses[n-1].Packets != 2 {
			t.Fatalf("losses: %+v", cc.losses)
		}
		if l := cc.losses[0]; l.Persistent == arrives {
			t.Errorf("persistent congestion is %v where a packet between arrives: %v", l.Persistent, arrives)
		}
	}
}
