package masque

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// How much an inbox holds.
const (
	inboxPayloads = 64
	inboxBytes    = 256 << 10
)

// An inbox holds the payloads that have come and that nobody has read. Newer ones push out
// the oldest.
type inbox struct {
	arrival chan struct{} // a token for those who wait

	mu      sync.Mutex
	queue   [][]byte // oldest first
	bytes   int
	free    [][]byte
	err     error // why there will be no more
	closed  bool  // by who reads: then err is net.ErrClosed
	dropped func()
}

func newInbox(dropped func()) *inbox {
	return &inbox{arrival: make(chan struct{}, 1), dropped: dropped}
}

// push adds a copy of b.
func (q *inbox) push(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	for len(q.queue) > 0 && (len(q.queue) == inboxPayloads || q.bytes+len(b) > inboxBytes) {
		q.take()
		q.dropped()
	}
	var buf []byte
	if n := len(q.free); n > 0 {
		buf, q.free = q.free[n-1][:0], q.free[:n-1]
	}
	q.queue = append(q.queue, append(buf, b...))
	q.bytes += len(b)
	q.notify()
}

// take removes the oldest payload. It is valid until the next push.
func (q *inbox) take() []byte {
	b := q.queue[0]
	last := copy(q.queue, q.queue[1:])
	q.queue[last] = nil
	q.queue = q.queue[:last]
	q.bytes -= len(b)
	if cap(b) <= 2048 {
		q.free = append(q.free, b)
	}
	return b
}

func (q *inbox) notify() {
	select {
	case q.arrival <- struct{}{}:
	default:
	}
}

// fail ends the inbox. What it has can still be read.
func (q *inbox) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.notify()
}

// close ends the inbox, and drops what it has.
func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.err = true, net.ErrClosed
	q.queue, q.bytes, q.free = nil, 0, nil
	q.notify()
}

// failure returns why nothing more can be sent: the tunnel has ended.
func (q *inbox) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == io.EOF {
		return fmt.Errorf("masque: the proxy has ended the tunnel: %w", net.ErrClosed)
	}
	return q.err
}

// read copies the oldest payload to b, and waits for one until d has passed. What does not
// fit is lost, as with a socket.
func (q *inbox) read(b []byte, d *pastDeadline) (int, error) {
	for {
		past := d.wait()
		if isClosed(past) {
			return 0, os.ErrDeadlineExceeded
		}
		if n, err, ok := q.poll(b); ok {
			return n, err
		}
		select {
		case <-q.arrival:
		case <-past:
		}
	}
}

// poll is read without waiting.
func (q *inbox) poll(b []byte) (n int, err error, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.queue) > 0:
		n = copy(b, q.take())
	case q.err != nil:
		err = q.err
	default:
		return 0, nil, false
	}
	if len(q.queue) > 0 || q.err != nil {
		q.notify() // somebody else may be waiting
	}
	return n, err, true
}
