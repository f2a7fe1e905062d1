package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// has returns the first frame of a type.
func has(all []frame, typ uint64) (f frame, ok bool) {
	for _, f := range all {
		if f.typ == typ {
			return f, true
		}
	}
	return frame{}, false
}

// Each path has its own packet numbers, acknowledgements and connection IDs, and a PATH_RESPONSE
// goes on the path of its PATH_CHALLENGE. draft-ietf-quic-multipath-21, Section 2.3 [1, 2];
// draft-ietf-quic-multipath-21, Section 3.1 [2, 5, 6]; draft-ietf-quic-multipath-21, Section 3.2.2
// [1, 2].
func TestMultipathOwnNumbers(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	x.read()
	l := x.lane()
	tc.flush()
	tc.ping()
	tc.ackAll() // it writes ACK frames, for the path 0
	if s := &tc.c.app.sent; s.largestAcked != int64(s.next)-1 {
		t.Error("an ACK frame does not count")
	}
	x.write(challengeFrame("on path1"))
	answer := x.read()
	if f, ok := has(answer, wire.FramePathResponse); !ok || f.data != "on path1" {
		t.Errorf("the answer on the path is %v", answer)
	}
	x.write(pingFrame())
	x.write(pingFrame())
	if f, ok := has(x.read(), wire.FramePathAck); !ok || f.v[0] != 1 || f.v[1] != x.next-1 {
		t.Errorf("acknowledged on the path: %v", f)
	}
	before := *l.remote.current()
	other := before
	// Retiring an ID of ours brings another of the same path; retiring the peer's makes us move to
	// another of the same path.
	tc.flush()
	issued := l.local.next
	x.write(pathFrame(wire.FramePathRetireConnectionID, 1, l.local.ids[1].seq))
	found := false
	tc.collect()
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		found = found || f.typ == wire.FramePathNewConnectionID && f.v[0] == 1 && f.v[1] == issued
	}
	if _, on := has(x.read(), wire.FramePathNewConnectionID); !found && !on {
		t.Error("no new connection ID for one that was retired")
	}
	next := l.remote.ids[len(l.remote.ids)-1].seq + 1
	tc.write(newPathIDFrame(1, next, next, "path1 id"))
	if other = *l.remote.current(); other == before || string(other.bytes()) != "path1 id" {
		t.Errorf("the path uses %v", other)
	}
	tc.wantOpen("nothing is wrong")
}

// Frames of paths that are lost go out again, as long as they matter.
// draft-ietf-quic-multipath-21, Section 3.4 [1]; draft-ietf-quic-multipath-21, Section 4.2 [1];
// draft-ietf-quic-multipath-21, Section 4.3 [1, 3];
// draft-ietf-quic-multipath-21, Section 4.6 [2, 5].
func TestMultipathLostFrames(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	tc.ignore(wire.FramePathAck, wire.FramePing, wire.FramePathNewConnectionID)
	tc.flush()
	tc.ackAll0()
	x.lane().path.rtt.smoothed = time.Second // so that control frames take the path 0
	tc.must(tc.c.SetPathBackup(1, true))
	first, p := tc.wantType("the peer is told", wire.FramePathStatusBackup)
	if first.v[0] != 1 {
		t.Errorf("of path %d", first.v[0])
	}
	tc.lostByGap(p)
	again, p := tc.wantType("it was lost", wire.FramePathStatusBackup)
	if again.v[1] <= first.v[1] {
		t.Errorf("number %d after %d", again.v[1], first.v[1])
	}
	tc.must(tc.c.SetPathBackup(1, false))
	if f, _ := tc.wantType("the peer is told", wire.FramePathStatusAvailable); f.v[1] <= again.v[1] {
		t.Errorf("number %d after %d", f.v[1], again.v[1])
	}
	tc.lostByGap(p)
	tc.wantIdle("what is not the last status does not go again")
	tc.ackAll0()
	tc.must(tc.c.AbandonPath(1, 0x3e))
	_, p = tc.wantType("the peer is told", wire.FramePathAbandon)
	tc.lostByGap(p)
	tc.wantType("it was lost", wire.FramePathAbandon)
	tc.ackAll0()
	x.lane().path.rtt = tc.c.path.rtt
	tc.write(pathFrame(wire.FramePathAbandon, 1, 0))
	tc.advance(3*tc.c.pto() + time.Millisecond)
	f, p := tc.wantType("there is room for another path", wire.FrameMaxPathID)
	if f.v[0] != 4 {
		t.Errorf("MAX_PATH_ID of %d", f.v[0])
	}
	tc.lostByGap(p)
	tc.wantType("it was lost", wire.FrameMaxPathID)
}

// ackAll0 is ackAll, if something came.
func (tc *testConn) ackAll0() {
	tc.t.Helper()
	tc.collect()
	if tc.got[spaceApp].Len() > 0 {
		tc.write(tc.ackOf(spaceApp))
	}
}

// A path moves by itself when its packets come from another address: the path 0 stays where it is
// (draft-ietf-quic-multipath-21, Section 3.1.2). Packets that only probe move nothing.
// draft-ietf-quic-multipath-21, Section 3.1.2 [1].
func TestMultipathMigratesOnePath(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	x.read()
	there := tc.lane(2)
	there.id, there.next, there.largest = 1, 0, x.largest // the path 1, from another address
	seal := x.seal
	zero, one := tc.c.path.remote, x.lane().path.remote
	tc.deliver(seal(challengeFrame("probing."), paddingFrames(minMTU)), there.from, NotECT)
	tc.collect()
	if x.lane().path.remote != one {
		t.Error("a probing packet moved the path")
	}
	tc.deliver(seal(pingFrame(), paddingFrames(minMTU)), there.from, NotECT)
	tc.collect()
	if got := x.lane().path; got.remote != there.from || got.validated {
		t.Errorf("the path leads to %v", got.remote)
	}
	if tc.c.path.remote != zero || tc.c.RemoteAddr() != zero {
		t.Error("the path 0 moved, too")
	}
	for range 2 {
		for _, f := range there.read() {
			if f.typ == wire.FramePathChallenge {
				tc.deliver(seal(frame{typ: wire.FramePathResponse, data: f.data}), there.from, NotECT)
				tc.collect()
			}
		}
	}
	if !x.lane().path.validated {
		t.Error("the address is not validated")
	}
	tc.wantOpen("nothing is wrong")
}

// CONNECTION_CLOSE takes every open path, because any may have died, and answers what comes late on
// any of them (RFC 9000, Section 10.2.1; draft-ietf-quic-multipath-21, Section 2.6). The
// state lasts for three times the largest PTO.
// draft-ietf-quic-multipath-21, Section 2.6 [1].
func TestMultipathClose(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	x.open()
	x.read()
	slow := &x.lane().path.rtt
	slow.smoothed, slow.variance = time.Second, 0
	wait := 3 * (time.Second + timerGranularity + maxAckDelay)
	late := [2][]byte{tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}}), x.seal(pingFrame())}
	tc.flush()
	tc.c.Close(7, "over")
	said := func() (zero, one bool) {
		tc.collect()
		zero, one = len(tc.datagrams) > 0, len(x.by.inbox) > x.seen
		tc.datagrams, x.seen = nil, len(x.by.inbox)
		return zero, one
	}
	if zero, one := said(); !zero || !one {
		t.Errorf("said on path 0: %v, on path 1: %v", zero, one)
	}
	tc.advance(wait * 9 / 10)
	tc.deliver(late[1], x.from, NotECT)
	if zero, one := said(); zero || !one {
		t.Errorf("answered on path 0: %v, on path 1: %v", zero, one)
	}
	tc.advance(wait / 5)
	if !tc.e.lingering.Empty() {
		t.Error("the closing state has not ended")
	}
}
