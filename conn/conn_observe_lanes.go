package conn

import (
	"slices"
	"time"
)

// An observedLane is what an observer remembers of a lane that was open.
type observedLane struct {
	id    uint32
	addrs pathAddrs
}

// find returns the index in lanes of a lane that has a name in the log; -1 if it has none.
func (o *observer) find(l *lane) int {
	return slices.IndexFunc(o.lanes, func(x observedLane) bool { return x.id == l.id })
}

// observeLanes writes which paths have opened, moved and ended. The addresses of the lane 0 are in
// observedPaths.
func (o *observer) observeLanes(m *multipath, at time.Time) {
	o.lanes = slices.DeleteFunc(o.lanes, func(x observedLane) bool {
		if l := m.conn.laneOf(x.id); l != nil && l.state == laneOpen {
			return false
		}
		o.log.PathEnded(at, x.id)
		return true
	})
	for _, l := range m.lanes {
		if l.state != laneOpen {
			continue
		}
		now := observedLane{l.id, pathAddrs{l.path.local, l.path.remote}}
		i := o.find(l)
		switch {
		case i < 0:
			o.lanes = append(o.lanes, now)
		case o.lanes[i] == now:
			continue
		default:
			o.lanes[i] = now
		}
		if l.id != 0 {
			o.log.PathAssigned(at, l.id, now.addrs.local, now.addrs.remote)
		}
	}
}
