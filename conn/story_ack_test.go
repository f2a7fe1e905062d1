package conn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// Acknowledgements (RFC 9000, Section 13.2; draft-ietf-quic-ack-frequency).

// wantAck wants the next frame to be an ACK whose largest range ends with the newest packet of the
// test.
func (tc *testConn) wantAck(why string) frame {
	tc.t.Helper()
	f, _ := tc.wantType(why, wire.FrameAck)
	if want := fmt.Sprint(tc.next[spaceApp] - 1); !strings.HasSuffix(strings.Fields(f.data)[0], want) {
		tc.t.Fatalf("%s: the newest packet is %s, acknowledged is %s", why, want, f.data)
	}
	return f
}

// RFC 9000, Section 13.2.1 [3]; RFC 9000, Section 13.2.2 [1]; RFC 9000, Section 13.2.3 [1, 5].
func TestAckEverySecondPacket(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		for range 3 {
			tc.write(pingFrame())
			tc.wantIdle("one packet may wait")
			tc.wantTimer("for max_ack_delay", maxAckDelay) // RFC 9000, Section 13.2.1
			tc.write(pingFrame())
			tc.wantAck("two packets may not")
			tc.wantIdle("one acknowledgement for both")
		}
	})
}

// RFC 9000, Section 13.2.1 [1, 2].
func TestAckDelay(t *testing.T) {
	tc := newTestConn(t, true)
	tc.write(pingFrame())
	tc.wantIdle("one packet may wait")
	tc.advanceToTimer()
	tc.collect()
	var delay uint64
	for _, d := range tc.datagrams {
		delay = ackDelayOf(tc, d.data)
	}
	tc.wantAck("not longer than it said")
	if want := uint64(maxAckDelay/time.Microsecond) >> ackDelayExponent; delay != want {
		t.Errorf("the delay says %d, want %d", delay, want) // RFC 9000, Section 13.2.5
	}
}

// ackDelayOf returns the delay in the ACK frame at the start of a 1-RTT packet.
func ackDelayOf(tc *testConn, data []byte) uint64 {
	tc.t.Helper()
	b := append([]byte(nil), data...)
	rx := tc.rx[spaceApp]
	pnOff := 1 + int(tc.peer.local.ids[0].id.n)
	pnLen, truncated, _ := rx.Unprotect(b, pnOff)
	payload, ok := rx.Open(b, pnOff+pnLen, wire.DecodePacketNumber(tc.largest[spaceApp], truncated, pnLen))
	if !ok {
		tc.t.Fatal("the packet does not open")
	}
	a, n := wire.ParseAck(payload)
	if n <= 0 {
		tc.t.Fatal("there is no ACK frame at its start")
	}
	return a.Delay
}

// RFC 9000, Section 13.2.1 [7, 8].
func TestAckAtOnce(t *testing.T) {
	t.Run("a gap", func(t *testing.T) {
		tc := newTestConn(t, false)
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 1})
		if f := tc.wantAck("a gap is reported at once"); len(strings.Fields(f.data)) != 2 {
			t.Errorf("%v", f)
		}
	})
	t.Run("a gap is filled", func(t *testing.T) {
		tc := newTestConn(t, false)
		missing := tc.next[spaceApp]
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 1})
		tc.flush()
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, pn: missing, fixed: true})
		if f := tc.wantAck("so is what comes late"); len(strings.Fields(f.data)) != 1 {
			t.Errorf("%v", f)
		}
	})
	t.Run("CE", func(t *testing.T) {
		tc := newTestConn(t, false)
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, ecn: ECNCE})
		// RFC 9000, Section 13.2.1
		f, _ := tc.wantType("congestion is reported at once", wire.FrameAckECN)
		if f.v[2] != 1 || f.v[0] != 0 || f.v[1] != 0 {
			t.Errorf("%v", f)
		}
	})
	t.Run("Initial and Handshake packets", func(t *testing.T) {
		sides(t, func(t *testing.T, server bool) {
			for _, space := range []spaceID{spaceInitial, spaceHandshake} {
				tc := handshakeConn(t, server)
				tc.flush()
				tc.writeIn(space, pingFrame())
				tc.wantType("at once", wire.FrameAck)
			}
		})
	})
}

// TestNoAckForAcks: a packet that holds only acknowledgements is not acknowledged for its own sake.
// RFC 9000, Section 13.2.1 [4].
func TestNoAckForAcks(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ping()
		tc.flush()
		for range 10 {
			tc.write(tc.ackOf(spaceApp))
			tc.write(paddingFrames(10))
			tc.wantIdle("nothing asks for an answer") // RFC 9000, Section 13.2.1
		}
		tc.advance(time.Second)
		tc.wantIdle("nor later")
		tc.write(pingFrame())
		tc.write(pingFrame())
		tc.wantAck("they are acknowledged along with others")
	})
}

// RFC 9000, Section 13.2 [1]; RFC 9000, Section 13.2.1 [5].
func TestAckGoesWithData(t *testing.T) {
	tc := newTestConn(t, true)
	tc.write(pingFrame())
	s := tc.open(Uni)
	tc.writeStream(s, "hello")
	tc.wantAck("data takes an acknowledgement along that could wait")
	tc.wantFrame("in one packet", streamFrame(s.ID(), 0, "hello"))
	tc.wantIdle("so there is no other")
	tc.advance(maxAckDelay)
	tc.wantIdle("nor later")
}

func TestAckOfABatch(t *testing.T) {
	tc := newTestConn(t, true)
	var batch []byte
	for range 10 {
		batch = append(batch, tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}, size: 100})...)
	}
	tc.e.Receive(tc.now, Datagram{Data: batch, SegmentSize: 100, Remote: tc.peerAddr, Local: tc.addr})
	tc.wantAck("a batch is acknowledged")
	tc.wantIdle("once")
}

// TestDuplicates: a packet that comes again is dropped.
// RFC 9000, Section 12.3 [4].
func TestDuplicates(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		b := tc.seal(testPacket{space: spaceApp, frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "x")}})
		for range 3 {
			tc.deliver(append([]byte(nil), b...), tc.peerAddr, NotECT)
		}
		if n := tc.e.stats.DroppedDuplicate; n != 2 {
			t.Errorf("%d duplicates counted", n)
		}
		if got, _ := tc.readStream(tc.stream(tc.theirs(Uni, 0))); got != "x" {
			t.Errorf("read %q", got)
		}
	})
}

// TestAckRangesAreBounded: a peer that leaves out every second packet number.
// RFC 9000, Section 13.2.3 [3, 4].
func TestAckRangesAreBounded(t *testing.T) {
	tc := newTestConn(t, true)
	first := tc.next[spaceApp]
	for range 1000 {
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 1})
	}
	if n := tc.c.spaces[spaceApp].recv.seen.Len(); n > maxAckRanges {
		t.Errorf("%d ranges are remembered", n)
	}
	tc.collect()
	for _, p := range tc.queue {
		if p.size > minMTU {
			t.Errorf("packet of %d bytes", p.size)
		}
	}
	before := tc.e.stats.DroppedDuplicate
	tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, pn: first, fixed: true})
	if tc.e.stats.DroppedDuplicate != before+1 {
		t.Error("a packet that may have been received is taken again") // RFC 9000, Section 13.2.3
	}
}

// TestRangesAreForgotten: ranges are not repeated once the peer has acknowledged an ACK frame with
// them (RFC 9000, Section 13.2.4).
// RFC 9000, Section 13.2.1 [6]; RFC 9000, Section 13.2.3 [2].
func TestRangesAreForgotten(t *testing.T) {
	tc := newTestConn(t, false)
	for range 20 {
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 1})
		tc.collect()
	}
	recv := &tc.c.spaces[spaceApp].recv
	if recv.seen.Len() < 10 {
		t.Fatalf("%d ranges", recv.seen.Len())
	}
	pings := 0
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		if f.typ == wire.FramePing {
			pings++
		}
	}
	if pings == 0 {
		t.Fatal("a receiver of many gaps never asks for an acknowledgement of its own")
	}
	tc.ackAll()
	if n := recv.seen.Len(); n > 3 {
		t.Errorf("%d ranges are left", n)
	}
}

func TestPacketNumberWindow(t *testing.T) {
	for _, start := range []uint64{1 << 8, 1 << 16, 1 << 24, 1<<31 - 3, 1<<32 - 3, 1<<40 + 5, 1<<62 - 100} {
		tc := newTestConn(t, true)
		recv := &tc.c.spaces[spaceApp].recv
		recv.largest = int64(start) - 1
		recv.seen.Add(start-1, start)
		recv.floor = start - 1
		for i, pn := range []uint64{start, start + 5, start + 2, start + 1, start + 90} {
			tc.send(testPacket{space: spaceApp, frames: []frame{immediateData(tc, uint64(i))}, pn: pn, fixed: true, pnLen: 1 + i%4})
			if tc.c.streams.all[tc.theirs(Uni, uint64(i))] == nil {
				t.Errorf("packet %d behind %d was not taken", pn, start)
			}
		}
		tc.wantOpen("any packet number up to 2^62")
	}
}

// TestOwnPacketNumbersGrow: the Conn uses enough bytes for its packet numbers.
// RFC 9000, Section 12.3 [1, 2].
func TestOwnPacketNumbersGrow(t *testing.T) {
	tc := newTestConn(t, false)
	tc.c.skipNext = 1 << 61
	s := tc.open(Uni)
	// no packet is acknowledged: from some time on, packet numbers need two bytes
	for i := range 600 {
		tc.writeStream(s, "x")
		tc.c.spaces[spaceApp].probes = 1
		tc.c.wake()
		tc.collect()
		if len(tc.undecoded) > 0 {
			t.Fatalf("packet %d does not open", i)
		}
	}
}

// TestOwnPacketNumbersSkip: now and then the Conn leaves out a number. It catches peers that
// acknowledge what they did not receive (RFC 9000, Section 21.4).
func TestOwnPacketNumbersSkip(t *testing.T) {
	tc := newTestConn(t, false)
	tc.c.skipNext = 0
	tc.c.chooseSkip()
	last, skipped := uint64(tc.largest[spaceApp]), 0
	for range 1000 {
		tc.ping()
		pn := tc.queue[0].pn
		skipped += int(pn - last - 1)
		last = pn
		tc.queue = nil
		tc.ackAll()
	}
	tc.wantOpen("an honest peer does not notice")
	if skipped == 0 || skipped > 20 {
		t.Errorf("%d of 1000 numbers were left out", skipped)
	}
}

func frequent(s *testSetup) { s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false }

func TestAckFrequency(t *testing.T) {
	tc := newTestConn(t, true, frequent)
	tc.write(ackFrequencyFrame(0, 4, 50000, 0)) // every fifth packet, within 50 ms, in any order
	tc.advance(time.Second)
	tc.flush()
	for range 4 {
		tc.write(pingFrame())
		tc.wantIdle("four may wait")
	}
	tc.wantTimer("for as long as the peer said", 50*time.Millisecond)
	tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 3})
	tc.wantAck("the fifth may not")
	tc.wantIdle("one for all")
	tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 3})
	tc.wantIdle("gaps are no reason")
	tc.write(immediateAckFrame())
	tc.wantAck("but a wish is")
	tc.write(ackFrequencyFrame(2, 0, 50000, 1)) // each packet at once
	tc.wantAck("each packet at once")
	tc.write(ackFrequencyFrame(1, 9, 50000, 1))
	tc.wantAck("an older frame does not count")
}

// TestAckFrequencyIsAsked: with a large window, the Conn asks for fewer acknowledgements.
func TestAckFrequencyIsAsked(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) {
			frequent(s)
			s.peer.InitialMaxData, s.peer.InitialMaxStreamData = 1<<30, 1<<30
		})
		s := tc.open(Uni)
		var asked frame
		for range 20 {
			s.Write(make([]byte, 250<<10))
			tc.collect()
			for _, p := range tc.queue {
				for _, f := range p.frames {
					if f.typ == wire.FrameAckFrequency {
						asked = f
					}
				}
			}
			tc.queue, tc.datagrams = nil, nil
			tc.now = tc.now.Add(testRTT)
			tc.ackAll()
		}
		if asked.typ == 0 || asked.v[1] < 4 || asked.v[2] < uint64(minAckDelay/time.Microsecond) || asked.v[2] > 25000 {
			t.Errorf("asked: %v", asked)
		}
	})
}

// TestAckDelayIsAsked: the Conn asks for four acknowledgements in a round trip. For a controller
// that sets a rate it asks for more, but for no more than one for four packets of a window, and one
// a millisecond.
func TestAckDelayIsAsked(t *testing.T) {
	for _, c := range []struct {
		rtt     time.Duration
		packets uint64
		rate    uint64
		want    time.Duration
	}{
		{40 * time.Millisecond, 1000, 0, 10 * time.Millisecond},
		{40 * time.Millisecond, 1000, 1e6, time.Millisecond},
		{96 * time.Millisecond, 1000, 1e6, 1500 * time.Microsecond},
		{96 * time.Millisecond, 1000, 0, 24 * time.Millisecond},
		{80 * time.Millisecond, 80, 1e6, 4 * time.Millisecond},
		{80 * time.Millisecond, 16, 1e6, 20 * time.Millisecond},
		{80 * time.Millisecond, 10, 1e6, 20 * time.Millisecond},
		{time.Second, 80, 1e6, 25 * time.Millisecond},
		{2 * time.Millisecond, 1000, 1e6, time.Millisecond},
		{100 * time.Microsecond, 1000, 1e6, time.Millisecond},
	} {
		tc := newTestConn(t, false, frequent)
		p := tc.c.path.estimates
		p.cc = fixedController{Controller: p.cc, window: c.packets * uint64(p.mtu.current), rate: c.rate}
		p.rtt.smoothed = c.rtt
		tc.c.ackFreq = ackFrequency{sent: true}
		tc.c.adaptAckFrequency(instant(epochOffset))
		if got := tc.c.ackFreq.delay; got != c.want {
			t.Errorf("%+v: asked for %v", c, got)
		}
	}
}

// A fixedController has a window and a rate.
type fixedController struct {
	congestion.Controller
	window, rate uint64
}

func (c fixedController) Window() uint64     { return c.window }
func (c fixedController) PacingRate() uint64 { return c.rate }

// RFC 9000, Section 13.4.1 [1].
func TestECNCounts(t *testing.T) {
	tc := newTestConn(t, true)
	for i, mark := range []ECN{ECT0, ECT0, ECT1, ECNCE, NotECT, ECT0} {
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, ecn: mark})
		if i == 5 {
			tc.collect()
		}
	}
	var last frame
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		last = f
	}
	if last.typ != wire.FrameAckECN || last.v != [5]uint64{3, 1, 1} {
		t.Errorf("%v", last) // RFC 9000, Section 13.4.1
	}
}

// An ecnStory is a Conn that marks its packets.
func ecnStory(t *testing.T) *testConn {
	tc := newTestConn(t, true)
	tc.c.path.ecn = ecnState{state: ecnTesting}
	tc.c.spaces[spaceApp].ecnSent = 0
	tc.c.spaces[spaceApp].ecnAcked = [3]uint64{}
	return tc
}

// RFC 9000, Section 13.4.2.2 [1]; RFC 9000, Section 19.3 [1].
func TestECNValidation(t *testing.T) {
	for _, test := range []struct {
		name string
		ack  func(ranges string, n uint64) frame
		want ecnPhase
	}{
		{"all arrive marked", func(r string, n uint64) frame { return ackECNFrame(r, n, 0, 0) }, ecnCapable},
		{"some met congestion", func(r string, n uint64) frame { return ackECNFrame(r, n-1, 0, 1) }, ecnCapable},
		{"no counts", func(r string, n uint64) frame { return ackFrame(r) }, ecnFailed},
		{"too few", func(r string, n uint64) frame { return ackECNFrame(r, n-1, 0, 0) }, ecnFailed},
		{"too many", func(r string, n uint64) frame { return ackECNFrame(r, n+1, 0, 0) }, ecnFailed},
		{"another mark", func(r string, n uint64) frame { return ackECNFrame(r, n, 1, 0) }, ecnFailed},
		{"far too many", func(r string, n uint64) frame { return ackECNFrame(r, 1<<62-1, 0, 1<<62-1) }, ecnFailed},
	} {
		tc := ecnStory(t)
		tc.sendPings(4, 0)
		for _, d := range tc.datagrams {
			if d.burst.ECN != ECT0 {
				t.Fatalf("%s: packets are not marked", test.name)
			}
		}
		ack := tc.ackOf(spaceApp)
		tc.write(test.ack(ack.data, 4))
		if got := tc.c.path.ecn.state; got != test.want {
			// RFC 9000, Section 13.4.2.1
			t.Errorf("%s: state %d, want %d", test.name, got, test.want)
		}
		tc.wantOpen("a path that damages marks is no reason to close")
		tc.flush()
		tc.sendPings(1, 0)
		if marked := tc.datagrams[0].burst.ECN == ECT0; marked != (test.want == ecnCapable) {
			t.Errorf("%s: later packets are marked: %v", test.name, marked)
		}
	}
}

// TestECNOfALateAck: an ACK frame that does not raise the largest packet number says nothing of
// marks, whatever its counts are, and whether it has any. RFC 9000, Section 13.4.2.1 [1].
func TestECNOfALateAck(t *testing.T) {
	for _, late := range []func(ranges string) frame{
		ackFrame,
		func(r string) frame { return ackECNFrame(r, 0, 0, 0) },
	} {
		tc := ecnStory(t)
		pn := tc.sendPings(4, 0)
		tc.write(ackECNFrame(rangeString(pn[3], pn[3]), 1, 0, 0))
		if got := tc.c.path.ecn.state; got != ecnCapable {
			t.Fatalf("state %d", got)
		}
		tc.write(late(rangeString(pn[0], pn[3])))
		if got := tc.c.path.ecn.state; got != ecnCapable {
			t.Errorf("state %d", got)
		}
	}
}

// RFC 9000, Section 13.4.2.2 [1, 2].
func TestECNCountsDecrease(t *testing.T) {
	tc := ecnStory(t)
	tc.sendPings(3, 0)
	tc.write(ackECNFrame(tc.ackOf(spaceApp).data, 2, 0, 1))
	tc.sendPings(3, 0)
	tc.write(ackECNFrame(tc.ackOf(spaceApp).data, 6, 0, 0))
	if tc.c.path.ecn.state != ecnFailed {
		t.Error("a count went down")
	}
	if n := tc.c.stats.CEMarks; n != 1 {
		t.Errorf("%d marks counted", n)
	}
}

// RFC 9000, Section 19.3 [2].
func TestCongestionMarksLowerTheWindow(t *testing.T) {
	tc := ecnStory(t)
	before := tc.c.path.cc.Window()
	tc.sendPings(3, 0)
	tc.now = tc.now.Add(testRTT)
	tc.write(ackECNFrame(tc.ackOf(spaceApp).data, 2, 0, 1))
	if w := tc.c.path.cc.Window(); w >= before {
		t.Errorf("the window is %d after %d", w, before) // RFC 9002, Section 7.1
	}
}

// TestECNBlackHole: the path drops all marked packets.
func TestECNBlackHole(t *testing.T) {
	tc := ecnStory(t)
	tc.sendPings(1, 0)
	for range 4 {
		tc.advanceToTimer()
		tc.flush()
	}
	tc.sendPings(1, 0)
	if tc.datagrams[0].burst.ECN != NotECT {
		t.Error("packets are still marked where no marked one arrives")
	}
}

// TestMarkedPacketsAreLost: at first no marked packet arrives, and all others do.
func TestMarkedPacketsAreLost(t *testing.T) {
	tc := ecnStory(t)
	pn := tc.sendPings(ecnTestPackets+packetThreshold, 0)
	n := len(pn)
	tc.write(ackFrame(rangeString(pn[ecnTestPackets], pn[n-1])))
	if tc.c.path.ecn.state != ecnFailed {
		t.Error("the path seems to carry marked packets") // RFC 9000, Section 13.4.2
	}
}

// TestECNTestIsShort: only a few packets are marked before the first validation.
func TestECNTestIsShort(t *testing.T) {
	tc := ecnStory(t)
	tc.sendPings(15, 0)
	n := 0
	for _, d := range tc.datagrams {
		if d.burst.ECN == ECT0 {
			n++
		}
	}
	if n != ecnTestPackets {
		t.Errorf("%d packets are marked", n) // RFC 9000, Section A.4
	}
}

// TestAckWorkIsBounded: an ACK frame of very many ranges.
func TestAckWorkIsBounded(t *testing.T) {
	tc := newTestConn(t, true)
	by := tc.bystand()
	tc.c.path.cc = &wideController{}
	s := tc.open(Uni)
	for range 5 {
		s.Write(make([]byte, 250<<10))
		tc.collect()
	}
	tc.queue, tc.datagrams = nil, nil
	last := tc.largest[spaceApp]
	var ranges []string
	for pn := last; pn > last-1000 && pn > 2; pn -= 2 {
		ranges = append(ranges, rangeString(uint64(pn), uint64(pn)))
	}
	f := ackFrame(strings.Join(ranges, " "))
	tc.write(f)
	before := tc.c.ledger.steps
	for range 200 {
		tc.write(f)
	}
	tc.wantOpen("it says nothing wrong")
	if n := tc.c.ledger.steps - before; n > uint64(200*3*len(ranges)) {
		t.Errorf("%d steps for 200 frames of %d ranges that say nothing new", n, len(ranges))
	}
	tc.flush()
	by.check()
}

// A wideController has a window that is never reached.
type wideController struct{ lost, spurious uint64 }

func (w *wideController) OnSent(*congestion.Sent)       {}
func (w *wideController) OnAck(*congestion.Ack)         {}
func (w *wideController) OnLoss(l *congestion.Loss)     { w.lost += l.Bytes }
func (w *wideController) OnSpurious(l *congestion.Loss) { w.spurious += l.Bytes }
func (w *wideController) OnMTU(int)                     {}
func (w *wideController) Window() uint64                { return 1 << 30 }
func (w *wideController) PacingRate() uint64            { return 0 }
