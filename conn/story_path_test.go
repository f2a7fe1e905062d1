package conn

import (
	"io"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// Paths: a client whose address changes, probes, migration (RFC 9000, Sections 8.2 and 9).

// writeFrom writes frames from another address.
func (tc *testConn) writeFrom(from netip.AddrPort, size int, frames ...frame) {
	tc.t.Helper()
	tc.send(testPacket{space: spaceApp, frames: frames, from: from, size: size})
}

// challengeOf collects a PATH_CHALLENGE frame. It returns its data and its destination.
func (tc *testConn) challengeOf(why string) (data string, to netip.AddrPort) {
	tc.t.Helper()
	tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID, wire.FramePing)
	f, p := tc.wantType(why, wire.FramePathChallenge)
	return f.data, p.burst.Remote
}

// RFC 9000, Section 9 [4]; RFC 9000, Section 9.3 [1, 2, 4]; RFC 9000, Section 9.4 [2]; RFC 9000,
// Section 19.7 [1].
func TestServerFollowsClient(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	before := tc.c.path.cc.Window()
	idBefore := *tc.c.remote.current()
	tc.c.path.rtt.smoothed = 40 * time.Millisecond
	tc.writeFrom(elsewhere(1), 1200, pingFrame())
	data, to := tc.challengeOf("a client that has moved is asked whether it is there")
	if to != elsewhere(1) {
		t.Fatalf("the challenge went to %v", to)
	}
	if tc.c.RemoteAddr() != elsewhere(1) {
		t.Errorf("the server sends to %v still", tc.c.RemoteAddr())
	}
	if id := *tc.c.remote.current(); id == idBefore {
		t.Error("the new path has the connection ID of the old one") // RFC 9000, Section 9.5
	}
	if tc.c.path.rtt.sampled || tc.c.path.cc.Window() > before {
		t.Error("estimates of the old path are used for the new one") // RFC 9000, Section 9.4
	}
	tc.wantNoEvent("the address is not validated yet")
	tc.writeFrom(elsewhere(1), 0, responseFrame(data))
	ev := tc.wantEvent("the path is validated", EventPathChanged)
	if ev.Remote != elsewhere(1) || !tc.c.path.validated {
		t.Errorf("event %+v", ev)
	}
	token, p := tc.wantType("the client gets a token for its new address", wire.FrameNewToken)
	if p.burst.Remote != elsewhere(1) {
		t.Errorf("the token went to %v", p.burst.Remote)
	}
	if tok := tc.e.tokens.open([]byte(token.data), tc.now, elsewhere(1)); tok.kind != TokenNewToken {
		t.Errorf("a token of kind %d for the new address", tok.kind)
	}
	s := tc.open(Uni)
	tc.writeStream(s, "hello")
	if p := tc.wantFrame("data follows", streamFrame(s.ID(), 0, "hello")); p.burst.Remote != elsewhere(1) {
		t.Errorf("data went to %v", p.burst.Remote)
	}
	tc.wantIdle("nothing more")
}

// RFC 9000, Section 9.4 [2].
func TestServerKeepsEstimatesWhereThePortChanged(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	s := tc.open(Uni)
	tc.writeStream(s, "in flight")
	tc.flush()
	cc, inFlight := tc.c.path.cc, tc.c.path.inFlight
	port := netip.AddrPortFrom(tc.peerAddr.Addr(), 4242)
	tc.writeFrom(port, 1200, pingFrame())
	if tc.c.path.cc != cc || tc.c.path.rtt.smoothed != testRTT || tc.c.path.inFlight != inFlight {
		t.Error("a change of the port alone should leave the estimates") // RFC 9000, Section 9.4
	}
	data, _ := tc.challengeOf("the port is validated nevertheless")
	tc.peerAddr = port
	tc.write(responseFrame(data), tc.ackOf(spaceApp))
	tc.wantEvent("the path is validated", EventPathChanged)
	tc.ackAll()
	if n := tc.c.path.inFlight; n != 0 {
		t.Errorf("%d bytes in flight where all is acknowledged", n)
	}
}

// TestSlowPathIsLeftSlowly: a path gets three times the probe timeout of the one before to be
// validated, if that is longer than its own.
// RFC 9000, Section 8.2.4 [1].
func TestSlowPathIsLeftSlowly(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	tc.c.path.rtt.smoothed = 3 * time.Second
	least := 3 * tc.c.path.rtt.pto()
	tc.writeFrom(elsewhere(1), minMTU, pingFrame())
	if tc.c.RemoteAddr() != elsewhere(1) {
		t.Fatal("the server has not followed the client")
	}
	if d := tc.c.path.challenge.until.sub(tc.e.now); d < least {
		t.Errorf("the new path has %v to be validated, want %v", d, least)
	}
}

// TestAnswerOnPathThatWasLeftIsWide: the path that the client has left is validated, so nothing
// limits the answer to a small PATH_CHALLENGE that comes by it.
// RFC 9000, Section 8.2.2 [5].
func TestAnswerOnPathThatWasLeftIsWide(t *testing.T) {
	tc := newTestConn(t, true)
	tc.writeFrom(elsewhere(1), minMTU, pingFrame())
	tc.flush()
	if tc.c.RemoteAddr() != elsewhere(1) || tc.c.oldPath == nil {
		t.Fatal("the server has not followed the client")
	}
	tc.writeFrom(tc.peerAddr, 60, challengeFrame("12345678"))
	tc.ignore(wire.FrameAck, wire.FramePing)
	_, p := tc.wantType("the answer", wire.FramePathResponse)
	if p.burst.Remote != tc.peerAddr || p.burst.N != minMTU {
		t.Errorf("%d bytes to %v", p.burst.N, p.burst.Remote)
	}
}

// TestNarrowPathIsValidatedTwice: the anti-amplification limit keeps the first PATH_CHALLENGE in a
// small datagram. The answer to it shows that the client is there, and not that the path carries
// what QUIC needs. RFC 9000, Section 8.2.1 [5], and RFC 9000, Section 8.2.3 [1].
func TestNarrowPathIsValidatedTwice(t *testing.T) {
	for _, wide := range []bool{true, false} {
		tc := newTestConn(t, true)
		tc.left = tc.peerAddr
		tc.writeFrom(elsewhere(1), 100, pingFrame())
		data, to := tc.challengeOf("the client is asked whether it is there")
		if n := tc.current.burst.N; to != elsewhere(1) || n >= minMTU {
			t.Fatalf("%d bytes to %v", n, to)
		}
		tc.writeFrom(elsewhere(1), 0, responseFrame(data))
		data, to = tc.challengeOf("the client is asked again")
		if n := tc.current.burst.N; to != elsewhere(1) || n != minMTU {
			t.Fatalf("%d bytes to %v", n, to)
		}
		tc.wantNoEvent("the path is not known to be wide enough")
		if !wide {
			tc.advance(10 * time.Second)
			if to := tc.c.RemoteAddr(); to != tc.peerAddr {
				t.Errorf("the server sends to %v", to)
			}
			continue
		}
		tc.writeFrom(elsewhere(1), 0, responseFrame(data))
		if ev := tc.wantEvent("the path is validated", EventPathChanged); ev.Remote != elsewhere(1) {
			t.Errorf("event %+v", ev)
		}
		tc.flush()
		if tc.c.path.challenge.active {
			t.Error("a third validation")
		}
	}
}

// TestChallengesAreLost loses PATH_CHALLENGE frames: as many as are sent before validation fails.
// RFC 9000, Section 8.2.1 [1, 2, 3]; RFC 9000, Section 8.2.4 [1, 2]; RFC 9000, Section 9.4 [3, 4].
func TestChallengesAreLost(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	tc.writeFrom(elsewhere(1), 1200, pingFrame())
	tc.challengeOf("the client is asked whether it is there")
	pto := tc.c.path.rtt.pto()
	for range challengeTries - 1 {
		tc.advance(pto - 3*time.Millisecond)
		tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID, wire.FramePing)
		tc.wantIdle("the challenge may still be answered")
		tc.advance(3 * time.Millisecond)
		tc.challengeOf("it is asked again")
		pto *= 2
	}
	tc.advance(time.Second)
	if tc.c.RemoteAddr() != tc.peerAddr {
		t.Error("nobody has answered, and the server follows all the same")
	}
}

// RFC 9000, Section 9.6.3 [4].
func TestServerStaysForProbes(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	tc.writeFrom(elsewhere(1), 1200, challengeFrame("probe..."), paddingFrames(10))
	p := tc.wantFrame("a probe is answered", responseFrame("probe..."))
	if p.burst.Remote != elsewhere(1) || p.burst.N < minMTU {
		// RFC 9000, Section 8.2.2: expanded
		t.Errorf("the answer of %d bytes went to %v", p.burst.N, p.burst.Remote)
	}
	if tc.c.RemoteAddr() != tc.peerAddr {
		t.Error("the server moved for a probing packet")
	}
	// RFC 9000, Section 9.6.3
	f, with := tc.wantType("the probe is challenged", wire.FramePathChallenge)
	if with.burst != p.burst {
		t.Error("the challenge is in another datagram than the answer")
	}
	probed := string(p.dcid)
	if probed == string(tc.c.remote.current().bytes()) {
		t.Error("both paths have one connection ID") // RFC 9000, Section 9.5
	}
	tc.ignore(wire.FrameAck, wire.FramePing)
	tc.advance(5 * time.Second)
	tc.wantIdle("what nobody asked for is not sent again")

	tc.writeFrom(elsewhere(1), 0, responseFrame(f.data))
	tc.wantNoEvent("a probing packet is no migration")
	tc.writeFrom(elsewhere(1), 0, pingFrame())
	if ev := tc.wantEvent("the path is validated already", EventPathChanged); ev.Remote != elsewhere(1) {
		t.Errorf("event %+v", ev)
	}
	if string(tc.c.remote.current().bytes()) != probed {
		t.Error("the path has another connection ID than when it was probed")
	}
	tc.ignore(wire.FrameRetireConnectionID, wire.FrameNewToken)
	tc.wantIdle("no further challenge")
}

// TestServerProbesOnePath: a client probes many paths. The server asks on each, but validates only
// the last one.
func TestServerProbesOnePath(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID, wire.FramePathResponse)
	var last string
	for i := range 20 {
		tc.writeFrom(elsewhere(i), 1200, challengeFrame("probe..."), challengeFrame("probe.2."))
		f, p := tc.wantType("the probe is challenged", wire.FramePathChallenge)
		if p.burst.Remote != elsewhere(i) || f.data == last {
			t.Fatalf("challenge %q to %v", f.data, p.burst.Remote)
		}
		tc.wantIdle("once for a datagram")
		last = f.data
	}
	tc.writeFrom(elsewhere(19), 0, responseFrame(last))
	tc.writeFrom(elsewhere(18), 1200, pingFrame())
	tc.wantNoEvent("another path than the validated one")
	tc.wantType("it is challenged", wire.FramePathChallenge)
}

func TestServerStaysForOldPackets(t *testing.T) {
	tc := newTestConn(t, true)
	old := tc.next[spaceApp]
	tc.next[spaceApp]++
	tc.write(pingFrame())
	tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, from: elsewhere(1), pn: old, fixed: true})
	if tc.c.RemoteAddr() != tc.peerAddr {
		t.Error("the server moved for a packet that is not the newest") // RFC 9000, Section 9.3
	}
}

// RFC 9000, Section 9 [5]; RFC 9000, Section 9.6 [1].
func TestClientStaysForItsServer(t *testing.T) {
	tc := newTestConn(t, false)
	tc.writeFrom(elsewhere(1), 0, pingFrame(), pingFrame())
	tc.wantIdle("a server that turns up elsewhere is not heard") // RFC 9000, Section 9
	if tc.c.RemoteAddr() != tc.peerAddr {
		t.Error("the client followed its server")
	}
}

// TestAcceptFromAnywhere: a packet from another address counts as one from the server. The client
// stays with the address to which it sends.
func TestAcceptFromAnywhere(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.conn.AcceptFromAnywhere = true })
	id := tc.theirs(Uni, 0)
	tc.writeFrom(elsewhere(1), 0, finFrame(id, 0, "hello"), challengeFrame("12345678"))
	tc.ignore(wire.FrameAck)
	tc.wantFrame("the answer goes to the server", responseFrame("12345678"))
	if got, err := tc.readStream(tc.stream(id)); got != "hello" || err != io.EOF {
		t.Errorf("read %q, %v", got, err)
	}
	if tc.c.RemoteAddr() != tc.peerAddr || tc.bytesOut(elsewhere(1)) != 0 {
		t.Error("the client followed its server")
	}
}

// RFC 9000, Section 9.3 [3]; RFC 9000, Section 9.3.2 [1].
func TestSpoofedMigrationFallsBack(t *testing.T) {
	tc := newTestConn(t, true)
	by := tc.bystand()
	s := tc.open(Uni)
	tc.writeStream(s, "before the attack")
	tc.wantFrame("data leaves", streamFrame(s.ID(), 0, "before the attack"))
	held := tc.next[spaceApp]
	tc.next[spaceApp]++
	// An attacker has held back a packet of the client. It sends it from the address of its victim.
	tc.writeFrom(elsewhere(7), 0, pingFrame())
	tc.flush()
	// Meanwhile the client goes on and acknowledges. Its newest packets still come from its own
	// address.
	cwnd := tc.c.oldPath.cc.Window()
	tc.send(testPacket{space: spaceApp, frames: []frame{tc.ackOf(spaceApp)}, pn: held, fixed: true})
	tc.advance(4 * time.Second)
	if got := tc.c.RemoteAddr(); got != tc.peerAddr {
		t.Fatalf("the server still sends to %v", got) // RFC 9000, Section 9.3.2
	}
	tc.ackAll()
	if tc.c.path.inFlight != 0 {
		t.Errorf("%d bytes count as in flight on the old path", tc.c.path.inFlight)
	}
	if got := tc.c.path.cc.Window(); got < cwnd {
		t.Errorf("the attack lowered the congestion window from %d to %d", cwnd, got)
	}
	tc.flush()
	tc.writeStream(s, "after it")
	if p := tc.wantFrame("data goes to the client", streamFrame(s.ID(), 17, "after it")); p.burst.Remote != tc.peerAddr {
		t.Errorf("data went to %v", p.burst.Remote)
	}
	by.check()
}

func TestSpoofedMigrationEndsWithTheClient(t *testing.T) {
	tc := newTestConn(t, true)
	s := tc.open(Uni)
	tc.writeStream(s, "in flight")
	tc.flush()
	tc.writeFrom(elsewhere(7), 0, pingFrame())
	tc.writeFrom(elsewhere(7), 0, tc.ackOf(spaceApp))
	tc.flush()
	tc.write(pingFrame())
	if got := tc.c.RemoteAddr(); got != tc.peerAddr {
		t.Fatalf("the newest packet came from the client, but the server sends to %v", got)
	}
	tc.wantOpen("back again")
	tc.ackAll()
	if tc.c.path.inFlight != 0 {
		t.Errorf("%d bytes count as in flight", tc.c.path.inFlight)
	}
}

// RFC 9000, Section 8 [1]; RFC 9000, Section 9.3 [3].
func TestMigrationIsNotAmplified(t *testing.T) {
	tc := newTestConn(t, true)
	s := tc.open(Uni)
	if _, err := s.Write(make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	tc.flush()
	victim := elsewhere(3)
	in := 0
	for i := range 10 {
		b := tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame(), challengeFrame("12345678"), challengeFrame("abcdefgh")}, size: 40 + 300*(i%2)})
		in += len(b)
		tc.deliver(b, victim, NotECT)
		tc.advance(100 * time.Millisecond)
		if out := tc.bytesOut(victim); out > 3*in {
			// RFC 9000, Section 9.3.1
			t.Fatalf("%d bytes went to an address that %d came from", out, in)
		}
	}
	tc.advance(3 * time.Second)
	if out := tc.bytesOut(victim); out > 3*in {
		t.Fatalf("%d bytes went to an address that %d came from", out, in)
	}
}

// RFC 9000, Section 8.2.1 [6]; RFC 9000, Section 8.2.2 [6].
func TestProbesAreNotAmplified(t *testing.T) {
	tc := newTestConn(t, true)
	victim := elsewhere(3)
	for size := 40; size <= 1200; size += 58 {
		tc.flush()
		frames := make([]frame, 0, 4)
		for range min(4, (size-30)/9) {
			frames = append(frames, challengeFrame("12345678"))
		}
		b := tc.seal(testPacket{space: spaceApp, frames: frames, size: size})
		tc.deliver(b, victim, NotECT)
		if out := tc.bytesOut(victim); out > 3*len(b) {
			t.Errorf("a datagram of %d bytes with %d challenges is answered with %d bytes", len(b), len(frames), out)
		}
	}
}

// TestPortRotation: the client's address changes again and again, and it answers no challenge.
func TestPortRotation(t *testing.T) {
	tc := newTestConn(t, true)
	by := tc.bystand()
	s := tc.open(Uni)
	for i := range 600 {
		if _, err := s.Write(make([]byte, 100)); err != nil && err != ErrWouldBlock {
			t.Fatal(err)
		}
		tc.writeFrom(elsewhere(i), 100, pingFrame())
		tc.collect()
		if i == 400 {
			tc.writeFrom(elsewhere(i), 100, tc.ackOf(spaceApp))
		}
		tc.flush()
	}
	tc.wantOpen("moving is allowed")
	for _, ev := range tc.events {
		if ev.Kind == EventPathChanged {
			t.Fatal("the path changed without validation")
		}
	}
	if n := len(tc.c.responses); n > maxResponses {
		t.Errorf("%d answers wait", n)
	}
	tc.advance(5 * time.Second)
	if got := tc.c.RemoteAddr(); got != tc.peerAddr {
		t.Errorf("after all that the server sends to %v", got)
	}
	by.check()
}

// RFC 9000, Section 8.2.2 [7].
func TestChallengeFlood(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		for i := range 1000 {
			from := tc.peerAddr
			if server {
				from = elsewhere(i)
			}
			tc.send(testPacket{space: spaceApp, from: from, frames: []frame{challengeFrame("aaaaaaaa"), challengeFrame("bbbbbbbb")}})
		}
		if n := len(tc.c.responses); n > maxResponses {
			t.Fatalf("%d answers wait", n)
		}
		tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID)
		n := 0
		for tc.collect(); ; n++ {
			f, ok := tc.nextFrame()
			if !ok {
				break
			}
			if f.typ == wire.FramePathChallenge && server && tc.current.burst.Remote == elsewhere(999) {
				n-- // this is an answer on the path that was probed last
			} else if f.typ != wire.FramePathResponse {
				t.Fatalf("a challenge is answered with %v", f)
			}
		}
		if n == 0 || n > maxResponses {
			t.Errorf("%d answers", n)
		}
		by.check()
	})
}

func TestKeepAliveWaitsForValidation(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.KeepAlive = time.Second })
	tc.writeFrom(elsewhere(1), 0, pingFrame())
	for range 8 { // the challenges arrive, but are not answered
		r := &tc.c.path.rtt
		r.smoothed, r.variance = time.Millisecond, time.Millisecond
		tc.advance(100 * time.Millisecond)
		tc.writeFrom(elsewhere(1), 0, tc.ackOf(spaceApp))
	}
	if tc.c.spaces[spaceApp].sent.eliciting > 0 || tc.c.path.validated || tc.c.path.challenge.tries < challengeTries {
		t.Fatal("something is in flight, so this test says nothing")
	}
	tc.advance(20 * time.Second) // this fails if a timer is due for ever
	tc.wantOpen("the idle timeout is longer")
}

// RFC 9000, Section 5.1.1 [7]; RFC 9000, Section 5.1.2 [1]; RFC 9000, Section 8.2.1 [4]; RFC 9000,
// Section 8.2.2 [1, 2, 3, 4, 5].
// RFC 9000, Section 9.5 [1]; RFC 9000, Section 19.7 [3]; RFC 9000, Section 19.17 [1].
func TestClientProbes(t *testing.T) {
	tc := newTestConn(t, false)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	id := *tc.c.remote.current()
	tc.must(tc.c.Probe(other))
	tc.collect()
	data, _ := tc.challengeOf("the new path is challenged")
	d := tc.current.burst
	if d.Local != other || d.Remote != tc.peerAddr || d.N != minMTU {
		t.Fatalf("the challenge left as %+v", d)
	}
	probing := string(tc.current.dcid)
	if probing == string(id.bytes()) {
		t.Error("the new path has the connection ID of the old one")
	}
	s := tc.open(Uni)
	tc.writeStream(s, "meanwhile")
	p := tc.wantFrame("data goes on", streamFrame(s.ID(), 0, "meanwhile"))
	if p.burst.Local != tc.addr {
		t.Errorf("the data left from %v", p.burst.Local)
	}
	if string(p.dcid) != string(id.bytes()) {
		t.Error("the old path has the connection ID of the new one") // RFC 9000, Section 9.5
	}
	tc.write(responseFrame(data))
	ev := tc.wantEvent("the path works", EventPathValidated)
	if ev.Local != other || tc.c.LocalAddr() != tc.addr {
		t.Errorf("event %+v, path of %v", ev, tc.c.LocalAddr())
	}
	tc.must(tc.c.Migrate(other))
	ev = tc.wantEvent("now it is used", EventPathChanged)
	tc.writeStream(s, "after")
	p = tc.wantFrame("data takes it", streamFrame(s.ID(), 9, "after"))
	if p.burst.Local != other || ev.Local != other {
		t.Errorf("the data left from %v", p.burst.Local)
	}
	if string(p.dcid) != probing {
		t.Error("the path has another connection ID than when it was probed")
	}
}

// TestReceiverMigrates: a client only receives, and its server has empty connection IDs. So the
// client has nothing to send when it moves. Its server learns of the move nevertheless (RFC 9000,
// Section 9.2).
func TestReceiverMigrates(t *testing.T) {
	for name, empty := range map[string]bool{"server with connection IDs": false, "server without": true} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, false)
			if empty { // other implementations may have empty IDs
				tc.c.remote = remoteIDs{}
				tc.c.remote.init(ConnID{})
				tc.peer.local.ids[0].id = ConnID{} // so that the test can tell packets apart
			}
			other := netip.MustParseAddrPort("10.0.0.77:5555")
			tc.must(tc.c.Migrate(other))
			data, _ := tc.challengeOf("the new path is challenged")
			tc.flush()
			tc.write(responseFrame(data))
			tc.wantEvent("the path works", EventPathChanged)
			tc.collect()
			for _, p := range tc.queue {
				for _, f := range p.frames {
					if p.burst.Local == other && f.typ <= 63 && framesProbing>>f.typ&1 == 0 && f.typ != wire.FrameAck {
						return
					}
				}
			}
			t.Errorf("nothing tells the server that the client has moved: %v", tc.queue)
		})
	}
}

func TestClientMigrationFails(t *testing.T) {
	tc := newTestConn(t, false)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	tc.must(tc.c.Migrate(other))
	tc.challengeOf("the new path is challenged")
	probing := string(tc.current.dcid)
	tc.advance(10 * time.Second)
	tc.wantEvent("nobody answers at all", EventSilent)
	tc.wantEvent("nobody answers there", EventPathFailed)
	if tc.c.LocalAddr() != tc.addr {
		t.Error("the client has moved nevertheless")
	}
	for _, x := range tc.c.remote.ids {
		if string(x.id.bytes()) == probing {
			t.Error("the connection ID of the path would be used again") // RFC 9000, Section 9.5
		}
	}
	tc.flush()
	s := tc.open(Uni)
	tc.writeStream(s, "still here")
	if p := tc.wantFrame("the old path goes on", streamFrame(s.ID(), 0, "still here")); p.burst.Local != tc.addr {
		t.Errorf("the data left from %v", p.burst.Local)
	}
}

// RFC 9000, Section 9 [1, 2]; RFC 9000, Section 18.2 [3].
func TestMigrationIsRefused(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.DisableActiveMigration = true })
	if err := tc.c.Migrate(elsewhere(1)); err == nil {
		t.Error("the peer does not want migration")
	}
	tc = newTestConn(t, true)
	if err := tc.c.Migrate(elsewhere(1)); err == nil {
		t.Error("a server does not migrate")
	}
	tc = completeClient(t)
	if err := tc.c.Migrate(elsewhere(1)); err == nil {
		t.Error("the handshake is not confirmed") // RFC 9000, Section 9
	}
}

// TestLateResponses: an answer to a PATH_CHALLENGE may come twice, long after the path was
// validated or given up, and by another path. A made-up answer validates no path (RFC 9000, Section
// 19.18).
func TestLateResponses(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	tc.ignore(wire.FrameAck, wire.FrameRetireConnectionID)
	var sent []string
	try := func(from netip.AddrPort, answer bool) {
		tc.writeFrom(from, 1200, pingFrame())
		data, _ := tc.challengeOf("where a packet came from, a path is")
		sent = append(sent, data)
		if answer {
			tc.writeFrom(from, 1200, responseFrame(data))
			tc.flush()
			return
		}
		tc.advance(10 * time.Second) // the path is given up
		for _, p := range tc.queue {
			for _, f := range p.frames {
				if f.typ == wire.FramePathChallenge {
					sent = append(sent, f.data)
				}
			}
		}
		tc.flush()
	}
	try(elsewhere(1), false)
	try(elsewhere(2), true)
	try(elsewhere(3), false)
	if len(sent) != 3*challengeTries+1 { // the last of them on the path that was left at last
		t.Fatalf("%d challenges were sent", len(sent))
	}
	for range 2 {
		for _, data := range sent {
			tc.writeFrom(elsewhere(2), 1200, responseFrame(data))
			tc.write(responseFrame(data))
		}
	}
	tc.wantOpen("all of them were asked for")
	tc.writeFrom(elsewhere(4), 1200, pingFrame(), responseFrame("whatever"))
	if tc.c.path.validated && tc.c.path.remote == elsewhere(4) {
		t.Error("a made-up answer validated the path")
	}
	tc.wantClosed("nobody asked for that", errProtocolViolation)
}

// TestForgottenChallenges: after more paths than are remembered, no answer counts as made-up.
func TestForgottenChallenges(t *testing.T) {
	var m challengeMemory
	first := [8]byte{1}
	m.add(first)
	for i := range maxChallenges - 1 {
		m.add([8]byte{2, byte(i)})
	}
	if m.check(first) != nil || m.check([8]byte{3}) == nil {
		t.Error("as long as all are remembered, each of them is known, and no other")
	}
	m.add([8]byte{2, 255})
	if m.check(first) != nil || len(m.data) != maxChallenges {
		t.Errorf("one is forgotten: %v, %d remembered", m.check(first), len(m.data))
	}
}

// TestNoController: if an application has no controller for a path, the default is used.
func TestNoController(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Congestion = func(congestion.Params) congestion.Controller { return nil }
	})
	if got, want := tc.c.path.cc, congestion.NewCubic(congestion.Params{}); reflect.TypeOf(got) != reflect.TypeOf(want) {
		t.Errorf("the controller is a %T, want a %T", got, want)
	}
}

// The address of a client has changed, and the packets that fill its window went astray. The server
// has no leave to send more than a challenge to the new address, not even an ACK. The answer goes
// out although the window is full, one for each probe timeout.
func TestChallengeAfterTimeoutsIsAnswered(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameStream, wire.FrameAck, wire.FramePing, wire.FramePadding)
	probe := func() {
		t.Helper()
		for n := tc.c.timeouts.count; tc.c.timeouts.count == n; tc.flush() {
			tc.advanceToTimer()
		}
	}
	tc.open(Uni).Write(make([]byte, 100_000))
	tc.flush()
	tc.write(challengeFrame("11111111"))
	tc.wantIdle("the window is full, and nothing was lost yet")
	probe()
	for _, data := range []string{"22222222", "33333333", "44444444"} {
		tc.write(challengeFrame(data))
	}
	tc.wantFrame("after a probe timeout, one more is answered", responseFrame("22222222"))
	tc.wantIdle("the others have to wait")
	if held := len(tc.c.responses); held != 2 {
		t.Errorf("%d answers wait", held)
	}
	probe()
	if held := len(tc.c.responses); held != 0 {
		t.Errorf("%d answers wait, and a probe timeout allows two probes and an answer", held)
	}
}
