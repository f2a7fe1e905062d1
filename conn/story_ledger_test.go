package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// What the ledger remembers of packets in flight, and for which path (RFC 9002, Section 2).

// ledgerBytes returns how much memory the ledger of c holds.
func ledgerBytes(c *Conn) (n int) {
	for _, sp := range c.spaces {
		if sp != nil {
			n += sp.sent.bytes()
		}
	}
	return n
}

// transmit throws away everything that the Conn sends.
func (tc *testConn) transmit() (n int) {
	for {
		b, ok := tc.e.Transmit(tc.now, tc.buf, 10)
		if !ok {
			break
		}
		n += b.N
	}
	if sp := tc.c.spaces[spaceApp]; sp != nil {
		tc.largest[spaceApp] = int64(sp.sent.next) - 1
	}
	return n
}

// TestQuietPacketsAreNotKept: a peer goes on sending and never acknowledges one packet. The Conn
// remembers little of the packets that carry only acknowledgements.
func TestQuietPacketsAreNotKept(t *testing.T) {
	tc := newTestConn(t, true)
	tc.writeStream(tc.open(Uni), "this is never acknowledged")
	tc.transmit()
	before := tc.c.stats.PacketsSent
	for range 20_000 {
		tc.write(pingFrame())
		tc.transmit()
	}
	if n := tc.c.stats.PacketsSent - before; n < 5000 {
		t.Fatalf("%d packets were sent", n)
	}
	if n := ledgerBytes(tc.c); n > 16<<10 {
		t.Errorf("%d bytes are held", n)
	}
	tc.wantOpen("the packet may be late")
}

// TestResponsesKeepToTheWindow: answers to PATH_CHALLENGE on the path in use are in flight. A peer
// that asks for many and acknowledges none gets no more than the window (RFC 9000, Section 8.2.2).
func TestResponsesKeepToTheWindow(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		window := tc.c.path.cc.Window()
		for range 1000 {
			tc.write(challengeFrame("12345678"))
			tc.transmit()
		}
		if n := tc.c.path.inFlight; n > window {
			t.Errorf("%d bytes are in flight, the window is %d", n, window)
		}
		if n := ledgerBytes(tc.c); n > 16<<10 {
			t.Errorf("%d bytes are held", n)
		}
		tc.ignore(wire.FrameAck)
		tc.write(ackFrame(rangeString(tc.c.spaces[spaceApp].sent.oldest(), tc.c.spaces[spaceApp].sent.next-1)))
		tc.wantFrame("the last ones are answered once there is room", responseFrame("12345678"))
	})
}

// TestLedgerIsBounded: if the window does not limit many small packets, the ledger does. If that is
// not enough, the oldest packet counts as lost.
func TestLedgerIsBounded(t *testing.T) {
	tc := newTestConn(t, true)
	tc.c.path.cc = &wideController{}
	s := tc.open(Uni)
	l := &tc.c.ledger
	for range 2 * maxInFlight {
		s.Write([]byte("x"))
		if tc.transmit() == 0 {
			break
		}
	}
	if l.packets != maxInFlight {
		t.Fatalf("%d packets are in flight, want %d", l.packets, maxInFlight)
	}
	// Each new address is asked whether the client is there, and the client never answers.
	rows := cap(tc.c.spaces[spaceApp].sent.rows.buf)
	for i := range maxInFlight / 32 {
		tc.writeFrom(netip.AddrPortFrom(tc.peerAddr.Addr(), uint16(2000+i)), 100, pingFrame())
		tc.transmit()
	}
	if most := maxInFlight + maxInFlight/64 + 1; l.packets > most {
		t.Errorf("%d packets are in flight, want at most %d", l.packets, most)
	}
	sent := &tc.c.spaces[spaceApp].sent
	if n := sent.late.len(); n == 0 || n > maxLost {
		t.Errorf("%d packets are remembered as lost", n)
	}
	if n := cap(sent.rows.buf); n > 2*rows {
		t.Errorf("there is room for %d packets, where there was for %d", n, rows)
	}
	tc.wantOpen("all of it may be late")
	var books LedgerCheck
	tc.must(books.Check(tc.c))
	tc.write(ackFrame(rangeString(sent.oldest(), sent.next-1)))
	if l.packets != 0 {
		t.Errorf("%d packets are in flight where all is acknowledged", l.packets)
	}
}

// TestNumbersAreBounded: the Conn uses no packet numbers that a peer could mistake for others (RFC
// 9000, Section 17.1).
func TestNumbersAreBounded(t *testing.T) {
	tc := newTestConn(t, true)
	tc.writeStream(tc.open(Uni), "this is never acknowledged")
	tc.flush()
	tc.c.spaces[spaceApp].sent.next += maxNumbers - 10
	tc.largest[spaceApp] += maxNumbers - 10
	for range 30 {
		tc.write(pingFrame())
		tc.collect()
	}
	tc.wantClosed("packets in flight are too many numbers apart", errInternal)
}

// TestFlappingAddress: the port of a client changes to and fro. The client gets no more than one
// window, and its acknowledgements stay valid.
func TestFlappingAddress(t *testing.T) {
	for _, test := range []struct {
		name   string
		second netip.AddrPort
		third  netip.AddrPort
	}{
		{"two ports", netip.MustParseAddrPort("10.0.0.2:4242"), netip.MustParseAddrPort("10.0.0.2:1000")},
		{"another host, and back at a third port", elsewhere(1), netip.MustParseAddrPort("10.0.0.2:4242")},
	} {
		t.Run(test.name, func(t *testing.T) {
			tc := newTestConn(t, true)
			s := tc.open(Uni)
			s.Write(make([]byte, 200<<10))
			tc.collect()
			tc.ackAll() // so that something was delivered
			tc.transmit()
			m := tc.c.path.estimates
			full, delivered, window := m.inFlight, m.rate.delivered, m.cc.Window()
			if full+minMTU < window || delivered == 0 {
				t.Fatalf("%d bytes in flight, a window of %d, %d bytes delivered", full, window, delivered)
			}
			more := 0
			for range 5 {
				for _, from := range []netip.AddrPort{test.second, test.third} {
					tc.writeFrom(from, 100, pingFrame())
					more += tc.transmit()
					checkConn(t, tc.c, &tc.books)
				}
				if got := tc.c.path.rate.delivered; got < delivered {
					t.Fatalf("delivered is %d, and was %d", got, delivered)
				}
			}
			if tc.c.RemoteAddr() != test.third {
				t.Fatalf("the server sends to %v", tc.c.RemoteAddr())
			}
			// Each challenge may use all that the anti-amplification limit allows. The address
			// before, which is validated, is challenged too.
			const most = 10*300 + 5*minMTU + 200
			if n := tc.c.path.inFlight; n < full || n > full+most || more > most {
				t.Errorf("%d bytes more were sent, and %d are in flight, %d before", more, n, full)
			}
		})
	}
}

// A lastAck keeps the last sample that the congestion controller got.
type lastAck struct {
	wideController
	ack     congestion.Ack
	largest congestion.Sent
}

func (l *lastAck) OnAck(a *congestion.Ack) { l.ack, l.largest = *a, *a.Largest }

// TestAckOfQuietPacket: the largest packet of an ACK frame carried only acknowledgements. The frame
// still gives a sample of the round trip. The controller hears of the largest packet that was in
// flight.
func TestAckOfQuietPacket(t *testing.T) {
	tc := newTestConn(t, true)
	cc := &lastAck{}
	tc.c.path.cc = cc
	first := tc.sendPings(1, 0)
	tc.now = tc.now.Add(20 * time.Millisecond)
	tc.write(ackFrame(rangeString(first[0], first[0])))
	delivered := tc.c.path.rate.delivered
	pn := tc.sendPings(2, 0)
	tc.now = tc.now.Add(5 * time.Millisecond)
	tc.write(pingFrame())
	tc.write(pingFrame())
	_, quiet := tc.wantType("the peer is acknowledged", wire.FrameAck)
	if quiet.pn <= pn[1] {
		t.Fatalf("packet %d came before %d", quiet.pn, pn[1])
	}
	tc.now = tc.now.Add(30 * time.Millisecond)
	tc.write(ackFrame(rangeString(pn[0], quiet.pn)))
	if got := tc.c.path.rtt.latest; got != 30*time.Millisecond {
		t.Errorf("the round trip is %v", got) // RFC 9002, Section 5.1
	}
	if cc.ack.PriorDelivered != delivered || cc.ack.PriorDelivered == 0 {
		t.Errorf("delivered when the packet was sent: %d, want %d", cc.ack.PriorDelivered, delivered)
	}
	if cc.largest.InFlight == 0 || cc.largest.Bytes == 0 || !cc.largest.AppLimited {
		t.Errorf("the largest packet is %+v", cc.largest)
	}
	if want := (tc.c.path.rate.delivered - delivered) * 1000 / 35; cc.ack.DeliveryRate != want {
		t.Errorf("%d bytes per second are delivered, want %d", cc.ack.DeliveryRate, want)
	}
}

// TestProbesOfAnotherPath: a PATH_CHALLENGE on another path is not in flight on the path in use.
// Its acknowledgement gives no sample of the round trip there (RFC 9000, Section 9.4).
func TestProbesOfAnotherPath(t *testing.T) {
	tc := newTestConn(t, false)
	before := tc.c.path.inFlight
	rtt := tc.c.path.rtt
	tc.must(tc.c.Probe(netip.MustParseAddrPort("10.0.0.77:5555")))
	tc.collect()
	tc.challengeOf("the new path is challenged")
	if n := tc.c.path.inFlight; n != before {
		t.Errorf("%d bytes are in flight on the path in use, %d before", n, before)
	}
	if n := tc.c.candidate.inFlight; n != minMTU {
		t.Errorf("%d bytes are in flight on the new path", n)
	}
	tc.now = tc.now.Add(109 * time.Millisecond)
	tc.write(tc.ackOf(spaceApp))
	if tc.c.path.rtt != rtt {
		t.Errorf("the path in use has a round trip of %v, and had %v", tc.c.path.rtt.latest, rtt.latest)
	}
	if n := tc.c.candidate.inFlight; n != 0 {
		t.Errorf("%d bytes are in flight on the new path where all is acknowledged", n)
	}
}

// TestAnswersToAnotherPath: the same holds for the answers of a server to a client that probes.
func TestAnswersToAnotherPath(t *testing.T) {
	tc := newTestConn(t, true)
	before := tc.c.ledger.packets
	rtt := tc.c.path.rtt
	tc.writeFrom(elsewhere(1), 1200, challengeFrame("probe..."))
	_, p := tc.wantType("the probe is answered", wire.FramePathResponse)
	tc.flush()
	if n := tc.c.ledger.packets; n != before {
		t.Errorf("%d packets are in flight, %d before", n, before)
	}
	tc.now = tc.now.Add(109 * time.Millisecond)
	tc.write(ackFrame(rangeString(p.pn, p.pn)))
	if tc.c.path.rtt != rtt {
		t.Errorf("the path in use has a round trip of %v, and had %v", tc.c.path.rtt.latest, rtt.latest)
	}
}

// TestECNOfAnotherPath: marked packets that are lost on a path which the client has left say
// nothing of the new path. That is tested by itself (RFC 9000, Section 13.4.2).
func TestECNOfAnotherPath(t *testing.T) {
	tc := ecnStory(t)
	old := tc.sendPings(ecnTestPackets+packetThreshold, 0)
	tc.writeFrom(elsewhere(1), 1200, pingFrame())
	data, _ := tc.challengeOf("the client is asked whether it is there")
	tc.writeFrom(elsewhere(1), 1200, responseFrame(data))
	tc.peerAddr = elsewhere(1)
	tc.flush()
	s := tc.c.path.ecn
	if s.state != ecnTesting || s.sent > 1 { // RETIRE_CONNECTION_ID
		t.Fatalf("the new path begins with %+v", s)
	}
	pn := tc.sendPings(ecnTestPackets-s.sent+1, 0)
	if n := tc.c.path.ecn.sent; n != ecnTestPackets {
		t.Fatalf("%d packets are marked", n)
	}
	// The last packet of the old path arrives. It was not marked. All marked packets are lost.
	tc.write(ackFrame(rangeString(old[len(old)-1], old[len(old)-1])))
	if n := tc.c.stats.PacketsLost; n < ecnTestPackets {
		t.Fatalf("%d packets are lost", n)
	}
	// The last packet of the new path arrives too. But two of the marked packets are still under
	// way.
	last := len(pn) - 1
	tc.write(ackFrame(rangeString(pn[last], pn[last])))
	if s := tc.c.path.ecn; s.state != ecnTesting {
		t.Fatalf("after losses on both paths: %+v", s)
	}
	tc.sendPings(1, 0)
	tc.write(ackECNFrame(rangeString(pn[last-2], uint64(tc.largest[spaceApp])), 2, 0, 0))
	if s := tc.c.path.ecn; s.state != ecnCapable {
		t.Errorf("after two arrived marked: %+v", s)
	}
}

// TestECNOfTwoPaths: packets of two paths are acknowledged at once, and some marks are missing.
// Neither path is blamed.
func TestECNOfTwoPaths(t *testing.T) {
	tc := ecnStory(t)
	old := tc.sendPings(3, 0)
	tc.writeFrom(elsewhere(1), 1200, pingFrame())
	data, _ := tc.challengeOf("the client is asked whether it is there")
	tc.writeFrom(elsewhere(1), 1200, responseFrame(data))
	tc.peerAddr = elsewhere(1)
	tc.flush()
	pn := tc.sendPings(3, 0)
	tc.write(ackECNFrame(rangeString(old[0], pn[1]), 2, 0, 0))
	if s := tc.c.path.ecn; s.state != ecnTesting {
		t.Fatalf("the old path clears marks, and the new one is in %+v", s)
	}
	tc.write(ackECNFrame(rangeString(old[0], pn[2]), 3, 0, 0))
	if s := tc.c.path.ecn; s.state != ecnCapable {
		t.Errorf("after a packet of the new path arrived marked: %+v", s)
	}
}

// TestECNAfterMigration: a client that has moved marks packets on its new path.
func TestECNAfterMigration(t *testing.T) {
	tc := newTestConn(t, false)
	tc.must(tc.c.Migrate(netip.MustParseAddrPort("10.0.0.77:5555")))
	tc.collect()
	data, _ := tc.challengeOf("the new path is challenged")
	tc.write(responseFrame(data))
	tc.wantEvent("it is used", EventPathChanged)
	tc.flush()
	tc.sendPings(1, 0)
	if d := tc.datagrams[0]; d.burst.ECN != ECT0 {
		t.Error("packets are not marked") // RFC 9000, Section 13.4.2
	}
}

// flightOf returns a Conn with so many packets in flight and no other work. last is the number of
// the last packet.
func flightOf(t *testing.T, packets int) (tc *testConn, last uint64) {
	tc = newTestConn(t, true)
	tc.c.path.cc = &wideController{}
	s := tc.open(Uni)
	for tc.c.ledger.packets < packets {
		s.Write([]byte("x"))
		tc.transmit()
	}
	return tc, tc.c.spaces[spaceApp].sent.next - 1
}

// TestAckStepsAreBounded: an ACK frame costs a few steps for each range and for each packet that it
// acknowledges, whatever a peer writes into it. It does not cost steps for each packet in flight.
func TestAckStepsAreBounded(t *testing.T) {
	const packets = 20_000
	const atOnce = 200 // ranges, or frames, in a packet
	for _, test := range []struct {
		name string
		acks func(last uint64, round int) []frame // of one packet
	}{
		{"every second packet", func(last uint64, round int) (all []frame) {
			ranges := ""
			for i := range uint64(atOnce) {
				pn := last - 2*(i+atOnce*uint64(round))
				ranges += rangeString(pn, pn) + " "
			}
			return []frame{ackFrame(ranges)}
		}},
		{"one packet a frame, downwards", func(last uint64, round int) (all []frame) {
			for i := range uint64(atOnce) {
				pn := last - 2*(i+atOnce*uint64(round))
				all = append(all, ackFrame(rangeString(pn, pn)))
			}
			return all
		}},
		{"one packet a frame, upwards", func(last uint64, round int) (all []frame) {
			for i := range uint64(atOnce) {
				pn := last - packets + 10 + 2*(i+atOnce*uint64(round))
				all = append(all, ackFrame(rangeString(pn, pn)))
			}
			return all
		}},
		{"the same again and again", func(last uint64, round int) (all []frame) {
			ranges := ""
			for i := range uint64(atOnce) {
				ranges += rangeString(last-2*i, last-2*i) + " "
			}
			return []frame{ackFrame(ranges)}
		}},
		{"all but the oldest again and again", func(last uint64, round int) (all []frame) {
			for range atOnce {
				all = append(all, ackFrame(rangeString(last-packets+10, last)))
			}
			return all
		}},
		{"what was lost, at the end", func(last uint64, round int) (all []frame) {
			if round == 0 {
				return []frame{ackFrame(rangeString(last, last))}
			}
			for range atOnce {
				all = append(all, ackFrame(rangeString(last-3000, last)))
			}
			return all
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tc, last := flightOf(t, packets)
			l := &tc.c.ledger
			for round := range 20 {
				frames := test.acks(last, round)
				before, inFlight := l.steps, l.packets
				late := tc.c.stats.SpuriousLosses
				tc.write(frames...)
				tc.wantOpen("it says nothing wrong")
				left := uint64(inFlight-l.packets) + tc.c.stats.SpuriousLosses - late
				// A search takes a dozen steps if numbers are missing.
				if n := l.steps - before; n > 20*atOnce+4*left {
					t.Errorf("packet %d: %d steps, %d packets left the flight", round, n, left)
				}
			}
			checkConn(t, tc.c, &tc.books)
		})
	}
}

// TestMovingCostsNothing: the port of a client changes. The packets in flight move with it, at no
// cost for each of them.
func TestMovingCostsNothing(t *testing.T) {
	tc, _ := flightOf(t, 20_000)
	before := tc.c.ledger.steps
	for i := range 100 {
		tc.writeFrom(netip.AddrPortFrom(tc.peerAddr.Addr(), uint16(2000+i)), 100, pingFrame())
	}
	if n := tc.c.ledger.steps - before; n > 100 {
		t.Errorf("%d steps", n)
	}
	if n := tc.c.ledger.packets; n < 20_000 {
		t.Errorf("%d packets are in flight", n)
	}
	checkConn(t, tc.c, &tc.books)
}

// A limitedSent keeps which packets were reported to the controller as limited by the application.
type limitedSent struct {
	wideController
	limited []bool
}

func (l *limitedSent) OnSent(s *congestion.Sent) { l.limited = append(l.limited, s.AppLimited) }

// TestDatagramBehindABurst: a datagram is too long for the rest of a burst and waits for the next
// one. This does not count as a limit by the application.
func TestDatagramBehindABurst(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1400, 1400
	})
	tc.transmit()
	pn := tc.sendPings(1, 0)
	tc.write(ackFrame(rangeString(pn[0], pn[0])))
	cc := &limitedSent{}
	tc.c.path.cc = cc
	tc.c.path.rate.limitedTo = 0
	for _, n := range []int{600, 1100, 600, 1100, 1100} {
		_, err := tc.c.SendDatagram(make([]byte, n), DatagramOptions{})
		tc.must(err)
	}
	tc.transmit()
	if len(cc.limited) != 5 {
		t.Fatalf("%d packets", len(cc.limited))
	}
	for i, limited := range cc.limited {
		if limited {
			t.Errorf("packet %d of 5 is limited by the application", i)
		}
	}
	if tc.c.path.rate.limitedTo == 0 {
		t.Error("after the last one it is not known that there are no more")
	}
}
