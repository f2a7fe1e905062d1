package conn

import (
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Connection IDs: issued, used and retired (RFC 9000, Section 5.1).

// RFC 9000, Section 5.1 [1, 2]; RFC 9000, Section 5.1.1 [1, 3, 4]; RFC 9000, Section 9.5 [5].
func TestIssuedIDs(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		if n := len(tc.c.local.ids); n != activeConnIDs {
			t.Fatalf("%d connection IDs were issued", n)
		}
		seen := make(map[ConnID]bool)
		tokens := make(map[[16]byte]bool) // RFC 9000, Section 10.3.2 [5]
		for i, l := range tc.c.local.ids {
			if l.seq != uint64(i) || seen[l.id] {
				t.Errorf("connection ID %d has the number %d", i, l.seq)
			}
			seen[l.id], tokens[tc.e.resetToken(l.id)] = true, true
			if len(tokens) != i+1 {
				t.Errorf("connection ID %d has the reset token of another", i)
			}
			tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame(), immediateData(tc, uint64(i))}, dcid: &l.id})
			if tc.c.streams.all[tc.theirs(Uni, uint64(i))] == nil {
				t.Errorf("a packet to connection ID %d was not taken", l.seq)
			}
		}
	})
}

// immediateData is a STREAM frame on the nth stream of the peer.
func immediateData(tc *testConn, n uint64) frame { return streamFrame(tc.theirs(Uni, n), 0, "x") }

// RFC 9000, Section 5.1.1 [2, 6]; RFC 9000, Section 19.15 [5].
func TestRetiredIDIsReplaced(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameAck)
		old := tc.c.local.ids[1]
		routes := len(tc.e.routes.ids)
		tc.write(retireIDFrame(old.seq))
		f, _ := tc.wantType("another takes its place", wire.FrameNewConnectionID)
		if f.v[0] != activeConnIDs || f.v[1] != 0 || len(f.data) != defaultIDLen+resetTokenLen {
			t.Errorf("%v", f)
		}
		tc.write(retireIDFrame(old.seq))
		tc.wantIdle("retiring twice changes nothing")
		tc.wantOpen("it may be a retransmission")

		// Packets that were under way to the old ID still arrive.
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame(), immediateData(tc, 0)}, dcid: &old.id})
		if tc.c.streams.all[tc.theirs(Uni, 0)] == nil {
			t.Error("a packet to the retired connection ID was not taken")
		}
		tc.advance(tidyAfter)
		if len(tc.e.routes.ids) != routes {
			t.Errorf("%d routes instead of %d", len(tc.e.routes.ids), routes)
		}
		if _, ok := tc.e.routes.ids[old.id]; ok {
			t.Error("the retired ID still leads to the connection")
		}
	})
}

// TestRetiredIDsAreBounded: a peer retires one ID after another. The Conn remembers only a few of
// them.
// RFC 9000, Section 5.1.2 [4, 5].
func TestRetiredIDsAreBounded(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameAck, wire.FrameNewConnectionID)
		routes := len(tc.e.routes.ids)
		for range 50 {
			tc.write(retireIDFrame(tc.c.local.ids[1].seq))
			tc.flush()
		}
		tc.wantOpen("it may")
		if n := len(tc.e.routes.ids); n > routes+activeConnIDs {
			t.Errorf("%d routes, %d before", n, routes)
		}
		tc.c.Close(0, "")
		tc.advance(time.Minute)
		if n := len(tc.e.routes.ids); n != 0 {
			t.Errorf("%d routes are left", n)
		}
	})
}

// TestActiveIDLimit: the peer gets no more IDs than it has asked for.
func TestActiveIDLimit(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	r := dialRaw(t, serverTLS, &cfg, nil) // the default of active_connection_id_limit is 2
	r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
	r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
	r.c.confirm()
	if n := len(r.c.local.ids); n != 2 {
		t.Errorf("%d connection IDs are active", n)
	}
}

// RFC 9000, Section 5.1.2 [3, 6]; RFC 9000, Section 19.15 [4, 7, 8]; RFC 9000, Section 19.16 [2].
func TestPeerRetiresIDs(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameAck)
		tc.write(newIDFrame(4, 2, "ID no. 4"))
		used := tc.c.remote.ids[0].id
		p := tc.wantFrame("the old IDs are retired", retireIDFrame(0))
		if string(p.dcid) != string(used.bytes()) {
			t.Errorf("the frame goes to %x", p.dcid)
		}
		tc.wantFrame("both", retireIDFrame(1))
		if seq := tc.c.remote.ids[0].seq; seq != 2 {
			t.Errorf("ID %d is in use", seq)
		}
		tc.wantIdle("no more")
		tc.write(newIDFrame(4, 2, "ID no. 4"))
		tc.wantIdle("a retransmission changes nothing")
		tc.write(newIDFrame(7, 6, "ID no. 7"))
		for _, seq := range []uint64{2, 3, 4} {
			tc.wantFrame("all go but the newest", retireIDFrame(seq))
		}
		// A frame comes late. Its number is retired already.
		tc.write(newIDFrame(5, 0, "ID no. 5"))
		tc.wantFrame("it is retired at once", retireIDFrame(5))
		tc.wantOpen("reordering is no error")
	})
}

// TestRetirePriorToOfKnownID: a NEW_CONNECTION_ID frame for a known ID retires older ones.
func TestRetirePriorToOfKnownID(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameAck)
	tc.write(newIDFrame(4, 1, "ID no. 4"))
	tc.wantFrame("one goes", retireIDFrame(0))
	tc.write(newIDFrame(4, 3, "ID no. 4"))
	tc.wantFrame("two more go", retireIDFrame(1)) // RFC 9000, Section 19.15
	tc.wantFrame("two more go", retireIDFrame(2))
	if seq := tc.c.remote.ids[0].seq; seq != 3 {
		t.Errorf("ID %d is in use", seq)
	}
}

// TestLateFrameOfARetiredID: a frame for an ID that the Conn has retired comes again, and retires
// all others. One must stay.
func TestLateFrameOfARetiredID(t *testing.T) {
	tc := newTestConn(t, false)
	tc.write(newIDFrame(5, 4, "ID no. 5"))
	tc.write(newIDFrame(4, 4, "ID no. 4"))
	tc.must(tc.c.Migrate(elsewhere(1))) // takes another ID
	data, _ := tc.challengeOf("the path is probed")
	tc.write(responseFrame(data))
	tc.wantEvent("it is in use", EventPathChanged)
	if ids := tc.c.remote.ids; len(ids) != 1 || ids[0].seq != 4 {
		t.Fatalf("%v", ids)
	}
	tc.write(newIDFrame(5, 5, "ID no. 5"))
	tc.wantOpen("it may be late")
	tc.ping()
	if string(tc.queue[len(tc.queue)-1].dcid) != "ID no. 4" {
		t.Error("another ID is in use")
	}
}

func TestAllIDsRetired(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.write(newIDFrame(9, 9, "ID no. 9"))
		tc.ping()
		for _, p := range tc.queue {
			if string(p.dcid) != "ID no. 9" {
				t.Errorf("%v goes to %x", p, p.dcid)
			}
		}
	})
}

// TestIDFlood: a peer replaces its IDs again and again, and acknowledges each retirement.
func TestIDFlood(t *testing.T) {
	tc := newTestConn(t, false)
	by := tc.bystand()
	for seq := uint64(4); seq < 2000; seq++ {
		tc.write(newIDFrame(seq, seq-1, fmt.Sprintf("%08d", seq)))
		tc.ackAll()
		tc.flush()
	}
	tc.wantOpen("that is allowed")
	r := &tc.c.remote
	if len(r.ids) > activeConnIDs || len(r.retired) > maxRetired || r.seen.Len() > 10 || len(tc.e.routes.tokens) > 2*activeConnIDs {
		t.Errorf("%d IDs, %d to retire, %d ranges seen, %d reset tokens", len(r.ids), len(r.retired), r.seen.Len(), len(tc.e.routes.tokens))
	}
	by.check()
}

// TestIDGaps: sequence numbers that are far apart do not pile up.
func TestIDGaps(t *testing.T) {
	tc := newTestConn(t, false)
	for i := uint64(1); i < 500; i++ {
		tc.write(newIDFrame(i*1000, i*1000, fmt.Sprintf("%08d", i)))
		tc.ackAll()
		tc.flush()
	}
	tc.wantOpen("that is allowed")
	if n := tc.c.remote.seen.Len(); n > 4 {
		t.Errorf("%d ranges of sequence numbers", n)
	}
}

// TestIDsLeftOut: a peer leaves out sequence numbers, and moves so that the Conn retires its IDs.
// The Conn does not remember each of them.
func TestIDsLeftOut(t *testing.T) {
	tc := newTestConn(t, true)
	issued := 0
	for i := range 100 {
		tc.writeFrom(elsewhere(i), 1200, pingFrame())
		tc.flush()
		tc.ackAll()
		tc.write(newIDFrame(uint64(10+2*i), 0, fmt.Sprintf("%08d", i)))
		if tc.c.closed {
			break
		}
		issued++
		if n := tc.c.remote.seen.Len(); n > activeConnIDs {
			t.Fatalf("%d ranges of sequence numbers", n)
		}
	}
	if issued < 2 {
		t.Errorf("only %d IDs are taken", issued)
	}
	tc.wantClosed("too many IDs were issued", errConnectionIDLimit) // RFC 9000, Section 5.1.1
}

// TestNewTokenFlood: the Conn keeps one NEW_TOKEN for the application, however many come.
func TestNewTokenFlood(t *testing.T) {
	tc := newTestConn(t, false)
	for i := range 1000 {
		tc.write(newTokenFrame(fmt.Sprintf("token %d", i)))
	}
	if n := tc.e.events.tail - tc.e.events.head; n > 4 {
		t.Errorf("%d events wait", n)
	}
	ev := tc.wantEvent("one is kept", EventNewToken)
	if string(ev.Data) != "token 0" {
		t.Errorf("token %q", ev.Data)
	}
	tc.write(newTokenFrame("another"))
	tc.wantEvent("later there may be another", EventNewToken)
}

// TestConnectionIDsOfHandshake: if a server changes its ID, its packets are dropped (RFC 9000,
// Section 7.2).
// RFC 9000, Section 7.2 [2, 3, 4, 5, 6].
func TestConnectionIDsOfHandshake(t *testing.T) {
	for _, space := range []spaceID{spaceInitial, spaceHandshake} {
		tc := handshakeClient(t)
		tc.send(testPacket{space: space, scid: []byte("somebody"), frames: []frame{closeFrame(1, 0, "bye")}})
		tc.wantOpen("the source connection ID has changed")
	}
}

// TestTokenOfServer: only clients put tokens into Initial packets (RFC 9000, Section 17.2.2).
// RFC 9000, Section 17.2.2 [2].
func TestTokenOfServer(t *testing.T) {
	tc := handshakeClient(t)
	tc.send(testPacket{space: spaceInitial, token: []byte("token"), frames: []frame{closeFrame(1, 0, "bye")}})
	if tc.c.closed && errorCode(tc.c.err) != errProtocolViolation {
		t.Errorf("the packet was taken: %v", tc.c.err)
	}
}

// TestEmptyIDs: with empty connection IDs, the address tells to which connection a datagram
// belongs.
// RFC 9000, Section 5.1 [3]; RFC 9000, Section 19.15 [2].
func TestEmptyIDs(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.endpoint.ConnIDs = emptyIDs{} })
	tc.ignore(wire.FrameAck)
	tc.dcid = ConnID{}
	tc.write(streamFrame(tc.theirs(Uni, 0), 0, "hello"))
	if got, _ := tc.readStream(tc.stream(tc.theirs(Uni, 0))); got != "hello" {
		t.Errorf("read %q", got)
	}
	if len(tc.c.local.ids) != 1 {
		t.Errorf("%d connection IDs", len(tc.c.local.ids))
	}
	cfg := quietConfig()
	_, cfg.TLS = testTLS(t)
	if _, err := tc.e.Dial(tc.now, Target{Remote: tc.peerAddr}, &cfg); err == nil {
		t.Error("two connections to one address without IDs")
	}
	tc.c.Close(0, "")
	tc.advance(10 * time.Second)
	if _, err := tc.e.Dial(tc.now, Target{Remote: tc.peerAddr}, &cfg); err != nil {
		t.Errorf("the address is free again: %v", err)
	}
}
