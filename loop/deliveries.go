package loop

import "sync"

// deliveries counts the streams of a connection that were ended, by CloseWrite or Close, and
// whose end the peer has not acknowledged yet. What was handed to the connection is not
// delivered: the connection may end before. Any goroutine may use it.
type deliveries struct {
	none chan struct{} // has a token when the last of them was delivered

	mu   sync.Mutex
	open int
	lost error // why one of them was not delivered, and will not be
}

// begin counts a stream that was ended.
func (d *deliveries) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
}

// end notes that a stream is delivered, or that nobody waits for it any more since it was reset
// or the peer does not want it; or, with lost, that the connection could not deliver it.
func (d *deliveries) end(lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost == nil {
		d.lost = lost
	}
	if d.open--; d.open == 0 {
		d.pass()
	}
}

// state reports whether nothing is waited for any more, and returns why something is lost.
func (d *deliveries) state() (done bool, lost error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open == 0, d.lost
}

// pass wakes up the next who waits.
func (d *deliveries) pass() { notify(d.none) }
