package conn

import (
	"net/netip"
	"testing"
)

// newAllocPaths is newAllocPair with two paths.
func newAllocPaths(t *testing.T) *allocPair {
	p := newAllocPair(t, func(s *testSetup) { s.conn.MaxPaths, s.peer.MaxPaths = 2, 2 })
	for range 3 {
		p.pass()
	}
	if _, err := p.c[0].OpenPath(netip.MustParseAddrPort("10.0.0.9:443")); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		p.pass()
	}
	for _, c := range p.c {
		if l := c.laneOf(1); l == nil || !l.usable() {
			t.Fatal("the second path is not open")
		}
	}
	return p
}

// TestAllocsOfTwoPaths: stream data that takes two paths, read as it comes, and the
// acknowledgements that it causes.
func TestAllocsOfTwoPaths(t *testing.T) {
	p := newAllocPaths(t)
	client, server := p.open()
	data, buf := make([]byte, 64<<10), make([]byte, 64<<10)
	wantAllocs(t, "a round trip of a transfer on two paths", 0, func() {
		for n := 1; n > 0; {
			n, _ = client.Write(data)
		}
		p.pass()
		for n := 1; n > 0; {
			n, _ = server.Read(buf)
		}
	})
	for i := range uint32(2) {
		if n := p.c[0].laneOf(i).app.sent.next; n < 1000 {
			t.Errorf("%d packets on path %d", n, i)
		}
	}
}

// TestMultipathOff: without it, a connection keeps nothing of it but two nil pointers.
func TestMultipathOff(t *testing.T) {
	tc := newTestConn(t, true)
	if tc.c.multi != nil || tc.c.lane.status != nil {
		t.Error("the connection keeps what multipath needs")
	}
	if got := tc.c.Paths(nil); len(got) != 1 || got[0].Backup || !got[0].Validated {
		t.Errorf("its paths are %+v", got)
	}
}
