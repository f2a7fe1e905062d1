package conn

import (
	"net/netip"
	"time"
)

// A Scheduler says which paths of a connection with multipath take data: see [Config.Scheduler].
// draft-ietf-quic-multipath-21, Section 5.5, leaves that to the sender. The package itself sees to
// acknowledgements, probes, path validation, backup paths, paths whose peer does not answer, and
// what is marked redundant.
//
// A Scheduler is asked before each burst for which there is a choice, on the goroutine that drives
// the connection, and must not block.
type Scheduler interface {
	// Schedule appends to order the IDs of the paths that take data now, the first choice first,
	// and returns the result. A path takes data if its PathState is Ready; what it has no room for
	// goes to the next one. A path that is left out waits. Data is not left waiting for nothing: if
	// no path of the answer is Ready and nothing is in flight on any of them, the answer does not
	// count. s is lent for the call.
	Schedule(order []PathID, s *SendState) []PathID
}

// A SendState is what a [Scheduler] decides by. Sizes are in bytes.
type SendState struct {
	Now time.Time

	// Paths are the paths that may take data, at least two, in the order of their IDs. Backup paths
	// are among them only if all are, and paths whose peer does not answer likewise.
	Paths []PathState

	Waiting uint64 // that wait to be sent: of streams, at least, and of datagrams
	More    bool   // there is more than Waiting: the application waits to write

	// Window is how far beyond the first byte that was not acknowledged the peer lets the next
	// stream send (RFC 9000, Section 4).
	Window uint64
}

// A PathState is a path in a [SendState].
type PathState struct {
	ID            PathID
	Local, Remote netip.AddrPort

	Ready               bool // congestion control and pacing let a packet go now
	SmoothedRTT, RTTVar time.Duration
	Rate                uint64 // bytes per second that congestion control lets it carry
	CongestionWindow    uint64 // bytes
	BytesInFlight       uint64
	MTU                 int // bytes of UDP payload
}

// NewMinRTT returns a Scheduler that fills the path with the least round-trip time first, and gives
// the next one what that has no room for.
func NewMinRTT() Scheduler { return minRTT{} }

type minRTT struct{}

func (minRTT) Schedule(order []PathID, s *SendState) []PathID {
	first := len(order)
	for i := range s.Paths {
		k := len(order)
		order = append(order, 0)
		for ; k > first && s.Paths[i].SmoothedRTT < s.path(order[k-1]).SmoothedRTT; k-- {
			order[k] = order[k-1]
		}
		order[k] = s.Paths[i].ID
	}
	return order
}

// path returns the path with an ID, which must be there.
func (s *SendState) path(id PathID) *PathState {
	for i := range s.Paths {
		if s.Paths[i].ID == id {
			return &s.Paths[i]
		}
	}
	panic("conn: no such path")
}

// NewFailover returns a Scheduler that uses one path, and the others only once that one does not
// work: it ends, its peer does not answer, or a side makes it a backup. It goes back when the path
// works again. The path of the lowest ID comes first.
func NewFailover() Scheduler { return failover{} }

type failover struct{}

func (failover) Schedule(order []PathID, s *SendState) []PathID { return append(order, s.Paths[0].ID) }

// A sendQuestion asks the Scheduler of a connection. Its memory is used again.
type sendQuestion struct {
	scheduler Scheduler
	state     SendState
	answer    []PathID
}

// ask puts lanes into the order of the Scheduler, without those that it leaves out.
func (q *sendQuestion) ask(c *Conn, now instant, lanes []*lane) []*lane {
	s := &q.state
	s.Now, s.Paths = c.e.wall(now), s.Paths[:0]
	for _, l := range lanes {
		s.Paths = append(s.Paths, l.sendState(now))
	}
	s.Waiting, s.More, s.Window = c.waits()
	q.answer = q.scheduler.Schedule(q.answer[:0], s)
	n, works := 0, false
	for _, id := range q.answer {
		for i := n; i < len(lanes); i++ { // one that is named twice is behind n only once
			if l := lanes[i]; PathID(l.id) == id {
				works = works || s.path(id).Ready || l.path.inFlight > 0
				copy(lanes[n+1:i+1], lanes[n:i])
				lanes[n] = l
				n++
				break
			}
		}
	}
	if !works {
		return lanes
	}
	return lanes[:n]
}

// sendState returns what a Scheduler sees of a lane.
func (l *lane) sendState(now instant) PathState {
	p := l.path
	s := PathState{
		ID: PathID(l.id), Local: p.local, Remote: p.remote,
		Ready:       l.window(p.estimates) >= uint64(p.mtu.current) && p.pacer.Budget(int64(now), p.pacing) >= uint64(p.mtu.current),
		SmoothedRTT: p.rtt.smoothed, RTTVar: p.rtt.variance, CongestionWindow: p.cc.Window(), BytesInFlight: p.inFlight,
		MTU: p.mtu.current, Rate: p.cc.PacingRate(),
	}
	if s.Rate == 0 {
		s.Rate = uint64(float64(s.CongestionWindow) / max(s.SmoothedRTT, time.Microsecond).Seconds())
	}
	return s
}

// maxAsked is how many streams, and datagrams, waits looks at.
const maxAsked = 8

// waits returns the Waiting, More and Window of a SendState.
func (c *Conn) waits() (bytes uint64, more bool, window uint64) {
	window = c.flow.sendCredit()
	for _, l := range c.multi.lanes {
		if l.path != nil {
			window += l.path.inFlight
		}
	}
	n := 0
	for it := c.streams.send.waiting.First(); it != nil; it = it.turn.waiting.Next() {
		if n++; n > maxAsked {
			return bytes, true, window
		}
		bytes += uint64(it.out.Unsent())
		more = more || it.flags&flagWantWrite != 0
	}
	if s := c.streams.send.next(); s != nil {
		window = min(window, s.sendMax-min(s.out.Acknowledged(), s.sendMax))
	}
	if d := c.datagrams; d != nil {
		for i := range min(d.send.size, maxAsked) {
			bytes += uint64(len(d.send.at(i).b))
		}
	}
	return bytes, more, window
}
