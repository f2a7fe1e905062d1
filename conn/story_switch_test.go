package conn

import (
	"net/netip"
	"testing"
	"time"
)

// Clients that move at once, and that probe again (RFC 9000, Sections 8.2 and 9.2).

// TestClientSwitches: a client leaves the network that it was in without a probe. It sends from its
// new address at once, with another connection ID, and validates the path meanwhile.
func TestClientSwitches(t *testing.T) {
	tc := newTestConn(t, false)
	id := string(tc.c.remote.current().bytes())
	s := tc.open(Uni)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	tc.must(tc.c.Switch(other))
	if ev := tc.wantEvent("it has moved", EventPathChanged); ev.Local != other {
		t.Errorf("event %+v", ev)
	}
	tc.collect()
	data, _ := tc.challengeOf("the path is validated while it is in use")
	if tc.current.burst.Local != other {
		t.Errorf("the challenge left from %v", tc.current.burst.Local)
	}
	tc.writeStream(s, "after")
	p := tc.wantFrame("data takes the new path at once", streamFrame(s.ID(), 0, "after"))
	if p.burst.Local != other || string(p.dcid) == id {
		t.Errorf("the data left from %v with the ID %x", p.burst.Local, p.dcid)
	}
	tc.write(responseFrame(data))
	if tc.c.path.challenge.active {
		t.Error("it has been validated")
	}
	tc.must(tc.c.Switch(other)) // it is there already
	tc.wantNoEvent("nothing changes")
}

// TestClientSwitchesToProbedPath: no other PATH_CHALLENGE is needed.
func TestClientSwitchesToProbedPath(t *testing.T) {
	tc := newTestConn(t, false)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	tc.must(tc.c.Probe(other))
	data, _ := tc.challengeOf("the new path is challenged")
	probing := string(tc.current.dcid)
	tc.write(responseFrame(data))
	tc.wantEvent("the path works", EventPathValidated)
	tc.must(tc.c.Switch(other))
	tc.wantEvent("it has moved", EventPathChanged)
	s := tc.open(Uni)
	tc.writeStream(s, "after")
	if p := tc.wantFrame("data takes it", streamFrame(s.ID(), 0, "after")); p.burst.Local != other || string(p.dcid) != probing {
		t.Errorf("the data left from %v with the ID %x", p.burst.Local, p.dcid)
	}
	if tc.c.path.challenge.active {
		t.Error("the path was validated before")
	}
}

// TestSwitchInTheDark: if nobody answers from the new path, the client stays there nevertheless.
func TestSwitchInTheDark(t *testing.T) {
	tc := newTestConn(t, false)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	tc.must(tc.c.Switch(other))
	tc.wantEvent("it has moved", EventPathChanged)
	tc.advance(10 * time.Second)
	if tc.c.LocalAddr() != other || tc.c.path.challenge.active {
		t.Errorf("it is at %v", tc.c.LocalAddr())
	}
}

// TestProbeAgain: a path that was validated can be probed again, and then needs another answer.
func TestProbeAgain(t *testing.T) {
	tc := newTestConn(t, false)
	other := netip.MustParseAddrPort("10.0.0.77:5555")
	var first string
	for range 2 {
		tc.must(tc.c.Probe(other))
		tc.collect()
		data, _ := tc.challengeOf("the path is challenged")
		if data == first {
			t.Error("the same challenge again")
		}
		if first != "" {
			tc.write(responseFrame(first))
			tc.wantNoEvent("an answer to the first challenge")
		}
		first = data
		tc.write(responseFrame(data))
		tc.wantEvent("the path works", EventPathValidated)
	}
}

// TestProbeOfAnotherPath: there is one probed path. A path that is being probed is reported as
// failed when another takes its place, so that nobody waits for it.
func TestProbeOfAnotherPath(t *testing.T) {
	for name, next := range map[string]func(*Conn, netip.AddrPort) error{
		"Probe": (*Conn).Probe, "Migrate": (*Conn).Migrate, "Switch": (*Conn).Switch,
	} {
		tc := newTestConn(t, false)
		first, second := netip.MustParseAddrPort("10.0.0.77:5555"), netip.MustParseAddrPort("10.0.0.78:5555")
		tc.must(tc.c.Probe(first))
		tc.challengeOf("the first path is challenged")
		probing := string(tc.current.dcid)
		tc.must(next(tc.c, second))
		if ev := tc.wantEvent(name+": the first path fails", EventPathFailed); ev.Local != first {
			t.Errorf("%s: event %+v", name, ev)
		}
		tc.collect()
		tc.challengeOf(name + ": the second path is challenged")
		if string(tc.current.dcid) == probing {
			t.Errorf("%s: two paths have one connection ID", name) // RFC 9000, Section 9.5
		}
	}
}

// TestAnswerFromAnyAddress: a PATH_CHALLENGE that comes to a socket which is bound to no particular
// address is answered from there (RFC 9000, Section 8.2.2).
func TestAnswerFromAnyAddress(t *testing.T) {
	tc := newTestConn(t, false)
	socket := netip.MustParseAddrPort("0.0.0.0:5555")
	tc.must(tc.c.Probe(socket))
	data, _ := tc.challengeOf("the path is challenged")
	tc.write(responseFrame(data))
	tc.wantEvent("the path works", EventPathValidated)
	b := tc.seal(testPacket{space: spaceApp, frames: []frame{challengeFrame("theirs!!")}, size: minMTU})
	tc.e.Receive(tc.now, Datagram{Data: b, Remote: tc.peerAddr, Local: netip.MustParseAddrPort("10.0.0.77:5555")})
	if p := tc.wantFrame("the answer", responseFrame("theirs!!")); p.burst.Local != socket {
		t.Errorf("the answer left from %v", p.burst.Local)
	}
}

// TestElsewhere: a packet of a connection of another Endpoint is offered, and gets no stateless
// reset if it is taken. One of a connection that is here is not offered.
func TestElsewhere(t *testing.T) {
	for _, takes := range []bool{true, false} {
		var offered []Datagram
		tc := newTestConn(t, true, func(s *testSetup) {
			s.endpoint.Elsewhere = func(_ time.Time, d Datagram) bool {
				offered = append(offered, d)
				return takes
			}
		})
		tc.write(pingFrame())
		if len(offered) != 0 {
			t.Fatal("a packet of the connection was offered")
		}
		b := make([]byte, 100)
		for _, b[0] = range []byte{0x40, 0x00} { // RFC 9287: the fixed bit may be clear
			tc.e.Receive(tc.now, Datagram{Data: b, Remote: elsewhere(1), Local: tc.addr})
		}
		if len(offered) != 2 || offered[0].Remote != elsewhere(1) || offered[0].Local != tc.addr || len(offered[0].Data) != 100 {
			t.Errorf("offered: %+v", offered)
		}
		if n := tc.e.Stats().StatelessResetsSent; (n == 0) != takes {
			t.Errorf("%d stateless resets, taken: %v", n, takes)
		}
	}
}
