package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// The handshake: coalescing, anti-amplification, keys that are discarded (RFC 9000, Sections 7, 8.1
// and 12.2; RFC 9001, Section 4.9).

// handshakeServer returns a server that has sent its first flight. Neither the test has looked at
// it nor the client got it.
func handshakeServer(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, true, edit...)
	tc.exchange(func() bool { return tc.c != nil })
	tc.collect()
	tc.dcid = tc.c.local.ids[0].id
	return tc
}

// finishOf lets the real client finish the handshake with what the server has sent. It returns the
// CRYPTO frame with the client's Finished. The server does not get that.
func (tc *testConn) finishOf() frame {
	tc.t.Helper()
	for _, d := range tc.datagrams {
		tc.peerE.Receive(tc.now, Datagram{Data: append([]byte(nil), d.data...), Remote: tc.addr, Local: tc.peerAddr})
	}
	for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
		for b := d.data; len(b) > 0 && wire.IsLong(b[0]); {
			h, ok := wire.ParseLong(b)
			if !ok {
				tc.t.Fatal("the client sent a malformed packet")
			}
			if h.Type == wire.TypeHandshake {
				tx := tc.c.spaces[spaceHandshake].rx
				pnLen, pn, _ := tx.Unprotect(b[:h.End], h.PNOff)
				payload, ok := tx.Open(b[:h.End], h.PNOff+pnLen, pn)
				if !ok {
					tc.t.Fatal("the client's packet does not open")
				}
				for len(payload) > 0 {
					f, n := parseFrame(payload)
					if f.typ == wire.FrameCrypto {
						return f
					}
					payload = payload[n:]
				}
			}
			b = b[h.End:]
		}
	}
	tc.t.Fatal("the client sent no Finished")
	return frame{}
}

// TestAckBehindFinished: the ACK frame of a Handshake packet stands behind the CRYPTO frame that
// ends the handshake, and with it the space.
func TestAckBehindFinished(t *testing.T) {
	tc := handshakeServer(t)
	finished := tc.finishOf()
	ack := tc.ackOf(spaceHandshake)
	tc.writeIn(spaceHandshake, finished, ack)
	if tc.c.state != stateConfirmed {
		t.Fatal("the handshake is not confirmed")
	}
	tc.wantOpen("an acknowledgement in a space that has just gone")
	if n := tc.c.path.inFlight; n > 1<<20 {
		t.Fatalf("%d bytes are in flight", int64(n))
	}
}

// completeClient returns a client that has completed the handshake. The server has not confirmed
// it.
func completeClient(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, false, edit...)
	tc.exchange(func() bool { return tc.c.state == stateComplete })
	tc.takeOver()
	return tc
}

// TestLossTimersOfTwoSpaces: packets of one space are due to be declared lost before those of
// another.
func TestLossTimersOfTwoSpaces(t *testing.T) {
	for _, order := range [][2]spaceID{{spaceApp, spaceHandshake}, {spaceHandshake, spaceApp}} {
		tc := completeClient(t)
		for _, space := range order {
			for range 2 { // the later one is acknowledged
				tc.pingIn(space)
			}
			tc.now = tc.now.Add(time.Millisecond)
		}
		tc.now = tc.now.Add(testRTT - 2*time.Millisecond)
		for _, space := range order {
			newest := uint64(tc.largest[space])
			tc.writeIn(space, ackFrame(rangeString(newest, newest)))
			if tc.c.spaces[space].sent.lossTime == 0 {
				t.Fatal("there is no loss timer")
			}
		}
		tc.advance(testRTT) // this fails if a timer is due for ever
		if n := tc.c.stats.PacketsLost; n < 2 {
			t.Errorf("%d packets count as lost", n)
		}
	}
}

// handshakeClient returns a client that has the ServerHello, and therefore Handshake keys, and
// nothing more.
func handshakeClient(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, false, edit...)
	tc.exchange(func() bool { return tc.peer != nil })
	for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
		h, ok := wire.ParseLong(d.data)
		if !ok || h.Type != wire.TypeInitial {
			continue
		}
		tc.deliver(d.data[:h.End], tc.peerAddr, NotECT)
	}
	if sp := tc.c.spaces[spaceHandshake]; sp.rx == nil || tc.c.state != stateHandshake {
		t.Fatal("the client has no Handshake keys")
	}
	tc.collect()
	tc.takeKeys()
	return tc
}

// TestHandshakePackets follows a handshake packet by packet.
// RFC 9000, Section 6 [1]; RFC 9000, Section 8.1 [3]; RFC 9000, Section 13.2.6 [1, 2]; RFC 9000,
// Section 14 [1]; RFC 9000, Section 14.1 [1].
// RFC 9000, Section 17.2.3 [4].
func TestHandshakePackets(t *testing.T) {
	tc := startTestConn(t, false)
	hello := tc.wantPacketType("the client begins", PacketInitial)
	if n := len(tc.datagrams[0].data); n < minMTU || hello.frames[0].typ != wire.FrameCrypto {
		// RFC 9000, Section 14.1, and RFC 9001, Section 9.3 [1]
		t.Fatalf("with %v in %d bytes", hello, n)
	}
	tc.wantIdle("and waits")
	tc.exchange(func() bool { return tc.c.state == stateComplete })
	tc.collect()
	if len(tc.datagrams) != 1 {
		t.Fatalf("the client answers in %d datagrams", len(tc.datagrams))
	}
	// RFC 9000, Section 12.2, and RFC 9001, Section 4 [2]: all of it goes into one datagram.
	types := map[PacketType]bool{}
	for _, p := range tc.datagrams[0].packets {
		types[p.typ] = true
	}
	if !types[PacketInitial] || !types[PacketHandshake] || len(tc.datagrams[0].data) < minMTU {
		t.Errorf("the client's answer has packets %v in %d bytes", types, len(tc.datagrams[0].data))
	}
	if tc.c.spaces[spaceInitial] != nil {
		t.Error("the client has not discarded its Initial keys") // RFC 9001, Section 4.9.1 [1, 3]
	}
	if tc.c.spaces[spaceHandshake] == nil {
		t.Error("the client has discarded its Handshake keys before the handshake is confirmed")
	}
	tc.exchange(func() bool { return false })
	if tc.c.spaces[spaceHandshake] != nil || tc.c.state != stateConfirmed {
		// RFC 9001, Section 4.9.2 [1]
		t.Error("the client has Handshake keys where the handshake is confirmed")
	}
	if !tc.c.HandshakeComplete() || tc.c.TLS().NegotiatedProtocol != "test" {
		t.Errorf("complete %v, protocol %q", tc.c.HandshakeComplete(), tc.c.TLS().NegotiatedProtocol)
	}
}

// wantPacketType wants the next packet to be of a type.
func (tc *testConn) wantPacketType(why string, typ PacketType) *seenPacket {
	tc.t.Helper()
	tc.collect()
	if len(tc.queue) == 0 || tc.queue[0].typ != typ {
		tc.t.Fatalf("%s: got %v", why, tc.queue)
	}
	p := tc.queue[0]
	tc.queue = tc.queue[1:]
	return p
}

// RFC 9000, Section 13.2.1 [2]; RFC 9000, Section 14.1 [2]; RFC 9000, Section 17.2.2 [1]; RFC 9000,
// Section 19.20 [1].
func TestServerHandshakePackets(t *testing.T) {
	tc := handshakeServer(t)
	types := map[PacketType]bool{}
	for _, d := range tc.datagrams {
		for _, p := range d.packets {
			types[p.typ] = true
			if p.typ == PacketInitial && len(d.data) < minMTU {
				// RFC 9000, Section 14.1
				t.Errorf("an ack-eliciting Initial in %d bytes", len(d.data))
			}
			if p.typ == PacketInitial && len(p.header.Token) != 0 {
				t.Error("the server sends a token")
			}
		}
	}
	if !types[PacketInitial] || !types[PacketHandshake] {
		t.Errorf("the flight has %v", types)
	}
	tc.takeKeys()
	tc.flush()
	if tc.c.path.validated {
		t.Error("the address counts as validated by a first packet")
	}
	tc.writeIn(spaceHandshake, pingFrame())
	if !tc.c.path.validated {
		t.Error("a Handshake packet does not validate the address") // RFC 9000, Section 8.1
	}
	if tc.c.spaces[spaceInitial] != nil {
		t.Error("the server has not discarded its Initial keys") // RFC 9001, Section 4.9.1 [2, 3]
	}
}

// TestEventsOfHandshake: in the order that they are documented in.
func TestEventsOfHandshake(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := startTestConn(t, server)
		tc.exchange(func() bool { return false })
		if server {
			tc.wantEvent("the name and the protocol are known", EventAccepted)
			tc.wantEvent("the handshake is complete", EventConnected)
		} else {
			for i, want := range []EventKind{EventConnected, EventStreamsAvailable, EventNewToken} {
				if i >= len(tc.events) || tc.events[i].Kind != want {
					t.Fatalf("event %d is %+v, want %d", i, tc.events, want)
				}
			}
			tc.events = tc.events[3:]
		}
		tc.wantNoEvent("that is all")
	})
}

// TestBlockedByAmplification: a server that may not send more goes on when the client sends
// something.
// RFC 9002, Section 6.2.2.1 [1].
func TestBlockedByAmplification(t *testing.T) {
	tc := handshakeServer(t, func(s *testSetup) {
		certs := s.conn.TLS.Certificates[0].Certificate
		for range 40 {
			certs = append(certs, certs[0])
		}
		s.conn.TLS.Certificates[0].Certificate = certs
	})
	sent := 0
	for _, d := range tc.datagrams {
		sent += len(d.data)
	}
	if got := int(tc.c.path.received); sent > 3*got || sent < 3*got-minMTU {
		t.Fatalf("%d bytes sent for %d", sent, got)
	}
	tc.takeKeys()
	tc.flush()
	tc.advance(3 * time.Second)
	tc.flush()
	if n := tc.e.Stats().AmplificationBlocks; n != 1 {
		t.Errorf("AmplificationBlocks = %d", n)
	}
	if n := tc.c.stats.PTOs; n != 0 {
		t.Errorf("%d probe timeouts where no probe may be sent", n)
	}
	// RFC 9002, Section 6.2.2.1: no timer makes it send more than it may.
	tc.wantIdle("it is blocked")
	tc.writeIn(spaceInitial, pingFrame())
	tc.collect()
	again := 0
	for _, d := range tc.datagrams {
		again += len(d.data)
	}
	if again == 0 || again > 3*minMTU {
		t.Errorf("%d bytes sent for 1200 more", again)
	}
}

// TestLostClientHello: the client repeats it at ever longer intervals, until the handshake timeout.
// RFC 9002, Section 6.2.2 [1].
func TestLostClientHello(t *testing.T) {
	tc := startTestConn(t, false)
	first, _ := tc.wantType("the client begins", wire.FrameCrypto)
	tc.flush()
	for _, want := range []time.Duration{1, 2, 4} {
		if d := tc.timer(); d < want*900*time.Millisecond || d > want*1100*time.Millisecond {
			// RFC 9002, Section 6.2.2
			t.Errorf("the timer is due in %v, want about %v", d, want*time.Second)
		}
		tc.advanceToTimer()
		again, p := tc.wantType("it repeats what was lost", wire.FrameCrypto)
		if again != first || p.burst.N < minMTU {
			t.Errorf("%v in %d bytes", again, p.burst.N)
		}
		tc.flush()
	}
	tc.advance(10 * time.Second)
	if err := tc.wantEnd("nobody answers"); err != ErrHandshakeTimeout {
		t.Errorf("%v", err)
	}
}

// TestInitialRTT: a client that knows the network to be near waits less.
func TestInitialRTT(t *testing.T) {
	for _, test := range []struct{ guess, want time.Duration }{
		{0, 999 * time.Millisecond},
		{100 * time.Millisecond, 300 * time.Millisecond},
		{-1, 3 * time.Millisecond},
	} {
		tc := startTestConn(t, false, func(s *testSetup) { s.conn.InitialRTT = test.guess })
		tc.wantType("the client begins", wire.FrameCrypto)
		tc.flush()
		tc.wantTimer("three round trips, as far as it knows", test.want)
	}
}

// TestProbesOfBothSpaces: a server whose flight is lost sends all of it again. Both spaces share
// one backoff.
// RFC 9002, Section 6.2.1 [2]; RFC 9002, Section 6.2.4 [3].
func TestProbesOfBothSpaces(t *testing.T) {
	tc := handshakeServer(t)
	tc.c.path.received = 1 << 20 // keeps anti-amplification out of this test
	tc.flush()
	for _, want := range []time.Duration{1, 2, 4} {
		if d := tc.timer(); d < want*900*time.Millisecond || d > want*1100*time.Millisecond {
			t.Errorf("the timer is due in %v, want about %v", d, want*time.Second)
		}
		tc.advanceToTimer()
		tc.collect()
		crypto := map[PacketType]bool{}
		for _, p := range tc.queue {
			for _, f := range p.frames {
				if f.typ == wire.FrameCrypto {
					crypto[p.typ] = true
				}
			}
		}
		if !crypto[PacketInitial] || !crypto[PacketHandshake] {
			// RFC 9002, Section 6.2.4; RFC 9001, Section 4 [1], and RFC 9001, Section 4.9 [1]
			t.Errorf("CRYPTO frames in packets of types %v alone", crypto)
		}
		tc.flush()
	}
}

// TestProbeBeforeData: a Handshake packet with only a PING stands in front of a 1-RTT packet. By
// itself it would be too short for a sample.
func TestProbeBeforeData(t *testing.T) {
	tc := completeClient(t)
	tc.flush()
	tc.c.spaces[spaceHandshake].probes = 1
	s := tc.open(Uni)
	tc.writeStream(s, "data")
	p := tc.wantFrame("a probe", pingFrame()) // this fails if a packet does not decrypt
	if p.typ != PacketHandshake {
		t.Fatalf("the probe is %v", p)
	}
	if with := tc.wantFrame("data goes with it", streamFrame(s.ID(), 0, "data")); with.burst != p.burst {
		t.Error("the packets are in two datagrams")
	}
}

// TestReorderedHandshake: the server's packets come in another order, and some come twice.
// RFC 9000, Section 7.5 [1].
func TestReorderedHandshake(t *testing.T) {
	tc := startTestConn(t, false, func(s *testSetup) {
		certs := s.peer.TLS.Certificates[0].Certificate
		for range 8 {
			certs = append(certs, certs[0])
		}
		s.peer.TLS.Certificates[0].Certificate = certs
	})
	tc.exchange(func() bool { return tc.peer != nil })
	flight := drainEndpoint(tc.peerE, tc.now, tc.buf)
	if len(flight) < 2 {
		t.Fatalf("the flight has %d datagrams", len(flight))
	}
	for i := len(flight) - 1; i >= 0; i-- {
		tc.deliver(append([]byte(nil), flight[i].data...), tc.peerAddr, NotECT)
		tc.deliver(append([]byte(nil), flight[i].data...), tc.peerAddr, NotECT)
	}
	tc.exchange(func() bool { return false })
	if tc.c.state != stateConfirmed || tc.peer.state != stateConfirmed {
		t.Errorf("states %d and %d", tc.c.state, tc.peer.state)
	}
}

// TestEarlyPackets: 1-RTT packets of the peer come before the handshake is complete. They are not
// lost.
func TestEarlyPackets(t *testing.T) {
	tc := startTestConn(t, true)
	tc.exchange(func() bool { return tc.peer.state == stateComplete })
	s, err := tc.peer.OpenStream(Uni)
	tc.must(err)
	s.Write([]byte("early bird"))
	out := drainEndpoint(tc.peerE, tc.now, tc.buf)
	// The 1-RTT packet overtakes the Finished.
	var first, last []byte
	for _, d := range out {
		for b := d.data; len(b) > 0; {
			n := len(b)
			if wire.IsLong(b[0]) {
				h, _ := wire.ParseLong(b)
				n = h.End
				first = append(first, b[:n]...)
			} else {
				last = append(last, b...)
			}
			b = b[n:]
		}
	}
	if len(last) == 0 {
		t.Fatal("the client sent no data")
	}
	tc.deliver(last, tc.peerAddr, NotECT)
	if len(tc.c.streams.all) != 0 {
		// RFC 9001, Section 5.7 [1, 2]
		t.Fatal("a 1-RTT packet is taken before the handshake is complete")
	}
	tc.deliver(first, tc.peerAddr, NotECT)
	if got, _ := tc.readStream(tc.stream(s.ID())); got != "early bird" {
		t.Errorf("read %q", got)
	}
}

// TestWaitingIsNoRoundTrip: the time that a packet waits for its keys is no part of an RTT sample.
// RFC 9002, Section 5.3 [5]; RFC 9000, Section 13.2.5 [1, 2, 3].
func TestWaitingIsNoRoundTrip(t *testing.T) {
	tc := startTestConn(t, true)
	tc.exchange(func() bool { return tc.c != nil && tc.c.hasPeer })
	s, err := tc.c.OpenStream(Uni)
	tc.must(err)
	s.Write([]byte("before the handshake is complete"))
	tc.exchange(func() bool { return tc.peer.state == stateComplete && len(tc.peer.streams.all) > 0 })
	own, err := tc.peer.OpenStream(Uni)
	tc.must(err)
	own.Write([]byte("with an ACK frame"))
	var handshake, short []byte
	for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
		for b := d.data; len(b) > 0; {
			h, ok := wire.ParseLong(b)
			if !ok {
				short = append(short, b...)
				break
			}
			handshake = append(handshake, b[:h.End]...)
			b = b[h.End:]
		}
	}
	tc.deliver(short, tc.peerAddr, NotECT)
	came := tc.now
	tc.now = tc.now.Add(70 * time.Millisecond)
	tc.deliver(handshake, tc.peerAddr, NotECT)
	if !tc.c.HandshakeComplete() || tc.c.spaces[spaceApp].sent.largestAcked < 0 {
		t.Fatal("the packets do not what the test needs")
	}
	// RFC 9000, Section 13.2.5 [2]: the peer is told how long the packet waited.
	if at := tc.c.spaces[spaceApp].recv.largestAt; tc.c.e.clock(tc.now).sub(at) != tc.now.Sub(came) {
		t.Errorf("the packet came at %v", at)
	}
	if got := tc.c.path.rtt.latest; got > testRTT+tc.now.Sub(came)/2 {
		t.Errorf("a sample of %v", got)
	}
}
