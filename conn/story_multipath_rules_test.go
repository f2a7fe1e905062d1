package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// MaxPaths is bounded, and so is what the peer is told.
// draft-ietf-quic-multipath-21, Section 2.1 [1].
func TestMultipathBound(t *testing.T) {
	_, clientTLS := testTLS(t)
	if _, err := (&Config{TLS: clientTLS, MaxPaths: maxPaths + 1}).withDefaults(); err == nil {
		t.Error("MaxPaths may be above its bound")
	}
	tc := newTestConn(t, true, withPaths)
	if tc.peer.peer.InitialMaxPathID != 3 {
		t.Errorf("the peer was told %d", tc.peer.peer.InitialMaxPathID)
	}
	// draft-ietf-quic-multipath-21, Section 4.6 [1]: the largest path ID is not exceeded later.
	m := tc.c.multi
	m.limit = wire.MaxPathID
	m.forget(1)
	if m.limit != wire.MaxPathID || m.limitDue {
		t.Errorf("the limit is %d", m.limit)
	}
	m.limit = 3
}

// A server that offers multipath without connection IDs of its own is refused.
// draft-ietf-quic-multipath-21, Section 2.1 [3, 4].
func TestMultipathWithEmptyIDs(t *testing.T) {
	for _, offers := range []bool{false, true} {
		serverTLS, clientTLS := testTLS(t)
		cfg := quietConfig()
		cfg.TLS, cfg.MaxPaths = clientTLS, 4
		r := dialRaw(t, serverTLS, &cfg, func(p []rawParam) []rawParam {
			p[1].v = "" // initial_source_connection_id
			if offers {
				p = append(p, rawParam{0x3e, "\x03"})
			}
			return p
		})
		r.id = ""
		r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
		r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
		switch {
		case !offers && (r.l.err != nil || r.c.Multipath()):
			t.Errorf("without the offer: %v", r.l.err)
		case offers && errorCode(r.l.err) != errProtocolViolation:
			t.Errorf("the connection ended with %v", r.l.err)
		}
	}
	tc := newTestConn(t, false, withPaths, func(s *testSetup) { s.endpoint.ConnIDs = emptyIDs{} })
	if tc.peer.peer.InitialMaxPathID >= 0 {
		t.Error("a client with empty connection IDs offers multipath")
	}
}

// Connection IDs are issued for each path ID that both sides accept, and for no other, and by
// PATH_NEW_CONNECTION_ID for the path 0 too. draft-ietf-quic-multipath-21, Section 3.2 [1];
// draft-ietf-quic-multipath-21, Section 3.2.1 [1, 3].
func TestMultipathIssuesIDs(t *testing.T) {
	tc := newTestConn(t, true, withPaths, func(s *testSetup) { s.peer.MaxPaths = 3 })
	for _, l := range tc.c.multi.lanes {
		if got, want := len(l.local.ids) > 0, l.id <= 2; got != want {
			t.Errorf("IDs for path %d: %v", l.id, got)
		}
	}
	tc.flush()
	used := tc.dcid
	for _, x := range tc.c.local.ids {
		if x.id != used {
			tc.write(pathFrame(wire.FramePathRetireConnectionID, 0, x.seq))
			break
		}
	}
	tc.ignore(wire.FramePathAck)
	if f, _ := tc.wantType("another for path 0", wire.FramePathNewConnectionID); f.v[0] != 0 {
		t.Errorf("it is for path %d", f.v[0])
	}
	tc.wantIdle("nothing else is due")
}

// A client that has used up the path IDs of the server says so, once for each limit, and again if
// that is lost. It says nothing once the limit has grown.
// draft-ietf-quic-multipath-21, Section 3.2.1 [4].
func TestMultipathPathsBlocked(t *testing.T) {
	tc := newTestConn(t, false, withPaths, func(s *testSetup) { s.peer.MaxPaths = 2 })
	tc.ignore(wire.FramePathAck, wire.FramePing, wire.FramePathNewConnectionID, wire.FramePathChallenge)
	tc.flush()
	_, err := tc.c.OpenPath(netip.MustParseAddrPort("10.0.0.9:443"))
	tc.must(err)
	open := func() {
		if _, err := tc.c.OpenPath(netip.MustParseAddrPort("10.0.0.10:443")); err != ErrPathLimit {
			t.Fatalf("OpenPath: %v", err)
		}
	}
	open()
	f, p := tc.wantType("there is no path ID left", wire.FramePathsBlocked)
	if f.v[0] != 1 {
		t.Errorf("blocked at %d", f.v[0])
	}
	open()
	tc.undecoded = nil // the PATH_CHALLENGE of the new path
	tc.wantIdle("it was said")
	tc.lostByGap(p)
	_, p = tc.wantType("it was lost", wire.FramePathsBlocked)
	tc.write(pathFrame(wire.FrameMaxPathID, 2, 0))
	tc.lostByGap(p)
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		if f.typ == wire.FramePathsBlocked {
			t.Error("it does not hold any more, and is said again")
		}
	}
}

// PATH_CIDS_BLOCKED is for paths that exist and are not abandoned, and is not sent again: the peer
// may have issued connection IDs meanwhile.
func TestMultipathCIDsBlocked(t *testing.T) {
	tc := newTestConn(t, false, withPaths)
	tc.ignore(wire.FramePathAck, wire.FramePing, wire.FramePathNewConnectionID)
	tc.flush()
	for _, l := range tc.c.multi.lanes[1:] {
		l.remote.ids = nil // as if the server had issued none
	}
	if _, err := tc.c.OpenPath(netip.MustParseAddrPort("10.0.0.9:443")); err != ErrPathLimit {
		t.Fatalf("OpenPath: %v", err)
	}
	f, p := tc.wantType("there is no connection ID", wire.FramePathCIDsBlocked)
	if f.v[0] != 1 || f.v[1] != 0 {
		t.Errorf("path %d, next %d", f.v[0], f.v[1])
	}
	tc.write(pathFrame(wire.FramePathAbandon, 1, 0))
	tc.wantType("it is answered", wire.FramePathAbandon)
	tc.lostByGap(p)
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		if f.typ == wire.FramePathCIDsBlocked {
			t.Error("the path is abandoned, and lacks connection IDs")
		}
	}
	tc.wantOpen("nothing is wrong")
}

// What comes on an abandoned path is acknowledged on another one, and nothing goes out on it. Its
// timers are off. draft-ietf-quic-multipath-21, Section 3.4 [2, 4]; draft-ietf-quic-multipath-21,
// Section 3.4.3 [1].
func TestMultipathAbandonedPath(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	x.read()
	l := x.lane()
	tc.flush()
	tc.must(tc.c.AbandonPath(1, 0x3e))
	tc.wantType("the peer is told", wire.FramePathAbandon)
	seen := len(x.by.inbox)
	x.write(pingFrame())
	x.write(challengeFrame("too late"))
	f, _ := tc.wantType("the packets are acknowledged", wire.FramePathAck)
	if f.v[0] != 1 || f.v[1] < x.next-2 {
		t.Errorf("acknowledged: %v", f)
	}
	if at := l.lossDeadline(); l.deadline() != 0 && at != 0 && l.deadline() == at {
		t.Error("the loss timer of an abandoned path runs")
	}
	tc.write(pathFrame(wire.FramePathAbandon, 1, 0))
	tc.ackAll()
	tc.advance(testPTO)
	if tc.c.laneOf(1) != l {
		t.Error("the path is forgotten before 3 PTO")
	}
	tc.advance(5 * time.Second)
	if len(x.by.inbox) != seen {
		t.Errorf("%d datagrams on the abandoned path", len(x.by.inbox)-seen)
	}
	tc.wantOpen("nothing is wrong")
}

// Behind a packet with a long header, one with the connection ID of another path, or of no
// connection, does not count: it has another ID than the first (RFC 9000, Section 12.2). By itself
// it opens the path.
func TestMultipathCoalescedTail(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	long := []byte{0xe0, 0, 0, 0, 1, tc.dcid.n}
	long = append(long, tc.dcid.bytes()...)
	long = append(long, 0, 20) // an empty ID, and 20 bytes
	long = append(long, make([]byte, 20)...)
	behind := func(b []byte) []byte { return append(append([]byte(nil), long...), b...) }
	tc.deliver(behind(x.seal(pingFrame())), x.from, NotECT)
	stranger := x.seal(pingFrame())
	stranger[1] ^= 0xff
	tc.deliver(behind(stranger), x.from, NotECT)
	tc.wantOpen("they are dropped")
	if x.lane().state != laneIdle {
		t.Error("a packet behind another opens the path")
	}
	x.open()
}

// The keys stay for three times the largest PTO of all paths, and are not updated before.
// draft-ietf-quic-multipath-21, Section 2.5 [1].
func TestMultipathKeyUpdateWaits(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	slow := &x.lane().path.rtt
	slow.smoothed, slow.variance = time.Second, 0
	tc.turnKeys()
	tc.write(pingFrame())
	tc.ping()
	tc.flush()
	tc.ackAll()
	wait := 3 * tc.c.pto()
	if wait < 3*time.Second {
		t.Fatalf("the largest PTO is %v", wait/3)
	}
	tc.advance(wait * 9 / 10)
	if tc.c.UpdateKeys() == nil {
		t.Error("an update before three times the largest PTO")
	}
	tc.advance(wait / 5)
	tc.must(tc.c.UpdateKeys())
}

// A path that cannot be validated is abandoned. If the peer has abandoned all others meanwhile, the
// connection ends: it has nothing left on which it could send, not even a PING that keeps it alive.
// CONNECTION_CLOSE goes on the path that was open to the last.
// RFC 9000, Section 8.2.4; draft-ietf-quic-multipath-21, Section 3.4 [7].
func TestMultipathLastPathFails(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, withPaths)
		tc.c.SetKeepAlive(100 * time.Millisecond)
		by := &bystander{tc: tc} // gets what is sent on path 1
		if server {
			x := tc.lane(1)
			by = x.by
			x.write(paddingFrames(minMTU), pingFrame())
		} else {
			_, err := tc.c.OpenPath(elsewhere(1))
			tc.must(err)
			tc.others[tc.peerAddr] = by // and path 0
		}
		tc.write(pathFrame(wire.FramePathAbandon, 0, 0))
		tc.wantOpen("path 1 may work")
		last := tc.c.laneOf(1)
		tc.advance(5 * time.Second)
		if err := tc.wantEnd("path 1 did not work"); errorCode(err) != errNoViablePath {
			t.Errorf("the application was told: %v", err)
		}
		for _, p := range tc.queue { // of path 0
			if p.frames[0].typ == wire.FrameConnectionClose {
				t.Error("CONNECTION_CLOSE goes on the path that was abandoned")
			}
		}
		if n := len(by.inbox); !server && !ofLane(last, by.inbox[n-1]) {
			t.Error("the last datagram is not of path 1")
		}
	})
}

// The peer abandons one path after the other. CONNECTION_CLOSE goes on the last one: those that
// were abandoned before may lead nowhere.
// draft-ietf-quic-multipath-21, Section 3.4 [7].
func TestMultipathLastPathAbandoned(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	last := x.lane()
	last.path.rtt.smoothed = time.Second // the other one would be better
	x.write(pathFrame(wire.FramePathAbandon, 0, 0))
	tc.wantOpen("there is path 1")
	tc.flush()
	before := len(x.by.inbox)
	tc.deliver(x.seal(pathFrame(wire.FramePathAbandon, 1, 0)), x.from, NotECT)
	if err := tc.wantEnd("it was the last path"); errorCode(err) != errNo {
		t.Errorf("the application was told: %v", err)
	}
	if n := len(x.by.inbox); n != before+1 || !ofLane(last, x.by.inbox[n-1]) {
		t.Errorf("%d datagrams go on path 1", n-before)
	}
	if len(tc.queue) > 0 {
		t.Errorf("%v goes on the path that was abandoned", tc.queue)
	}
}
