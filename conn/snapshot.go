package conn

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Snapshot is the state of a connection at one moment, for people who look at it: package
// loop/debug shows it. It has nothing of what the streams carry.
type Snapshot struct {
	// State is one of the states of connections in qlog, such as "handshake_confirmed". At the end
	// it is "closed".
	State   string
	Age     time.Duration // since it began
	Quiet   time.Duration // since the last sign of life, from which the idle timeout counts
	Waits   string        // what data waits for, in qlog: "congestion_control"; "" for nothing
	Err     error         // why it has closed, see [Conn.Err]
	SendErr error         // see [Conn.SendError]
	Held    int64         // bytes that it holds, against [EndpointConfig.MaxBuffered]
	Paths   []PathSnapshot
	Stats   Stats

	// Flow control of the connection (RFC 9000, Section 4.1), in bytes: what has been sent and
	// received, and up to where that may go.
	Sent, SendLimit, Received, ReceiveLimit uint64

	Streams     []StreamSnapshot // by ID
	StreamCount int              // all, also those that Streams leaves out
}

// A PathSnapshot is a path of a connection (RFC 9000, Section 9).
type PathSnapshot struct {
	Local, Remote netip.AddrPort
	InUse         bool
	Validated     bool
}

// A StreamSnapshot is the state of a stream at one moment. Its states are those of qlog: "ready" or
// "size_known", or "" for a direction that does not exist.
type StreamSnapshot struct {
	ID                      StreamID
	SendState, ReceiveState string
	Priority                Priority

	// In bytes: what was written, what of it was sent, and up to where the peer allows; what was
	// received, with gaps, and up to where the peer may send.
	Written, Sent, SendLimit, Received, ReceiveLimit uint64

	Blocked bool // it has data to send and has reached SendLimit
}

// Snapshot returns the state of the connection now, with up to maxStreams of its streams. If there
// are more, it is not defined which. The work grows with maxStreams, and not with the number of
// streams.
func (c *Conn) Snapshot(now time.Time, maxStreams int) Snapshot {
	s := Snapshot{
		State: "closed", Age: now.Sub(c.Began()), Quiet: max(now.Sub(c.e.wall(c.lastActivity)), 0),
		Err: c.err, SendErr: c.SendError(), Held: c.memory.Used(), Stats: c.Stats(),
		Sent: c.flow.sent, SendLimit: c.flow.sendMax, Received: c.flow.received, ReceiveLimit: c.flow.recvMax,
		StreamCount: len(c.streams.all),
	}
	if c.lastActivity == 0 {
		s.Quiet = s.Age
	}
	for _, p := range c.Paths(nil) {
		s.Paths = append(s.Paths, PathSnapshot{p.Local, p.Remote, true, p.Validated})
	}
	if p := c.candidate; p != nil {
		s.Paths = append(s.Paths, PathSnapshot{p.local, p.remote, false, p.validated})
	}
	if c.closed {
		return s
	}
	s.State = c.qlogState()
	s.Waits = c.blockedBy(c.e.now)
	for _, st := range c.streams.all {
		if len(s.Streams) >= maxStreams {
			break
		}
		s.Streams = append(s.Streams, st.snapshot())
	}
	slices.SortFunc(s.Streams, func(a, b StreamSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

func (s *Stream) snapshot() StreamSnapshot {
	return StreamSnapshot{
		ID: s.id, SendState: qlogStreamStates[s.sendState()], ReceiveState: qlogStreamStates[s.recvState()], Priority: s.priority,
		Written: s.out.End(), Sent: s.out.Sent(), SendLimit: s.sendMax, Received: s.highest, ReceiveLimit: s.recvMax,
		Blocked: s.waitsForLimit(),
	}
}
