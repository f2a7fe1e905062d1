package conn

import (
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// What is marked redundant goes out on each path.

// redundantStory returns a server with open paths 0 to n.
func redundantStory(t *testing.T, n int, edit ...func(*testSetup)) (*testConn, []*testLane) {
	t.Helper()
	tc := newTestConn(t, true, append(edit, withPaths, func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 60000, 60000
	})...)
	var lanes []*testLane
	for id := range n {
		lanes = append(lanes, tc.lane(uint32(id+1)))
		lanes[id].open()
		lanes[id].read()
	}
	tc.flush()
	tc.ackAll()
	return tc, lanes
}

// A pacedController has a window that pacing spreads.
type pacedController struct{ wideController }

func (*pacedController) Window() uint64 { return 200_000 }

// Copies that pacing holds back leave when it lets them, and wait for no other timer.
func TestRedundantCopiesArePaced(t *testing.T) {
	tc, _ := redundantStory(t, 1, func(s *testSetup) { s.conn.DisablePacing, s.conn.DatagramSendQueue = false, maxDatagramCopies })
	lanes := tc.c.multi.lanes[:2]
	for _, l := range lanes {
		l.path.rtt.smoothed, l.path.rtt.variance = 100*time.Millisecond, 10*time.Millisecond
		l.path.cc = &pacedController{}
		tc.c.repace(l.path.estimates)
	}
	for range maxDatagramCopies {
		_, err := tc.c.SendDatagram(make([]byte, 500), DatagramOptions{Redundant: true})
		tc.must(err)
	}
	tc.collect()
	if lanes[0].status.copies.empty() && lanes[1].status.copies.empty() {
		t.Fatal("pacing holds nothing back")
	}
	tc.advance(20 * time.Millisecond)
	for _, l := range lanes {
		if n := l.status.copies.datagrams.size; n > 0 {
			t.Errorf("%d copies wait on path %d", n, l.id)
		}
	}
}

// A redundant datagram that fills a packet does not wait for an ACK frame that is not due yet.
func TestFullRedundantDatagramPassesAnACK(t *testing.T) {
	tc, lanes := redundantStory(t, 1)
	x := lanes[0]
	tc.advance(time.Second) // acknowledgements that are due
	tc.flush()
	x.read()
	tc.write(pingFrame())
	x.write(pingFrame())
	full := strings.Repeat("x", tc.c.MaxDatagramSize())
	_, err := tc.c.SendDatagram([]byte(full), DatagramOptions{Redundant: true})
	tc.must(err)
	tc.wantFrame("at once", datagramFrame(full))
	if all := x.read(); len(all) != 1 || all[0].String() != datagramFrame(full).String() {
		t.Errorf("on the other path: %v", all)
	}
	tc.wantIdle("the ACK waits for its time")
	tc.advance(maxAckDelay)
	tc.wantType("and comes then", wire.FramePathAck)
}

// A redundant datagram expires once, and only if no path has sent it.
func TestRedundantDatagramsExpireOnce(t *testing.T) {
	for _, shut := range []int{1, 2} {
		tc, _ := redundantStory(t, 1)
		for _, l := range tc.c.multi.lanes[:shut] {
			l.path.cc = &shutController{}
		}
		_, err := tc.c.SendDatagram([]byte("old"), DatagramOptions{Redundant: true, MaxAge: time.Millisecond})
		tc.must(err)
		tc.collect()
		tc.advance(2 * time.Millisecond)
		for _, l := range tc.c.multi.lanes[:2] {
			l.path.cc = &wideController{}
		}
		_, err = tc.c.SendDatagram([]byte("new"), DatagramOptions{Redundant: true})
		tc.must(err)
		tc.collect()
		for _, l := range tc.c.multi.lanes[:2] {
			if !l.status.copies.empty() {
				t.Errorf("copies wait on path %d", l.id)
			}
		}
		want := uint64(shut / 2)
		if s := tc.c.Stats(); s.DatagramsExpired != want {
			t.Errorf("%d of 2 paths were shut: %d datagrams have expired, not %d", shut, s.DatagramsExpired, want)
		}
	}
}

// A packet for copies that are too old by now carries what else is due: the acknowledgement of a
// path that was abandoned.
func TestRedundantCopiesExpireBesideAnACK(t *testing.T) {
	tc, lanes := redundantStory(t, 2)
	x := lanes[1]
	tc.must(tc.c.AbandonPath(2, errApplicationAbandonPath))
	tc.advance(time.Second)
	tc.ackAll()
	tc.advance(time.Second)
	tc.flush()
	lanes[0].read()
	open := tc.c.multi.lanes[:2]
	before := [2]*estimates{open[0].path.estimates, open[1].path.estimates}
	cc := before[0].cc
	for _, m := range before {
		m.cc = &shutController{}
	}
	_, err := tc.c.SendDatagram([]byte("old"), DatagramOptions{Redundant: true, MaxAge: time.Millisecond})
	tc.must(err)
	tc.advance(2 * time.Millisecond)
	for _, m := range before {
		m.cc = cc
	}
	if open[0].status.copies.empty() || open[1].status.copies.empty() {
		t.Fatal("no copy waits")
	}
	for range 2 {
		x.write(pingFrame())
	}
	acked := int64(-1)
	for range 3 {
		all := lanes[0].read()
		for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
			all = append(all, f)
		}
		for _, f := range all {
			if f.typ == wire.FramePathAck && f.v[0] == 2 {
				acked = max(acked, int64(f.v[1]))
			}
		}
		tc.advance(maxAckDelay)
	}
	if acked != int64(x.next-1) {
		t.Errorf("acknowledged up to %d, not %d", acked, x.next-1)
	}
	if !open[0].status.copies.empty() || !open[1].status.copies.empty() {
		t.Error("the copies wait still")
	}
}
