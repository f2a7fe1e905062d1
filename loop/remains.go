package loop

import "sync/atomic"

// remains counts bytes that were received on connections which have ended, and that their readers
// have not read yet. No window bounds them, and no connection is left that could end to make room:
// a peer could fill one connection after another and end each. So they have a bound of their own.
// Any goroutine may use it.
type remains struct {
	limit int64
	held  atomic.Int64
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
// of [conn.EndpointConfig.MaxBuffered], or if memory is short. The Handler must then drop them, and
// tell the reader that they are missing. The buffers that hold them count in the [Account] of the
// connection. Any goroutine may call it.
func (l *Loop) KeepRemains(n int) bool {
	return n == 0 || !l.held.short() && l.remains.keep(n)
}

// ReleaseRemains ends the count of n bytes of KeepRemains that were read or dropped. Any goroutine
// may call it.
func (l *Loop) ReleaseRemains(n int) { l.remains.release(n) }
