package conn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// Memory that all connections hold together (EndpointConfig.MaxBuffered).

// knock sends the server the ClientHello of a new client. It reports whether the server accepts it.
func (tc *testConn) knock() bool {
	tc.t.Helper()
	by := &bystander{tc: tc, addr: netip.MustParseAddrPort("10.0.0.98:9898")}
	tc.others[by.addr] = by
	_, clientTLS := testTLS(tc.t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	e := newTestEndpoint(tc.t, &EndpointConfig{Rand: testRand(byte(len(tc.e.routes.ids)))})
	tc.dial(e, Target{Remote: tc.addr, Local: by.addr}, &cfg)
	before := tc.e.Stats().Accepted
	for _, d := range drainEndpoint(e, tc.now, tc.buf) {
		tc.e.Receive(tc.now, Datagram{Data: d.data, Remote: by.addr, Local: tc.addr})
	}
	return tc.e.Stats().Accepted > before
}

// hoard makes the Conn hold at least as much as all connections together may hold. It writes to
// streams on which the peer gives no credit.
func hoard(t *testing.T) (*testConn, []*Stream) {
	const most = 1 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1000, 1<<40
		s.endpoint.MaxBuffered = most
	})
	var all []*Stream
	for {
		s := tc.open(Uni)
		all = append(all, s)
		if n, _ := s.Write(make([]byte, 1<<20)); n == 0 {
			break
		}
	}
	if held := tc.e.memory.Used(); held > most {
		t.Fatalf("%d bytes are held", held)
	}
	for range 20 { // what there is credit for goes
		tc.flush()
		tc.ackAll()
	}
	return tc, all
}

// knockUntil knocks once a second until there is room, for half of stallTime at most.
func (tc *testConn) knockUntil() {
	tc.t.Helper()
	if tc.knock() {
		tc.t.Fatal("there was room for somebody new")
	}
	for start := tc.now; !tc.knock(); {
		if tc.now.Sub(start) > stallTime/2 {
			tc.t.Fatal("there is no room for somebody new")
		}
		tc.advance(time.Second)
		tc.ackAll()
		tc.write(pingFrame())
	}
}

// TestStalledConnsMakeRoom: a peer fills the memory and keeps its connection alive. It does not
// lock others out for long.
// RFC 9000, Section 21.6 [1].
func TestStalledConnsMakeRoom(t *testing.T) {
	tc, _ := hoard(t)
	tc.knockUntil()
	tc.wantClosed("it holds all, and nothing of it moves", errInternal)
	if used := tc.e.memory.Used(); used > tc.e.cfg.MaxBuffered/2 {
		t.Errorf("%d bytes are held", used)
	}
}

// TestEqualHoardersMakeRoom: several peers fill the memory, and none holds more than an equal
// share of it. Each does with another one that comes.
func TestEqualHoardersMakeRoom(t *testing.T) {
	const most = 1 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1000, 1<<40
		s.endpoint.MaxBuffered = most
	})
	by := tc.bystand()
	for n := 1; n > 0; {
		n, _ = tc.open(Uni).Write(make([]byte, 20_000))
		theirs, err := by.c.OpenStream(Uni)
		tc.must(err)
		theirs.Write(make([]byte, 20_000))
	}
	tc.flush()
	if ours, theirs := tc.c.memory.Used(), by.c.memory.Used(); ours < most/3 || theirs < most/3 || ours > most*2/3 {
		t.Fatalf("%d and %d bytes are held", ours, theirs)
	}
	tc.knockUntil()
	if tc.c.closed && by.c.closed {
		t.Error("both have ended")
	}
}

// TestLateBurstIsNoStall: a connection that held little when memory was short, and much later
// writes a burst, has the whole time for it.
func TestLateBurstIsNoStall(t *testing.T) {
	const second = instant(time.Second)
	var p progress
	for _, tt := range []struct {
		now  instant
		held int64
		want bool
	}{
		{1 * second, 10_000, false},
		{8 * second, 20_000, false},
		{21 * second, 400_000, false},
		{30 * second, 400_000, false},
		{31 * second, 400_000, true},
	} {
		if got := p.stalled(tt.now, 0, tt.held, stallShare, stallTime); got != tt.want {
			t.Errorf("after %v: stalled is %t", time.Duration(tt.now), got)
		}
	}
}

// TestBusyConnsKeepMemory: a connection whose data moves stays, and so does a connection that holds
// little.
func TestBusyConnsKeepMemory(t *testing.T) {
	tc, all := hoard(t)
	credit := uint64(1000)
	for range 15 {
		tc.knock()
		tc.advance(time.Second)
		credit += 2000
		for _, s := range all {
			tc.write(maxStreamDataFrame(s.ID(), credit))
		}
		tc.collect()
		tc.ackAll()
		for _, s := range all {
			s.Write(make([]byte, 1<<20))
		}
	}
	if tc.e.chunks.Used() < tc.e.cfg.MaxBuffered/2 {
		t.Errorf("%d bytes are held", tc.e.chunks.Used())
	}
	tc.wantOpen("what it holds moves")
}

// TestBusyTunnelsKeepMemory: the same holds for a connection that carries nothing but datagrams.
func TestBusyTunnelsKeepMemory(t *testing.T) {
	const most, room, size, perSecond = 1 << 20, 24 << 10, 1000, 25
	for name, move := range map[string]func(tc *testConn){
		"received": func(tc *testConn) {
			tc.write(datagramFrame(string(make([]byte, size))))
			if _, ok := tc.c.ReceiveDatagram(); !ok {
				tc.t.Error("a datagram is missing")
			}
		},
		"sent": func(tc *testConn) {
			_, err := tc.c.SendDatagram(make([]byte, size), DatagramOptions{})
			tc.must(err)
			tc.collect()
			tc.ackAll()
		},
		"sent on each path": func(tc *testConn) {
			_, err := tc.c.SendDatagram(make([]byte, size), DatagramOptions{Redundant: true})
			tc.must(err)
			tc.collect()
			tc.ackAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true, withPaths, func(s *testSetup) {
				s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 60000, 60000
				s.endpoint.MaxBuffered = most
			})
			for range 15 {
				tc.c.Hold(tc.e.memory.Room() - room)
				if tc.knock() {
					t.Fatal("there was room for somebody new")
				}
				tc.advance(time.Second)
				for range perSecond {
					move(tc)
				}
				tc.flush()
			}
			tc.wantOpen("what it holds moves")
		})
	}
}

// TestStalledConnsAreSpared: once the connections that hold most have ended, other stalled ones go
// on.
func TestStalledConnsAreSpared(t *testing.T) {
	const most = 1 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.InitialMaxData, s.conn.InitialMaxStreamData = most, most
		s.endpoint.MaxBuffered = most
	})
	by := tc.bystand()
	little, err := by.far.OpenStream(Uni)
	tc.must(err)
	tc.writeStream(little, string(make([]byte, most/16)))
	by.run()
	for off := uint64(0); off < most; off += 1024 {
		tc.write(streamFrame(tc.theirs(Uni, 0), off, string(make([]byte, 1024))))
	}
	tc.collect()
	for start := tc.now; !tc.c.closed; tc.knock() {
		if tc.now.Sub(start) > 2*stallTime {
			t.Fatal("what holds most goes on")
		}
		tc.advance(time.Second)
		tc.write(pingFrame())
		by.run()
	}
	if by.c.closed {
		t.Error("what holds little ended, too")
	}
}

// TestClosedConnsMakeRoom: a peer opens and closes connections as fast as it can. What remains of
// them fills no memory.
func TestClosedConnsMakeRoom(t *testing.T) {
	const most = 256 << 10
	l, _ := newLoneServer(t, func(c *EndpointConfig) { c.MaxBuffered = most })
	for i := range 2000 {
		l.feed(clientInitial(fmt.Sprintf("server %04d", i), rawClientID, nil, closeFrame(1, 0, "bye")), elsewhere(i))
		if held := l.Stats().Held; held > most {
			t.Fatalf("after %d connections %d bytes are held", i, held)
		}
	}
	if s := l.Stats(); s.Accepted != 2000 || s.Conns != 0 {
		t.Errorf("%d connections were accepted, %d are left", s.Accepted, s.Conns)
	}
	if err := l.CheckMemory(); err != nil {
		t.Error(err)
	}
	l.HandleTimeout(hour0().Add(time.Hour))
	if err := l.CheckEmpty(hour0().Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

// TestLedgersKeepToMaxBuffered: the Endpoint cannot refuse to remember packets in flight. If they
// do not fit, the connection that holds most ends.
func TestLedgersKeepToMaxBuffered(t *testing.T) {
	const most = 128 << 10
	tc := newTestConn(t, true, func(s *testSetup) {
		s.endpoint.MaxBuffered = most
		s.conn.Congestion = func(congestion.Params) congestion.Controller {
			return new(wideController)
		}
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1<<30, 1<<30
	})
	s := tc.open(Uni)
	for range 10_000 {
		if tc.c.closed {
			break
		}
		s.Write([]byte("x")) // a packet of its own
		tc.collect()
		tc.e.HandleTimeout(tc.now) // any verb will do
		if held := tc.e.Stats().Held - tc.e.leaving; held > most {
			t.Fatalf("%d bytes are held", held)
		}
	}
	tc.wantClosed("the ledger of its packets fills the memory", errInternal)
}

// TestLooksInVainAreRare: the memory is full, and nobody holds more than an equal share. What comes
// to somebody who holds little is refused, and not each time all connections are looked at.
func TestLooksInVainAreRare(t *testing.T) {
	const most = 1 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1000, 1<<40
		s.endpoint.MaxBuffered = most
	})
	by := tc.bystand()
	tc.e.Hold(most * 3 / 5) // what a layer above keeps
	for n := 1; n > 0; {
		n, _ = tc.open(Uni).Write(make([]byte, 20_000))
	}
	tc.flush()
	need := tc.e.memory.Room() + 1
	for range 2 {
		tc.advance(2 * vainTime)
		before := tc.e.looked
		for range 100 {
			tc.e.makeRoom(by.c, need)
		}
		if n := tc.e.looked - before; n != 2 {
			t.Errorf("%d connections were looked at", n)
		}
	}
	tc.wantOpen("it holds no more than a share")
}
