package webtransport

import (
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A window is how much of a session's data may be on its way or unread. It grows as the windows of
// package conn do.
type window struct {
	size     uint64    // bytes
	counted  int64     // what of size is in mux.windows
	lookedAt time.Time // when grow looked at how fast it is used
	looked   uint64    // what was consumed by then, in bytes
}

// consumed returns how many bytes of the session the application has read, or nobody will read.
func (f *flow) consumed() uint64 { return f.read.Load() + f.group.Discarded() }

// grow doubles the window if half of it was consumed in less than four of the shortest round trips,
// because it holds the peer up, or soon will.
func (f *flow) grow(now time.Time) {
	w, consumed := &f.window, f.consumed()
	if consumed-w.looked < w.size/2 {
		return
	}
	rtt := f.s.m.http.QUIC().Stats().MinRTT
	fast := !w.lookedAt.IsZero() && now.Sub(w.lookedAt) < 4*rtt
	w.lookedAt, w.looked = now, consumed
	if fast && w.size < f.own.most {
		f.s.m.growWindow(f.s, min(w.size, f.own.most-w.size))
	}
}

// These parts of the connection's limits are for streams outside of sessions: the number of streams
// of each directionality, and the number of bytes that have not been read.
const (
	otherStreams = 100
	otherData    = 256 << 10
)

// maxWindow bounds what a session asks of the connection at once, so that sums do not overflow.
const maxWindow = 1 << 32

// countWindow counts the first window of a session.
func (m *mux) countWindow(w *window) {
	w.counted = int64(min(w.size, maxWindow))
	m.windows += w.counted
}

// grow makes the limits of the connection large enough for those of all its sessions together. What
// one session does not read, or does not close, then holds up no other.
func (m *mux) grow() {
	q, n := m.http.QUIC(), int64(len(m.sessions))
	q.GrowWindow(m.windows + otherData)
	for dir, most := range m.own.streams {
		q.GrowStreams(conn.Dir(dir), n*int64(min(most, 1<<16))+otherStreams)
	}
}

// growWindow makes the window of a session n bytes larger, or by what there is room for: the window
// of the connection has its own bounds, and counts in its endpoint. The first windows of sessions
// that may come have to fit, too, as far as half of the connection's window goes.
func (m *mux) growWindow(s *Session, n uint64) {
	if m.sessions[s.id] != s {
		return // it is not counted any more
	}
	q := m.http.QUIC()
	_, most := q.Window()
	first := int64(min(m.own.data, maxWindow))
	reserve := min(int64(max(m.most-len(m.sessions), 0))*first, most/2)
	more := max(min(int64(min(n, maxWindow)), most-reserve-otherData-m.windows), 0)
	q.GrowWindow(m.windows + more + otherData)
	size, _ := q.Window()
	more = max(min(more, size-otherData-m.windows), 0)
	m.windows += more
	s.flow.window.counted += more
	s.flow.window.size += uint64(more)
}
