package loop

import (
	"math"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
)

// remains counts bytes that were received on connections which have ended, and that their readers
// have not read yet. The Endpoint does not count them any more, and no window bounds them: a peer
// could fill one connection after another and end each. Any goroutine may use it.
type remains struct {
	limit int64
	held  atomic.Int64
}

// init sets the limit: a quarter of what the Endpoint may hold for its connections.
func (r *remains) init(maxBuffered int64) {
	switch {
	case maxBuffered == 0:
		maxBuffered = conn.DefaultMaxBuffered
	case maxBuffered < 0:
		maxBuffered = math.MaxInt64
	}
	r.limit = maxBuffered / 4
}

// keep counts n bytes, and reports false if they would be too many.
func (r *remains) keep(n int) bool {
	if r.held.Add(int64(n)) <= r.limit {
		return true
	}
	r.held.Add(int64(-n))
	return false
}

// release stops counting n bytes that were read or dropped.
func (r *remains) release(n int) { r.held.Add(int64(-n)) }

// KeepRemains counts n bytes that a Handler took from the streams of an ended connection, and keeps
// until somebody reads them. It reports false if the bytes kept in this way would exceed a quarter
// of [conn.EndpointConfig.MaxBuffered]. The Handler must then drop them, and tell the reader that
// they are missing. Any goroutine may call it.
func (l *Loop) KeepRemains(n int) bool { return l.remains.keep(n) }

// ReleaseRemains ends the count of n bytes of KeepRemains that were read or dropped. Any goroutine
// may call it.
func (l *Loop) ReleaseRemains(n int) { l.remains.release(n) }
