package loop

import (
	"sync"
	"sync/atomic"
)

// deliveries counts the streams of a connection that CloseWrite or Close has ended, and whose end
// the peer has not acknowledged yet. Data that was only handed to the connection is not delivered:
// the connection may end before. Any goroutine may use it.
type deliveries struct {
	open atomic.Int64

	mu   sync.Mutex
	none chan struct{} // has a token when the last of them has been delivered; nil if nobody waits
	lost error         // why one of them will never be delivered
}

// begin counts a stream that has been ended.
func (d *deliveries) begin() { d.open.Add(1) }

// end stops counting a stream. Lost is nil if the stream has been delivered, or if nobody waits for
// it because it was reset or the peer does not want it. Otherwise lost says why the connection
// could not deliver it.
func (d *deliveries) end(lost error) {
	if lost != nil {
		d.mu.Lock()
		if d.lost == nil {
			d.lost = lost
		}
		d.mu.Unlock()
	}
	if d.open.Add(-1) == 0 {
		d.mu.Lock() // wait may have seen the stream that has ended now
		notify(d.none)
		d.mu.Unlock()
	}
}

// wait returns a channel that has a token when no stream is left to wait for. It returns nil if
// none is, or if one was lost, and wakes the next goroutine that waits.
func (d *deliveries) wait() (none <-chan struct{}, lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open.Load() == 0 || d.lost != nil {
		notify(d.none)
		return nil, d.lost
	}
	return tokens(&d.none), nil
}
