package conn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// pathFrame is a frame of multipath with a path ID and one more integer. In MAX_PATH_ID and
// PATHS_BLOCKED the second is not there.
func pathFrame(typ, path, v uint64) frame { return twoFrame(typ, path, v) }

// pathAckFrame acknowledges one packet of a path.
func pathAckFrame(path, pn uint64) frame { return twoFrame(wire.FramePathAck, path, pn) }

func newPathIDFrame(path, seq, retirePriorTo uint64, id string) frame {
	return frame{typ: wire.FramePathNewConnectionID, v: [5]uint64{path, seq, retirePriorTo}, data: id + string(resetTokenOf(100*path+seq))}
}

// appendMultipath appends the frame. Its path ID may be too large for those that package wire
// appends.
func (f frame) appendMultipath(b []byte) []byte {
	b = wire.AppendPair(b, f.typ, f.v[0])
	switch f.typ {
	case wire.FramePathAck:
		return wire.AppendPair(wire.AppendPair(b, f.v[1], 0), 0, 0)
	case wire.FramePathNewConnectionID:
		n := len(f.data) - resetTokenLen
		b = append(wire.AppendPair(b, f.v[1], f.v[2]), byte(n))
		return append(b, f.data...)
	case wire.FrameMaxPathID, wire.FramePathsBlocked:
		return b
	}
	return wire.AppendVarint(b, f.v[1])
}

func parseMultipathFrame(typ uint64, b []byte) (f frame, n int) {
	f.typ = typ
	switch typ {
	case wire.FramePathAck, wire.FramePathAckECN:
		var a wire.Ack
		f.v[0], a, n = wire.ParsePathAck(b)
		f.v[1] = a.Largest
	case wire.FramePathNewConnectionID:
		var id []byte
		var token [16]byte
		f.v[0], f.v[1], f.v[2], id, token, n = wire.ParsePathNewConnectionID(b)
		f.data = string(id) + string(token[:])
	case wire.FrameMaxPathID, wire.FramePathsBlocked:
		f.v[0], n = wire.ParsePathLimit(b)
	default:
		f.v[0], f.v[1], n = wire.ParsePathValue(b)
	}
	return f, n
}

// withPaths makes both sides speak multipath, with path IDs up to 3.
func withPaths(s *testSetup) { s.conn.MaxPaths, s.peer.MaxPaths = 4, 4 }

// hostilePaths are frames of multipath that no honest peer sends (draft-ietf-quic-multipath-21,
// Section 4).
// draft-ietf-quic-multipath-21, Section 3.4 [7]; draft-ietf-quic-multipath-21, Section 4 [3];
// draft-ietf-quic-multipath-21, Section 4.6 [3];
// draft-ietf-quic-multipath-21, Section 4.7 [1, 2].
func hostilePaths() (all []hostileCase) {
	add := func(name string, code uint64, f ...frame) {
		all = append(all, hostileCase{name: "multipath, " + name, edit: withPaths, frames: only(f...), code: code})
	}
	for _, f := range []frame{
		pathAckFrame(4, 0), pathFrame(wire.FramePathAbandon, 4, 0), pathFrame(wire.FramePathStatusBackup, 4, 1),
		pathFrame(wire.FramePathStatusAvailable, 1<<32, 1), newPathIDFrame(4, 0, 0, "pathfour"),
		pathFrame(wire.FramePathRetireConnectionID, 4, 0), pathFrame(wire.FramePathsBlocked, 4, 0), pathFrame(wire.FramePathCIDsBlocked, 4, 0),
	} {
		add(fmt.Sprintf("%#x of a path ID above the limit", f.typ), errProtocolViolation, f)
		all = append(all, hostileCase{
			name: fmt.Sprintf("multipath, %#x that was not negotiated", f.typ), frames: only(f), code: errFrameEncoding,
		}, hostileCase{
			name: fmt.Sprintf("multipath, %#x that the peer did not offer", f.typ), frames: only(f), code: errFrameEncoding,
			edit: func(s *testSetup) { s.conn.MaxPaths = 4 },
		})
	}
	add("MAX_PATH_ID below initial_max_path_id", errProtocolViolation, pathFrame(wire.FrameMaxPathID, 2, 0))
	add("MAX_PATH_ID of 1<<32", errProtocolViolation, pathFrame(wire.FrameMaxPathID, 1<<32, 0))
	add("PATH_ACK on a path that was never used", errProtocolViolation, pathAckFrame(1, 0))
	add("PATH_ACK of a packet that was never sent", errProtocolViolation, pathAckFrame(0, 1<<20))
	add("PATH_RETIRE_CONNECTION_ID of one that was not issued", errProtocolViolation, pathFrame(wire.FramePathRetireConnectionID, 1, 2))
	add("PATH_CIDS_BLOCKED behind the next", errProtocolViolation, pathFrame(wire.FramePathCIDsBlocked, 1, 3))
	add("one connection ID on two paths", errProtocolViolation, newPathIDFrame(2, 2, 0, "twopaths"), newPathIDFrame(3, 2, 0, "twopaths"))
	add("one number with two connection IDs", errProtocolViolation, newPathIDFrame(2, 2, 0, "thefirst"), newPathIDFrame(2, 2, 0, "theother"))
	add("more connection IDs than allowed", errConnectionIDLimit,
		newPathIDFrame(2, 2, 0, "number 2"), newPathIDFrame(2, 3, 0, "number 3"), newPathIDFrame(2, 4, 0, "number 4"))
	add("the only path is abandoned", errNo, pathFrame(wire.FramePathAbandon, 0, 0x3e))
	add("PATH_NEW_CONNECTION_ID that retires itself", errFrameEncoding, newPathIDFrame(2, 4, 5, "an ID"))
	all = append(all, hostileCase{
		name: "multipath, PATH_ACK cut short", edit: withPaths, payload: "\x3e\x00\x01\x00\x00", code: errFrameEncoding,
	}, hostileCase{
		name: "multipath, a flood of PATHS_BLOCKED", code: errInternal,
		edit: func(s *testSetup) { withPaths(s); s.conn.MaxSuspiciousFrames = 1000 },
		before: func(tc *testConn) {
			for range 4 {
				tc.write(floodOf(pathFrame(wire.FramePathsBlocked, 3, 0), 240)...)
			}
		},
		frames: func(*testConn) []frame { return floodOf(pathFrame(wire.FramePathsBlocked, 3, 0), 240) },
	})
	return all
}

func floodOf(f frame, n int) (all []frame) {
	for range n {
		all = append(all, f)
	}
	return all
}

// Frames of multipath are for 1-RTT packets only (draft-ietf-quic-multipath-21, Section 4).
// draft-ietf-quic-multipath-21, Section 4 [2].
func TestMultipathFramesInHandshake(t *testing.T) {
	tc := startTestConn(t, true, withPaths)
	tc.exchange(func() bool {
		return tc.c != nil && tc.c.spaces[spaceHandshake] != nil && tc.c.spaces[spaceHandshake].rx != nil
	})
	tc.takeOver()
	tc.writeIn(spaceHandshake, pathFrame(wire.FramePathsBlocked, 1, 0))
	tc.wantClosed("it is not for Handshake packets", errProtocolViolation)
}

// What comes late, or does not matter, is ignored.
// draft-ietf-quic-multipath-21, Section 3.4 [3]; draft-ietf-quic-multipath-21, Section 4 [4];
// draft-ietf-quic-multipath-21, Section 4.3 [2]; draft-ietf-quic-multipath-21, Section 4.6 [4].
func TestMultipathIgnores(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, withPaths)
		tc.flush()
		tc.ignore(wire.FramePathAck, wire.FramePathNewConnectionID)
		m := tc.c.multi
		tc.write(
			pathFrame(wire.FramePathsBlocked, 1, 0), pathFrame(wire.FrameMaxPathID, 3, 0), pathFrame(wire.FrameMaxPathID, 7, 0),
			pathFrame(wire.FrameMaxPathID, 5, 0), pathFrame(wire.FramePathCIDsBlocked, 1, 1),
		)
		tc.wantOpen("nothing is wrong")
		if m.peerLimit != 7 {
			t.Errorf("the limit is %d, want 7", m.peerLimit)
		}
		// Section 4.3: older ones are ignored, and each path has numbers of its own.
		tc.write(pathFrame(wire.FramePathStatusBackup, 1, 5), pathFrame(wire.FramePathStatusAvailable, 1, 4),
			pathFrame(wire.FramePathStatusAvailable, 1, 5), pathFrame(wire.FramePathStatusAvailable, 2, 1))
		if !tc.c.laneOf(1).status.peerBackup || tc.c.laneOf(2).status.peerBackup {
			t.Error("a PATH_STATUS frame that came late counts")
		}
		tc.flush()
		tc.write(pathFrame(wire.FramePathAbandon, 1, 0x3e75))
		f, _ := tc.wantType("it must be answered", wire.FramePathAbandon)
		if f.v[0] != 1 || f.v[1] != errNo {
			t.Errorf("answered with path %d, code %#x", f.v[0], f.v[1])
		}
		if ev := tc.wantEvent("the application is told", EventPathAbandoned); ev.ID != 1 || ev.Code != 0x3e75 {
			t.Errorf("told %d, %#x", ev.ID, ev.Code)
		}
		tc.ackAll()
		late := []frame{
			pathFrame(wire.FramePathAbandon, 1, 0), newPathIDFrame(1, 9, 9, "too late"), pathFrame(wire.FramePathRetireConnectionID, 1, 99),
			pathFrame(wire.FramePathStatusBackup, 1, 99), pathFrame(wire.FramePathCIDsBlocked, 1, 99),
		}
		tc.write(late...)
		tc.wantOpen("they are late")
		tc.advance(4 * testPTO)
		if tc.c.laneOf(1) != nil {
			t.Fatal("the lane is not forgotten")
		}
		if tc.c.laneOf(4) == nil || m.limit != 4 || len(m.lanes) != 4 {
			t.Fatalf("%d lanes, up to %d", len(m.lanes), m.limit)
		}
		f, _ = tc.wantType("there is room for another", wire.FrameMaxPathID)
		if f.v[0] != 4 {
			t.Errorf("MAX_PATH_ID of %d", f.v[0])
		}
		tc.write(append(late, pathAckFrame(1, 1000))...)
		tc.wantOpen("they are too late")
	})
}

// A server answers on a path whose address is not validated with three times as much as it got, and
// sends no data there (RFC 9000, Section 8.1; draft-ietf-quic-multipath-21, Section 3.1).
// draft-ietf-quic-multipath-21, Section 3.1 [4].
func TestMultipathAmplification(t *testing.T) {
	tc := newTestConn(t, true, withPaths)
	tc.writeStream(tc.open(Uni), strings.Repeat("x", 5000))
	tc.flush()
	l := tc.c.laneOf(1)
	if len(l.local.ids) == 0 || len(l.remote.ids) == 0 {
		t.Fatal("no connection IDs for path 1")
	}
	keys, victim := tc.tx[spaceApp].OnPath(1), elsewhere(1)
	packet := func(pn uint64, size int, f ...frame) {
		tc.send(testPacket{
			space: spaceApp, tx: keys, dcid: &l.local.ids[0].id, from: victim, pn: pn, fixed: true, frames: append(f, paddingFrames(size)),
		})
	}
	sent := 0
	for pn := range uint64(3) {
		packet(pn, 100, challengeFrame("challeng"))
		sent += 100 + 1 + 8 + 4 + 9 + 16
		if n := tc.bytesOut(victim); n == 0 || n > 3*sent {
			t.Fatalf("%d bytes for %d", n, sent)
		}
	}
	tc.writeStream(tc.open(Uni), strings.Repeat("y", 5000))
	tc.advance(testPTO)
	if n := tc.bytesOut(victim); n > 3*sent {
		t.Fatalf("%d bytes for %d", n, sent)
	}
	tc.wantOpen("nothing is wrong")
	if tc.c.RemoteAddr() == victim {
		t.Fatal("the connection moved there")
	}
}

// Floods of frames that say what the peer waits for are answered with acknowledgements alone: it
// has all that it may have. They end the connection where they are too many.
func TestMultipathBlockedFlood(t *testing.T) {
	for name, f := range map[string]frame{
		"PATHS_BLOCKED": pathFrame(wire.FramePathsBlocked, 3, 0), "PATH_CIDS_BLOCKED": pathFrame(wire.FramePathCIDsBlocked, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			sides(t, func(t *testing.T, server bool) {
				tc := newTestConn(t, server, withPaths)
				tc.flush()
				tc.ackAll0()
				issued := tc.c.laneOf(1).local.next
				packet := make([]frame, 100)
				for i := range packet {
					packet[i] = f
				}
				for range 50 {
					tc.write(packet...)
					tc.collect()
					for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
						if f.typ != wire.FramePathAck && f.typ != wire.FramePing {
							t.Fatalf("answered with %v", f)
						}
					}
				}
				tc.wantOpen("nothing is wrong")
				if n := tc.c.laneOf(1).local.next; n != issued || len(tc.c.multi.lanes) != 4 || tc.c.multi.limit != 3 {
					t.Errorf("%d connection IDs of path 1, %d before; %d paths", n, issued, len(tc.c.multi.lanes))
				}
				tc.c.cfg.MaxSuspiciousFrames = 150
				tc.c.suspects.frames = 0
				tc.write(packet...)
				tc.wantOpen("some are bearable")
				tc.write(packet...)
				tc.wantClosed("they are too many", errInternal)
			})
		})
	}
}
