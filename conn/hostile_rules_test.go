package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// Peers that keep to the letter of the protocol but mean harm. More of them are in the files of the
// rules that they break.

// RFC 9368, Sections 3 and 4: version_information that cannot be, or is not true.
// RFC 9368, Section 4 [3, 4, 5, 6, 8, 9, 10, 17].
func TestHostileVersionInformation(t *testing.T) {
	be := func(versions ...uint32) string {
		var b []byte
		for _, v := range versions {
			b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		}
		return string(b)
	}
	for _, h := range []struct {
		name, by string
		value    string
		code     int64
	}{
		{"empty", "", "", errTransportParameter},
		{"cut short", "", be(Version1, Version1)[:7], errTransportParameter},
		{"version 0 chosen", "", be(0, Version1), errTransportParameter},
		{"version 0 available", "", be(Version1, 0, Version1), errTransportParameter},
		{"chosen, but not available", "client", be(Version1, Version2), errTransportParameter},
		{"another than the first packet had", "client", be(Version2, Version2), errVersionNegotiation},
		{"another than the server speaks", "server", be(Version2, Version1, Version2), errVersionNegotiation},
	} {
		param := rawParam{0x11, h.value}
		if h.by != "server" {
			l, clientTLS := newLoneServer(t, nil)
			r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}, param}))
			l.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial]))), elsewhere(1))
			if errorCode(l.err) != h.code {
				t.Errorf("%s: the server ended the connection with %v", h.name, l.err)
			}
		}
		if h.by != "client" {
			serverTLS, clientTLS := testTLS(t)
			cfg := quietConfig()
			cfg.TLS = clientTLS
			r := dialRaw(t, serverTLS, &cfg, func(p []rawParam) []rawParam { return append(p, param) })
			r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
			r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
			if errorCode(r.l.err) != h.code {
				t.Errorf("%s: the client ended the connection with %v", h.name, r.l.err)
			}
		}
	}
}

// RFC 9001, Section 6: a peer updates its keys as often as it may. That costs it as much as us, and
// leaves nothing behind.
func TestKeyUpdateFlood(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		tc.ignore(wire.FrameAck)
		phase := false
		for range 200 {
			tc.turnKeys()
			phase = !phase
			tc.write(pingFrame())
			tc.wantPhase("it follows", phase)
			tc.ackAll()
		}
		tc.wantOpen("each update waited for the one before")
		if n := tc.c.Stats().KeyUpdates; n != 200 {
			t.Errorf("%d key updates", n)
		}
		by.check()
	})
}

// controllers are the built-in congestion controllers.
var controllers = []struct {
	name string
	make func(congestion.Params) congestion.Controller
}{{"NewReno", congestion.NewReno}, {"CUBIC", congestion.NewCubic}, {"BBR", congestion.NewBBR}}

// RFC 9000, Section 13.4.2, and RFC 9002, Section 8.3: a peer reports all packets as marked. It
// gets what it asks for: the least window, and no more.
func TestAllMarked(t *testing.T) {
	for _, cc := range controllers {
		t.Run(cc.name, func(t *testing.T) {
			tc := newTestConn(t, true, func(s *testSetup) { s.conn.Congestion = cc.make })
			tc.c.path.ecn = ecnState{state: ecnTesting}
			tc.c.spaces[spaceApp].ecnSent = 0
			tc.c.spaces[spaceApp].ecnAcked = [3]uint64{}
			marked := uint64(0)
			for range 40 {
				tc.sendPings(2, 0)
				marked += 2
				tc.now = tc.now.Add(testRTT)
				tc.write(ackECNFrame(tc.ackOf(spaceApp).data, 0, 0, marked))
			}
			tc.wantOpen("a path may be that bad")
			if w := tc.c.path.cc.Window(); w < 2*minMTU || w > 15*minMTU {
				t.Errorf("the window is %d bytes", w)
			}
			if n := tc.c.Stats().CEMarks; n != marked {
				t.Errorf("%d marks counted of %d", n, marked)
			}
		})
	}
}

// RFC 9002, Section 8.3: counts that no path can produce turn ECN off, and do not move the window.
func TestMarksOfPacketsNeverSent(t *testing.T) {
	tc := ecnStory(t)
	tc.sendPings(3, 0)
	before := tc.c.path.cc.Window()
	tc.write(ackECNFrame(tc.ackOf(spaceApp).data, 3, 0, 1000))
	if tc.c.path.ecn.state != ecnFailed || tc.c.path.cc.Window() < before || tc.c.Stats().CEMarks != 0 {
		t.Errorf("state %d, window %d, %d marks", tc.c.path.ecn.state, tc.c.path.cc.Window(), tc.c.Stats().CEMarks)
	}
}

// RFC 9002, Section 6.1: a peer keeps acknowledgements back so that packets count as lost, and
// sends them after all, to have every reduction undone. The window is never larger than without the
// reduction.
func TestLateAcksGainNothing(t *testing.T) {
	for _, cc := range controllers {
		t.Run(cc.name, func(t *testing.T) {
			late := newTestConn(t, true, func(s *testSetup) { s.conn.Congestion = cc.make })
			plain := newTestConn(t, true, func(s *testSetup) { s.conn.Congestion = cc.make })
			for range 12 {
				a, b := late.sendPings(6, 0), plain.sendPings(6, 0)
				late.now, plain.now = late.now.Add(testRTT), plain.now.Add(testRTT)
				late.write(ackFrame(rangeString(a[3], a[5])))
				late.write(ackFrame(rangeString(a[0], a[5])))
				plain.write(ackFrame(rangeString(b[0], b[5])))
			}
			if late.c.Stats().SpuriousLosses == 0 {
				t.Fatal("nothing was lost in error")
			}
			if l, p := late.c.path.cc.Window(), plain.c.path.cc.Window(); l > p {
				t.Errorf("the window is %d bytes, without late acknowledgements %d", l, p)
			}
		})
	}
}

// RFC 9218: a peer gives the most urgent stream no credit. Those behind it do not wait for that.
func TestUrgentStreamWithoutCredit(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxStreamData = 100 })
	urgent, other := tc.open(Uni), tc.open(Uni)
	urgent.SetPriority(Priority{Urgency: -3})
	other.SetPriority(Priority{Urgency: 4})
	urgent.Write(make([]byte, 1000))
	tc.writeStream(other, "the rest")
	tc.collect()
	sent := map[StreamID]int{}
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		if f.typ == wire.FrameStream {
			sent[StreamID(f.v[0])] += len(f.data)
		}
	}
	if sent[urgent.ID()] != 100 || sent[other.ID()] != 8 {
		t.Errorf("bytes sent by stream: %v", sent)
	}
}

// RFC 9218, Section 7: priorities change while data waits, and that holds from the next packet on.
func TestPrioritiesChange(t *testing.T) {
	tc := newTestConn(t, true)
	a, b := tc.open(Uni), tc.open(Uni)
	a.Write(make([]byte, 3000))
	b.Write(make([]byte, 3000))
	first := func() StreamID {
		t.Helper()
		buf := make([]byte, minMTU)
		if _, ok := tc.e.Transmit(tc.now, buf, 1); !ok {
			t.Fatal("nothing is sent")
		}
		switch {
		case a.out.Sent() > 0 && b.out.Sent() == 0:
			return a.ID()
		default:
			return b.ID()
		}
	}
	if first() != a.ID() {
		t.Error("the stream that was opened first comes first")
	}
	b.SetPriority(Priority{Urgency: -1})
	before := a.out.Sent()
	if first() != b.ID() || a.out.Sent() != before {
		t.Error("the stream that became urgent waits still")
	}
	b.SetPriority(Priority{Urgency: 1})
	before = b.out.Sent()
	if first(); b.out.Sent() != before || a.out.Sent() <= uint64(minMTU)/2 {
		t.Error("the stream that became less urgent goes on before the other")
	}
}

// RFC 9000, Section 9.6.2: preferred addresses that nobody can have, or that are of the client's
// own host.
// RFC 9000, Section 21.5.6 [1].
func TestPreferredAddressOfNobody(t *testing.T) {
	for _, to := range []string{"0.0.0.0:443", "224.0.0.1:443", "10.0.0.9:0", "127.0.0.1:443"} {
		serverTLS, clientTLS := testTLS(t)
		cfg := quietConfig()
		cfg.TLS = clientTLS
		ap := netip.MustParseAddrPort(to)
		ip := ap.Addr().As4()
		address := string(ip[:]) + string([]byte{byte(ap.Port() >> 8), byte(ap.Port())}) + string(make([]byte, 18))
		r := dialRaw(t, serverTLS, &cfg, func(p []rawParam) []rawParam {
			return append(p, rawParam{0x0d, address + "\x08preferID" + string(resetTokenOf(1))})
		})
		r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
		out := r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
		if r.l.err != nil || r.c.state != stateComplete {
			t.Fatalf("%s: %v", to, r.l.err)
		}
		r.c.followPreferred() // this happens when the handshake is confirmed
		r.l.HandleTimeout(hour0().Add(time.Millisecond))
		for _, d := range append(out, r.l.drain()...) {
			if d.burst.Remote != elsewhere(1) {
				t.Errorf("%s: something was sent to %v", to, d.burst.Remote)
			}
		}
		if r.c.candidate != nil {
			t.Errorf("%s: the path is validated", to)
		}
	}
}

// preferring dials a server that prefers an address, with a connection ID and reset token for it.
func preferring(t *testing.T, id, token string) *rawServer {
	serverTLS, clientTLS := testTLS(t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	address := "\x0a\x00\x00\x09\x01\xbb" + string(make([]byte, 18))
	r := dialRaw(t, serverTLS, &cfg, func(p []rawParam) []rawParam {
		return append(p, rawParam{0x02, string(resetTokenOf(0))}, rawParam{0x0d, address + string(rune(len(id))) + id + token})
	})
	r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
	r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
	return r
}

// RFC 9000, Sections 10.3.2 and 19.15: the preferred address must have a connection ID and a reset
// token of its own.
func TestPreferredAddressWithTheSameID(t *testing.T) {
	for _, test := range []struct {
		name, id, token string
		code            int64
	}{
		{"honest", "preferID", string(resetTokenOf(1)), -1},
		{"the ID of the handshake", rawServerID, string(resetTokenOf(1)), errProtocolViolation},
		{"the reset token of the handshake", "preferID", string(resetTokenOf(0)), errProtocolViolation},
	} {
		if r := preferring(t, test.id, test.token); errorCode(r.l.err) != test.code {
			t.Errorf("%s: the connection ended with %v", test.name, r.l.err)
		}
	}
}

// TestPreferredIDIsRetired: NEW_CONNECTION_ID frames come before the handshake is confirmed. One
// retires the connection ID of the preferred address (RFC 9000, Section 5.1.2), another gives its
// sequence number to another ID.
func TestPreferredIDIsRetired(t *testing.T) {
	r := preferring(t, "preferID", string(resetTokenOf(1)))
	err := r.c.newRemoteID(1, 0, []byte("another"), [16]byte(resetTokenOf(7)))
	if errorCode(err) != errProtocolViolation {
		t.Errorf("another ID with the number of the preferred address: %v", err)
	}
	if err := r.c.newRemoteID(2, 2, []byte("the next"), [16]byte(resetTokenOf(2))); err != nil {
		t.Fatal(err)
	}
	r.c.followPreferred() // this happens when the handshake is confirmed
	for _, x := range r.c.remote.ids {
		if x.seq < 2 {
			t.Errorf("connection ID %d is in use", x.seq)
		}
	}
	if r.c.candidate != nil {
		t.Error("there is no connection ID for the preferred address")
	}
}

// RFC 9000, Section 9: a client moves though the server does not want active migration. It may be a
// NAT: the server validates the new address, and sends there no more than it may until then.
// RFC 9000, Section 9 [3].
func TestMigrationThoughDisabled(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.DisableActiveMigration = true })
	tc.left = tc.peerAddr
	tc.writeFrom(elsewhere(1), 100, pingFrame())
	tc.collect()
	if n := tc.bytesOut(elsewhere(1)); n > 3*150 {
		t.Errorf("%d bytes were sent to an address that is not validated", n)
	}
	data, to := tc.challengeOf("the new address is validated")
	if to != elsewhere(1) {
		t.Fatalf("the challenge went to %v", to)
	}
	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	data, _ = tc.challengeOf("it is validated again, in a datagram as large as those that follow")
	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	tc.wantEvent("the path is validated", EventPathChanged)
	tc.wantOpen("that is no error")
}
