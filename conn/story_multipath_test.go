package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// The keys are updated twice while nothing comes on the second path. The first packet that comes
// there may be of either phase, or of the one between them (RFC 9001, Section 6.5;
// draft-ietf-quic-multipath-21, Section 2.5).
func TestMultipathFirstPacketOfPhase(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after int // key updates, before the packet is made and before it comes
	}{
		{"the phase in use", 1, 1},
		{"the phase before, delayed", 0, 1},
		{"the next phase", 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t, true, withPaths)
			x := tc.lane(1)
			x.open()
			first := tc.theirs(Uni, 0)
			make := func() []byte { return x.seal(streamFrame(first, 0, "on the second path")) }
			var b []byte
			for i := 0; ; i++ {
				if i == tt.before {
					b = make()
				}
				if i >= max(tt.before, tt.after) {
					break
				}
				tc.turnKeys()
				if i < tt.after {
					tc.write(pingFrame())
					tc.ping()
					tc.flush()
					tc.ackAll()
				}
			}
			tc.deliver(b, x.from, NotECT)
			tc.wantOpen("the packet is good")
			if got, _ := tc.readStream(tc.stream(first)); got != "on the second path" {
				t.Errorf("read %q", got)
			}
		})
	}
}

// The first packet of a path is slow, and the client updates its keys meanwhile: what comes on
// another path is of the new phase. The packet opens with the old keys (RFC 9001, Section 6.5). Old
// keys behind new ones on one path still are an error (RFC 9001, Section 6.4).
func TestMultipathFirstPacketOfPathIsLate(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	x := tc.lane(1)
	late := x.seal(paddingFrames(minMTU), pingFrame())
	x.next = 5
	wrong := x.seal(pingFrame())
	x.next = 1
	tc.turnKeys()
	tc.write(pingFrame())
	tc.ping()
	tc.flush()
	tc.deliver(late, x.from, NotECT)
	tc.wantOpen("the packet is good")
	x.open()
	tc.deliver(wrong, x.from, NotECT)
	tc.wantClosed("the client has gone back to older keys", errKeyUpdate)
}

// One path finds that the connection must end: the keys or the packet numbers are used up. The
// other paths send nothing any more.
func TestMultipathEndsWhileItSends(t *testing.T) {
	for _, worn := range []string{"keys", "numbers"} {
		for _, what := range []string{"data", "redundant", "acknowledgements"} {
			t.Run(worn+", "+what, func(t *testing.T) {
				tc := newTestConn(t, true, withPaths, func(s *testSetup) {
					s.conn.Scheduler = NewMinRTT
					s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1200, 1200
				})
				x := tc.lane(1)
				x.open()
				tc.flush()
				tc.ackAll()
				switch what {
				case "data":
					tc.writeStream(tc.open(Uni), "x")
				case "redundant":
					_, err := tc.c.SendDatagram([]byte("x"), DatagramOptions{Redundant: true})
					tc.must(err)
				case "acknowledgements":
					for range 2 {
						tc.write(pingFrame())
						x.write(pingFrame())
					}
				}
				k := &tc.c.keys
				if worn == "numbers" {
					for _, l := range tc.c.multi.lanes {
						l.app.sent.next = maxLimit
					}
					tc.wantEnd("no packet number is left")
					return
				}
				k.old, k.dropAt = tc.c.app.rx, tc.c.e.now.add(time.Hour) // no update now
				k.sealed = tc.c.app.tx.ConfidentialityLimit()
				tc.wantClosed("the keys are worn out", errAEADLimit)
			})
		}
	}
}

// The client leaves the address from which it opened a path before that is validated, and comes
// back. The server asks again there.
func TestMultipathReturnBeforeValidation(t *testing.T) {
	for _, returns := range []string{"by a packet", "as nobody answers elsewhere"} {
		t.Run(returns, func(t *testing.T) {
			tc := newTestConn(t, true, withPaths)
			x := tc.lane(1)
			x.write(paddingFrames(minMTU), pingFrame())
			tc.collect()
			x.read() // the answer to its PATH_CHALLENGE is lost
			b := elsewhere(77)
			tc.others[b] = &bystander{tc: tc, addr: b}
			tc.deliver(x.seal(paddingFrames(100), pingFrame()), b, NotECT)
			tc.collect()
			if x.lane().path.remote != b {
				t.Fatal("the server did not follow")
			}
			if returns == "by a packet" {
				x.read()
				x.write(paddingFrames(minMTU), pingFrame())
			} else {
				x.read() // of the path before, too
				tc.advance(5 * time.Second)
			}
			tc.collect()
			if x.lane().path.remote != x.from {
				t.Fatal("the server did not go back")
			}
			for _, f := range x.read() {
				if f.typ == wire.FramePathChallenge {
					x.write(frame{typ: wire.FramePathResponse, data: f.data})
				}
			}
			if !x.lane().usable() {
				t.Error("the path is not validated")
			}
			if !tc.hasEvent(EventPathOpened) {
				t.Error("the application is not told")
			}
		})
	}
}

// A datagram from the address of a victim counts for one path, however many there are from it: all
// paths together send three times what came from there (RFC 9000, Section 8.1).
func TestMultipathSharedAddressIsNotAmplified(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.MaxPaths, s.peer.MaxPaths = 8, 8 })
	tc.writeStream(tc.open(Uni), "data")
	victim := &bystander{tc: tc, addr: elsewhere(3)}
	tc.others[victim.addr] = victim
	in := 0
	from := func(x *testLane, size int) {
		b := x.seal(pingFrame(), paddingFrames(size))
		in += len(b)
		tc.deliver(b, victim.addr, NotECT)
		tc.advance(50 * time.Millisecond)
		out := 0
		for _, b := range victim.inbox {
			out += len(b)
		}
		if out > 3*in {
			t.Fatalf("%d bytes for %d", out, in)
		}
	}
	var lanes []*testLane
	for id := uint32(1); id < 8; id++ {
		lanes = append(lanes, tc.lane(id))
	}
	for _, x := range lanes {
		from(x, 40)
	}
	from(lanes[0], 400)
	from(lanes[6], 1000)
	for range 5 {
		from(lanes[3], 40)
	}
	if len(victim.inbox) == 0 {
		t.Error("the server does not validate the paths")
	}
}
