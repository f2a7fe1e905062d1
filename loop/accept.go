package loop

import (
	"context"
	"sync"
)

// maxAccepts is how many connections may wait for Accept.
const maxAccepts = 1024

// An acceptQueue holds the connections of a Group that nobody has accepted yet.
type acceptQueue struct {
	mu     sync.Mutex
	closed bool
	conns  queue[*Conn]
	more   chan struct{} // has a token if conns is not empty or closed is set
}

func newAcceptQueue() acceptQueue { return acceptQueue{more: make(chan struct{}, 1)} }

// notify puts a token in a channel that has room for one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tokens returns *c, and makes it first if need be: a channel with room for one token.
func tokens(c *chan struct{}) chan struct{} {
	if *c == nil {
		*c = make(chan struct{}, 1)
	}
	return *c
}

// push adds c. It reports false if the queue is full or closed.
func (q *acceptQueue) push(c *Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.conns.len() >= maxAccepts {
		return false
	}
	q.conns.push(c)
	notify(q.more)
	return true
}

func (q *acceptQueue) wait(ctx context.Context) (*Conn, error) {
	for {
		q.mu.Lock()
		c, ok := q.conns.pop()
		closed := q.closed
		if q.conns.len() > 0 || closed {
			notify(q.more)
		}
		q.mu.Unlock()
		switch {
		case ok:
			return c, nil
		case closed:
			return nil, errStopped
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Waiting returns how many connections wait for Accept.
func (g *Group) Waiting() int {
	g.accepts.mu.Lock()
	defer g.accepts.mu.Unlock()
	return g.accepts.conns.len()
}

// close makes push and wait fail from now on. It returns the connections that were waiting.
func (q *acceptQueue) close() (waiting []*Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for c, ok := q.conns.pop(); ok; c, ok = q.conns.pop() {
		waiting = append(waiting, c)
	}
	notify(q.more)
	return waiting
}
