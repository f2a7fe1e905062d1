package masque

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Limits of an inbox.
const (
	inboxPayloads = 64
	inboxBytes    = 256 << 10
)

// An inbox holds payloads that have come and that nobody has read. If it is full, new ones push out
// the oldest. It has two sources, datagrams and capsules, and ends when both have ended. Its memory
// counts in the account of the connection.
type inbox struct {
	arrival chan struct{} // has a token for those who wait

	mu      sync.Mutex
	queue   [][]byte // oldest first
	bytes   int
	free    [][]byte
	sources int   // how many sources have not ended
	err     error // why the sources have ended; net.ErrClosed after close
	closed  bool  // the reader has closed it
	dropped func()

	memory int         // bytes of queue and free
	hold   func(n int) // counts n more bytes
}

// newInbox returns an inbox that calls dropped for each payload that it drops, and hold with each
// change of the memory that it has.
func newInbox(dropped func(), hold func(n int)) *inbox {
	return &inbox{arrival: make(chan struct{}, 1), sources: 2, dropped: dropped, hold: hold}
}

// count counts n more bytes of memory.
func (q *inbox) count(n int) {
	if n != 0 {
		q.memory += n
		q.hold(n)
	}
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
	before := cap(buf)
	buf = append(buf, b...)
	q.count(cap(buf) - before)
	q.queue = append(q.queue, buf)
	q.bytes += len(b)
	q.notify()
}

// take removes and returns the oldest payload. It is valid until the next push.
func (q *inbox) take() []byte {
	b := q.queue[0]
	last := copy(q.queue, q.queue[1:])
	q.queue[last] = nil
	q.queue = q.queue[:last]
	q.bytes -= len(b)
	if cap(b) <= 2048 {
		q.free = append(q.free, b)
	} else {
		q.count(-cap(b))
	}
	return b
}

func (q *inbox) notify() {
	select {
	case q.arrival <- struct{}{}:
	default:
	}
}

// end notes that a source has ended because of err. Payloads that are there can still be read, and
// the other source may bring more. The error of the stream, which brings the capsules, counts for
// more than that of the datagrams. It tells whether the proxy has ended the tunnel.
func (q *inbox) end(err error, stream bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.sources--
	if q.err == nil || stream {
		q.err = err
	}
	q.notify()
}

// over reports whether nothing more can come. The caller has locked q.
func (q *inbox) over() bool { return q.closed || q.sources == 0 }

// close ends the inbox, and drops its payloads.
func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.err = true, net.ErrClosed
	q.queue, q.bytes, q.free = nil, 0, nil
	q.count(-q.memory)
	q.notify()
}

// failure returns why nothing more can be sent. If one source has ended, so has the tunnel.
func (q *inbox) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == io.EOF {
		return fmt.Errorf("masque: the proxy has ended the tunnel: %w", net.ErrClosed)
	}
	return q.err
}

// read copies the oldest payload to b. It waits for one until d has passed. As with a socket, bytes
// that do not fit are lost.
func (q *inbox) read(b []byte, d *pastDeadline) (int, error) {
	for {
		past := d.wait()
		if isClosed(past) {
			return 0, q.late()
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

// late returns the error of a read whose deadline has passed. After close that does not matter.
func (q *inbox) late() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return q.err
	}
	return os.ErrDeadlineExceeded
}

// poll is read without waiting.
func (q *inbox) poll(b []byte) (n int, err error, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.queue) > 0:
		n = copy(b, q.take())
	case q.over():
		err = q.err
	default:
		return 0, nil, false
	}
	if len(q.queue) > 0 || q.over() {
		q.notify() // another goroutine may be waiting
	}
	return n, err, true
}
