package conn

import "github.com/lazoquic/lazo/internal/wire"

// startECN begins to mark packets once the handshake is confirmed (RFC 9000, Section 13.4.2).
func (l *lane) startECN() {
	if l.path.ecn.state == ecnOff {
		l.path.ecn.state = ecnTesting
	}
}

// checkECN validates the counts of an ACK frame for the path in use, and returns how many packets
// were newly marked (RFC 9000, Section 13.4.2.1).
// RFC 9000, Section 13.4.2.1 [1]; RFC 9000, Section 13.4.2.2 [1, 2]; RFC 9000, Section 19.3 [2].
func (c *Conn) checkECN(a *ackRun, f *wire.Ack) (ce uint64) {
	s := &a.sp.lane.path.ecn
	active := s.state == ecnTesting || s.state == ecnCapable
	switch {
	case a.sp.id != spaceApp:
		return 0
	case !a.newLargest:
		return 0 // out of order: counts may be older, or missing
	case !f.ECN:
		if active && a.marked > 0 {
			s.state = ecnFailed // the peer does not report, or the path clears the marks
		}
		return 0
	}
	last := a.sp.ecnAcked
	a.sp.ecnAcked = [3]uint64{f.ECT0, f.ECT1, f.CE}
	if !active {
		return 0
	}
	ce = f.CE - last[2]
	more := f.ECT0 - last[0] + ce
	switch {
	case f.ECT0 < last[0], f.ECT1 < last[1], f.CE < last[2],
		f.ECT0+f.CE > a.sp.ecnSent,
		f.ECT1 > 0, // never sent
		more < a.marked && a.otherwise == 0:
		s.state = ecnFailed
		return 0
	case more < a.marked+a.otherwise:
		// A path clears the marks, and it is not known which.
	case a.marked > 0:
		s.state = ecnCapable
	}
	c.stats.CEMarks += ce
	return ce
}

// checkLoss stops marking if all the marked packets so far were lost: some paths drop them.
func (s *ecnState) checkLoss() {
	if s.state == ecnTesting && s.sent >= ecnTestPackets && s.lost >= s.sent {
		s.state = ecnFailed
	}
}

// suspectECN stops marking where nothing gets through while it is tested.
func (l *lane) suspectECN() {
	if s := &l.path.ecn; s.state == ecnTesting && s.sent > 0 {
		s.state = ecnFailed
	}
}
