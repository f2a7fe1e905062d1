package h3http

import (
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A connection is what the connections of a Server and those of a Transport have in
// common: the HTTP/3 state, which belongs to the goroutine of the loop, and the list
// of exchanges that other goroutines want it to look at.
type connection struct {
	h3     *h3.Conn
	quic   *conn.Conn
	handle *loop.Conn
	loop   *loop.Loop
	owner  owner
	pool   *chunkPool

	extension Extension // or nil

	missed *missed // of a Server; nil on a Transport

	// post is Post of the loop. A Post wakes the loop, so there is one under way for
	// a connection at most, however many exchanges are waiting for it.
	post  func(func(now time.Time)) bool
	yield func()              // Yield of the loop
	serve func(now time.Time) // serveDirty

	active map[conn.StreamID]*exchange // the loop's: those with a stream

	mu     sync.Mutex
	dirty  []*exchange // for the loop to look at
	posted bool        // serve was posted, and has not begun
	err    error       // why the connection has ended
	spare  []*exchange // the loop's: memory for dirty
}

// An owner is the connection of a Server or of a Transport. Its methods run on the
// loop's goroutine.
type owner interface {
	// handleHTTP processes an event of HTTP/3.
	handleHTTP(now time.Time, e h3.Event)

	// service does what x needs: another goroutine has changed it, or an event came.
	service(now time.Time, x *exchange)

	// settle runs after a batch of services.
	settle(now time.Time)
}

func (c *connection) init(o owner, l *loop.Loop, q *conn.Conn, pool *chunkPool) {
	c.owner, c.quic, c.loop, c.pool = o, q, l, pool
	c.post, c.yield = l.Post, l.Yield
	c.serve = c.serveDirty
	c.handle = l.Conn(q)
	c.active = make(map[conn.StreamID]*exchange)
}

// wake makes the loop look at x. Any goroutine may call it, with x locked or not. It
// reports false if the connection has ended.
func (c *connection) wake(x *exchange) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	if !x.queued {
		x.queued = true
		c.dirty = append(c.dirty, x)
	}
	post := !c.posted
	c.posted = true
	c.mu.Unlock()
	// Once the loop has stopped Post reports false, but then closed has run.
	if post {
		c.post(c.serve)
	}
	return true
}

// serveDirty looks at the exchanges that wait for it.
func (c *connection) serveDirty(now time.Time) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	dirty := c.dirty
	c.dirty = c.spare[:0]
	c.posted = false
	for _, x := range dirty {
		x.queued = false
	}
	c.mu.Unlock()
	for i, x := range dirty {
		c.owner.service(now, x)
		dirty[i] = nil
	}
	c.spare = dirty
	c.handOut(now)
	c.owner.settle(now)
}

// bind gives x its stream. x is locked, or known to nobody else.
func (c *connection) bind(x *exchange, s *h3.Stream) {
	s.UserData = x
	x.stream, x.id = s, s.ID()
	c.active[x.id] = x
}

// release gives the stream of x back. What x has buffered stays readable. x is locked.
func (c *connection) release(x *exchange) {
	x.stream.UserData = nil
	x.stream.Release()
	x.stream = nil
	if c.active[x.id] == x { // IDs come again after early data was rejected
		delete(c.active, x.id)
	}
}

// handleEvent passes ev on to HTTP/3, and then what that makes of it to the owner.
func (c *connection) handleEvent(now time.Time, ev conn.Event) {
	ours := c.h3.HandleEvent(now, ev)
	if ev.Kind == conn.EventDatagramWritable {
		for _, x := range c.active {
			c.owner.service(now, x)
		}
	}
	c.handOut(now)
	c.extend(now, ev, ours)
}

// handOut hands out the events of HTTP/3. Reading streams brings them about, too.
func (c *connection) handOut(now time.Time) {
	for e, ok := c.h3.NextEvent(); ok; e, ok = c.h3.NextEvent() {
		c.yield() // there is a goroutine to each stream
		if c.extension != nil && e.Stream == nil {
			c.extension.HandleHTTP(now, e)
		}
		c.owner.handleHTTP(now, e)
	}
}

// handleStream processes an event of the stream of x.
func (c *connection) handleStream(now time.Time, x *exchange, e h3.Event) {
	x.mu.Lock()
	switch e.Kind {
	case h3.EventFields:
		x.gotFields(e)
	case h3.EventCanceled:
		x.peerCanceled(e)
	case h3.EventAcked:
		x.gone = true
	case h3.EventWritable:
		x.unwanted()
	}
	x.mu.Unlock()
	c.owner.service(now, x)
}

// closed ends what is left after the end of the connection. What it has received of a body,
// the trailers, and datagrams can still be read.
func (c *connection) closed(now time.Time, err error) {
	for _, x := range c.active {
		x.mu.Lock()
		x.drainIn(err)
		x.drainDatagrams(now)
		x.mu.Unlock()
	}
	c.handOut(now)
	c.mu.Lock()
	c.err = err
	dirty := c.dirty
	c.dirty = nil
	c.mu.Unlock()
	for _, x := range c.active {
		x.fail(err)
	}
	for _, x := range dirty {
		x.fail(err)
	}
	clear(c.active)
}
