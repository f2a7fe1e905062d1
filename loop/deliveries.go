package loop

import "sync"

// deliveries counts the streams of a connection that CloseWrite or Close has ended, and whose end
// the peer has not acknowledged yet. Data that was only handed to the connection is not delivered:
// the connection may end before. Any goroutine may use it.
type deliveries struct {
	mu   sync.Mutex
	open int
	none chan struct{} // has a token when the last of them has been delivered; nil if nobody waits
	lost error         // why one of them will never be delivered
}

// begin counts a stream that has been ended.
func (d *deliveries) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
}

// end stops counting a stream. Lost is nil if the stream has been delivered, or if nobody waits for
// it because it was reset or the peer does not want it. Otherwise lost says why the connection
// could not deliver it.
func (d *deliveries) end(lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost == nil {
		d.lost = lost
	}
	if d.open--; d.open == 0 {
		notify(d.none)
	}
}

// wait returns a channel that has a token when no stream is left to wait for. It returns nil if
// none is, or if one was lost, and wakes the next goroutine that waits.
func (d *deliveries) wait() (none <-chan struct{}, lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == 0 || d.lost != nil {
		notify(d.none)
		return nil, d.lost
	}
	return tokens(&d.none), nil
}
