package conn

import (
	"bytes"
	"net/netip"

	"github.com/lazoquic/lazo/internal/wire"
)

// A testLane is another path of a testConn whose Conn is a server.
type testLane struct {
	tc   *testConn
	id   uint32
	from netip.AddrPort // of the client
	by   *bystander
	next uint64 // packet number

	largest int64 // that came
	seen    int   // datagrams of by
}

// lane returns the path with an ID. Nothing was sent on it yet.
func (tc *testConn) lane(id uint32) *testLane {
	tc.t.Helper()
	tc.flush()
	from := elsewhere(100 + int(id))
	x := &testLane{tc: tc, id: id, from: from, by: &bystander{tc: tc, addr: from}, largest: -1}
	tc.others[from] = x.by
	if l := x.lane(); l == nil || len(l.local.ids) == 0 || len(l.remote.ids) == 0 {
		tc.t.Fatalf("no connection IDs for path %d", id)
	}
	return x
}

func (x *testLane) lane() *lane { return x.tc.c.laneOf(x.id) }

// open opens the path, and answers the PATH_CHALLENGE of the server.
func (x *testLane) open() {
	x.tc.t.Helper()
	x.write(paddingFrames(minMTU), pingFrame())
	x.tc.collect()
	for range 2 {
		for _, f := range x.read() {
			if f.typ == wire.FramePathChallenge {
				if n := len(x.by.inbox[0]); n < minMTU {
					x.tc.t.Fatalf("PATH_CHALLENGE in %d bytes", n)
				}
				x.write(frame{typ: wire.FramePathResponse, data: f.data})
				x.tc.collect()
			}
		}
	}
	if !x.lane().usable() {
		x.tc.t.Fatal("the path is not open")
	}
}

// write writes frames in a packet on the path.
func (x *testLane) write(frames ...frame) {
	x.tc.t.Helper()
	x.tc.deliver(x.seal(frames...), x.from, NotECT)
}

// seal makes a packet of the path.
func (x *testLane) seal(frames ...frame) []byte {
	x.tc.t.Helper()
	x.next++
	return x.tc.seal(testPacket{
		space: spaceApp, tx: x.tc.tx[spaceApp].OnPath(x.id), dcid: &x.lane().local.ids[0].id, pn: x.next - 1, fixed: true, frames: frames,
	})
}

// read returns the frames that came on the path since the last read.
func (x *testLane) read() (all []frame) {
	x.tc.t.Helper()
	x.tc.collect()
	for ; x.seen < len(x.by.inbox); x.seen++ {
		b := append([]byte(nil), x.by.inbox[x.seen]...)
		hdr := 1 + int(x.lane().remote.ids[0].id.n)
		if l := x.lane(); !ofLane(l, b) {
			x.tc.t.Fatalf("a packet on path %d has the connection ID %x", x.id, b[1:hdr])
		}
		rx := x.tc.rx[spaceApp].OnPath(x.id)
		pnLen, truncated, ok := rx.Unprotect(b, hdr)
		if !ok {
			x.tc.t.Fatal("a datagram is too short")
		}
		pn := wire.DecodePacketNumber(x.largest, truncated, pnLen)
		payload, ok := rx.Open(b, hdr+pnLen, pn)
		if !ok {
			x.tc.t.Fatal("a packet does not open with the keys of its path")
		}
		x.largest = max(x.largest, int64(pn))
		for len(payload) > 0 {
			f, n := parseFrame(payload)
			if n <= 0 {
				x.tc.t.Fatalf("a malformed frame: %x", payload)
			}
			all = append(all, f)
			payload = payload[n:]
		}
	}
	return all
}

// ofLane reports whether a packet has a connection ID of the peer for a lane.
func ofLane(l *lane, b []byte) bool {
	for i := range l.remote.ids {
		if id := l.remote.ids[i].id.bytes(); bytes.HasPrefix(b[1:], id) {
			return true
		}
	}
	return false
}
