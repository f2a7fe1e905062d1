package conn

import (
	"net/netip"
	"testing"
	"time"
)

// Memory that connections hold together (EndpointConfig.MaxBuffered).

// knock sends the server a ClientHello of somebody new, and reports whether it got in.
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

// hoard makes the Conn hold at least as much as all may hold together: streams on which the peer gives no credit.
func hoard(t *testing.T) (*testConn, []*Stream) {
	const most = 1 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1000, 1<<40
		s.endpoint.MaxBuffered = most
	})
	var all []*Stream
	for tc.e.chunks.Used() < most {
		s := tc.open(Uni)
		s.Write(make([]byte, 1<<20))
		all = append(all, s)
	}
	tc.flush()
	return tc, all
}

// TestStalledConnsMakeRoom: who fills the memory, and keeps its connection alive, locks nobody out for long.
func TestStalledConnsMakeRoom(t *testing.T) {
	tc, _ := hoard(t)
	if tc.knock() {
		t.Fatal("there was room for somebody new")
	}
	start := tc.now
	for !tc.knock() {
		if tc.now.Sub(start) > 2*stallTime {
			t.Fatal("there is no room for somebody new")
		}
		tc.advance(time.Second)
		tc.ackAll()
		tc.write(pingFrame())
	}
	tc.wantClosed("it holds all, and nothing of it moves", errInternal)
	if used := tc.e.chunks.Used(); used > tc.e.cfg.MaxBuffered/2 {
		t.Errorf("%d bytes are held", used)
	}
}

// TestBusyConnsKeepMemory: a connection whose data moves stays, and so does one that holds little.
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

// TestStalledConnsAreSpared: once those that hold most have ended, others that are stalled go on.
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
