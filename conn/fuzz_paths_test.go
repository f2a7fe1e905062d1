package conn

import (
	"fmt"
	"net/netip"

	"github.com/lazoquic/lazo/internal/rangeset"
	"github.com/lazoquic/lazo/internal/wire"
)

// pathFrames are the frames of multipath, which FuzzConn sends where it was negotiated.
var pathFrames = [...]uint64{
	wire.FramePathAck, wire.FramePathAckECN, wire.FramePathAbandon, wire.FramePathStatusBackup, wire.FramePathStatusAvailable,
	wire.FramePathNewConnectionID, wire.FramePathNewConnectionID, wire.FramePathRetireConnectionID, wire.FrameMaxPathID,
	wire.FramePathsBlocked, wire.FramePathCIDsBlocked,
}

// A fuzzPath is the peer's side of a path of FuzzConn. Those of path 0 are in testConn, but for
// the challenges and the connection IDs.
type fuzzPath struct {
	next       uint64 // packet number
	largest    int64
	got        rangeset.Set
	challenges []string
	issued     uint64 // connection IDs
}

// lane returns the peer's side of a path.
func (s *fuzzStory) lane(id uint32) *fuzzPath {
	x := s.lanes[id]
	if x == nil {
		x = &fuzzPath{largest: -1}
		if id == 0 {
			x.issued = activeConnIDs
		}
		s.lanes[id] = x
	}
	return x
}

// startPaths issues connection IDs for two paths.
func (s *fuzzStory) startPaths() {
	s.lanes = make(map[uint32]*fuzzPath)
	s.write(s.newPathID(1), s.newPathID(1), s.newPathID(2))
	s.check()
}

// newPathID issues the next connection ID for a path.
func (s *fuzzStory) newPathID(id uint32) frame {
	x := s.lane(id)
	x.issued++
	return newPathIDFrame(uint64(id), x.issued-1, 0, fmt.Sprintf("%02d%06d", id%100, x.issued-1))
}

// pathID returns the ID of a path, mostly of one that there may be.
func (s *fuzzStory) pathID() uint32 {
	v := s.in.Byte()
	if m := s.c.multi; m != nil && v < 230 {
		return m.lanes[int(v)%len(m.lanes)].id
	}
	return uint32(v & 15)
}

// onLane makes a packet one of the path that the input has chosen. It returns where it goes to.
func (s *fuzzStory) onLane(p *testPacket) (to netip.AddrPort) {
	to = s.addr
	l := s.c.laneOf(s.at)
	if p.space != spaceApp || l == nil || l.id == 0 || len(l.local.ids) == 0 {
		return to
	}
	x := s.lane(s.at)
	p.tx, p.dcid = s.tx[spaceApp].OnPath(s.at), &l.local.ids[int(x.next)%len(l.local.ids)].id
	if !p.fixed {
		p.pn, p.fixed = x.next+p.skip, true
		x.next = p.pn + 1
	}
	if s.server && !p.from.IsValid() {
		p.from = elsewhere(100 + int(s.at))
	}
	if !s.server && l.path != nil {
		to = l.path.local
	}
	return to
}

// see reads what the Conn has sent on other paths than 0.
func (s *fuzzStory) see(d *seenDatagram) {
	b := d.data
	if len(d.packets) > 0 || s.c.multi == nil || wire.IsLong(b[0]) {
		for _, p := range d.packets {
			s.noteChallenges(0, p.frames)
		}
		return
	}
	for _, l := range s.c.multi.lanes {
		if l.id == 0 || len(l.remote.ids) == 0 || !ofLane(l, b) {
			continue
		}
		x, rx, off := s.lane(l.id), s.rx[spaceApp].OnPath(l.id), 1+int(l.remote.ids[0].id.n)
		pnLen, truncated, ok := rx.Unprotect(b, off)
		if !ok {
			return
		}
		pn := wire.DecodePacketNumber(x.largest, truncated, pnLen)
		payload, ok := rx.Open(b, off+pnLen, pn)
		if !ok {
			return // the keys were updated, for example
		}
		x.largest = max(x.largest, int64(pn))
		x.got.Add(pn, pn+1)
		for len(payload) > 0 {
			f, n := parseFrame(payload)
			if n <= 0 {
				s.t.Fatalf("the Conn sent a malformed frame: %x", payload)
			}
			s.noteChallenges(l.id, []frame{f})
			payload = payload[n:]
		}
	}
}

func (s *fuzzStory) noteChallenges(id uint32, frames []frame) {
	for _, f := range frames {
		if x := s.lane(id); f.typ == wire.FramePathChallenge && len(x.challenges) < 4 {
			x.challenges = append(x.challenges, f.data)
		}
	}
}

// stepPaths does one thing that concerns paths.
func (s *fuzzStory) stepPaths(op byte) {
	in, c := s.in, s.c
	switch op {
	case 0: // what follows goes on another path
		s.at = s.pathID()
	case 1: // what came on a path is acknowledged
		id := s.pathID()
		got := &s.lane(id).got
		if id == 0 {
			got = &s.got[spaceApp]
		}
		if got.Len() > 0 {
			at := func(i int) (uint64, uint64) { r := got.At(i); return r.Start, r.End }
			b, _ := wire.AppendPathAck(nil, 400, id, got.Len(), at, 0, nil)
			s.send(testPacket{space: spaceApp, payload: b})
		}
	case 2: // an answer to a challenge, mostly on its path
		if x := s.lane(s.pathID()); len(x.challenges) > 0 {
			s.write(responseFrame(x.challenges[0]), paddingFrames(1))
			x.challenges = x.challenges[1:]
		}
	case 3:
		switch v := in.Byte(); v % 4 {
		case 0:
			c.OpenPath(elsewhere(300 + int(v>>6)))
		case 1:
			c.AbandonPath(PathID(s.pathID()), in.number())
		case 2:
			c.SetPathBackup(PathID(s.pathID()), v&64 != 0)
		case 3:
			if n := len(s.streams); n > 0 {
				s.streams[int(v>>3)%n].SetRedundant(v&4 != 0)
			}
			c.SendDatagram(make([]byte, int(v)*2), DatagramOptions{Redundant: true, Notify: v&4 != 0})
		}
	}
}

// politePathFrame returns a frame of multipath that breaks no rule. It returns PADDING if the frame
// that the input asks for would break one.
func (s *fuzzStory) politePathFrame(op byte) frame {
	in, m := s.in, s.c.multi
	id := m.lanes[int(in.Byte())%len(m.lanes)].id
	l, v := s.c.laneOf(id), in.number()
	switch op {
	case 0:
		return pathFrame(wire.FramePathStatusBackup, uint64(id), v)
	case 1:
		return pathFrame(wire.FramePathStatusAvailable, uint64(id), v)
	case 2, 3:
		if len(l.remote.ids) < activeConnIDs && l.state != laneAbandoned {
			return s.newPathID(id)
		}
	case 4:
		for _, x := range l.local.ids[min(1, len(l.local.ids)):] {
			if x.id != s.dcid {
				return pathFrame(wire.FramePathRetireConnectionID, uint64(id), x.seq)
			}
		}
	case 5:
		return pathFrame(wire.FrameMaxPathID, uint64(m.peerLimit)+v&3, 0)
	case 6:
		return pathFrame(wire.FramePathsBlocked, uint64(m.limit), 0)
	case 7:
		if others := len(s.openPaths()) > 1; others && v&3 == 0 {
			return pathFrame(wire.FramePathAbandon, uint64(id), v)
		}
		return pathFrame(wire.FramePathCIDsBlocked, uint64(id), min(v, l.local.next))
	}
	return frame{}
}

// openPaths returns the lanes that are open.
func (s *fuzzStory) openPaths() (open []*lane) {
	for _, l := range s.c.multi.lanes {
		if l.state == laneOpen {
			open = append(open, l)
		}
	}
	return open
}

// checkPaths checks that what the peer makes the Conn keep for paths is bounded.
func (s *fuzzStory) checkPaths() {
	m := s.c.multi
	if m == nil {
		return
	}
	if n := len(m.lanes); n != s.c.cfg.MaxPaths && m.limit < wire.MaxPathID {
		s.t.Fatalf("%d paths", n)
	}
	if len(s.openPaths()) == 0 {
		s.t.Fatal("no path is open")
	}
	for _, l := range m.lanes {
		if n := len(l.remote.ids); n > activeConnIDs {
			s.t.Fatalf("%d connection IDs of the peer for path %d", n, l.id)
		}
		if n := len(l.local.ids); n > activeConnIDs {
			s.t.Fatalf("%d connection IDs for path %d", n, l.id)
		}
		if l.state == laneAbandoned && l.app.sent.rows.len() > 0 {
			s.t.Fatalf("%d packets are in flight on path %d, which is abandoned", l.app.sent.rows.len(), l.id)
		}
	}
}
