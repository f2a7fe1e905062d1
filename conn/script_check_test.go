package conn

import "fmt"

// CheckCredit returns what is wrong between both ends of a connection with what from sends to to:
// more than allowed, or more than was sent, or to a connection ID that is gone. Both Endpoints are
// between two verbs.
func CheckCredit(from, to *Conn) error {
	if from.closed || to.closed || !from.HandshakeComplete() {
		return nil // early data follows what an earlier connection was allowed
	}
	f, t := &from.flow, &to.flow
	if f.sent > t.recvMax || f.sendMax > t.recvMax {
		return fmt.Errorf("%d bytes are sent and %d are known to be allowed, of %d", f.sent, f.sendMax, t.recvMax)
	}
	if t.received > f.sent {
		return fmt.Errorf("%d bytes are received, and %d were sent", t.received, f.sent)
	}
	if kept := t.received - t.consumed; kept > uint64(t.size) || t.consumed > t.received {
		return fmt.Errorf("%d bytes are received and %d consumed, with a window of %d", t.received, t.consumed, t.size)
	}
	for _, dir := range []Dir{Bidi, Uni} {
		if n, limit := from.streams.next[dir], to.streams.limit[dir]; n > limit {
			return fmt.Errorf("%d streams are opened, of %d", n, limit)
		}
	}
	if err := checkIDs(from, to); err != nil {
		return err
	}
	for id, s := range from.streams.all {
		if err := checkStreamCredit(s, to.streams.all[id]); err != nil {
			return fmt.Errorf("stream %d: %w", id, err)
		}
	}
	return nil
}

// checkStreamCredit checks one direction of a stream, which may not be known at the other end.
func checkStreamCredit(out, in *Stream) error {
	if in == nil || out.flags&flagSend == 0 || in.flags&flagRecv == 0 {
		return nil
	}
	if sent := out.out.Sent(); sent > in.recvMax {
		return fmt.Errorf("%d bytes are sent, of %d", sent, in.recvMax)
	}
	over := flagReset | flagResetAt | flagSendDone // what was sent may be forgotten
	if sent := out.out.Sent(); out.flags&uint32(over) == 0 && in.highest > sent {
		return fmt.Errorf("%d bytes are received, and %d were sent", in.highest, sent)
	}
	return nil
}

// checkIDs checks that to has each connection ID by which from reaches it, and does not count it as
// retired: from says so before.
func checkIDs(from, to *Conn) error {
	lanes, theirs := []*lane{&from.lane}, []*lane{&to.lane}
	if from.multi != nil && to.multi != nil {
		lanes, theirs = from.multi.lanes, to.multi.lanes
	}
	for i, l := range lanes {
		if i >= len(theirs) || l.state != laneOpen || theirs[i].state == laneAbandoned {
			continue // those of an abandoned path are retired with it
		}
		for _, x := range l.remote.ids {
			known := x.id.n == 0
			for _, own := range to.routes.ids {
				known = known || own.id == x.id && own.until == 0
			}
			if !known {
				return fmt.Errorf("connection ID %d of path %d is in use, and retired at the other end", x.seq, l.id)
			}
		}
	}
	return nil
}
