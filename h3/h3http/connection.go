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
	owner  owner
	pool   *chunkPool

	datagramPolicy conn.DatagramPolicy
	stopCode       h3.ErrorCode // what stops a body of the peer that nobody wants

	// post is Post of the loop. A Post wakes the loop, so there is one under way for
	// a connection at most, however many exchanges are waiting for it.
	post func(func(now time.Time)) bool

	active map[conn.StreamID]*exchange // the loop's: those with a stream

	mu     sync.Mutex
	dirty  []*exchange // for the loop to look at
	posted bool        // serve is under way
	err    error       // why the connection has ended
	spare  []*exchange // the loop's: memory for dirty
}

// An owner is the connection of a Server or of a Transport. Its methods run on the
// loop's goroutine.
type owner interface {
	// service does what x needs: another goroutine has changed it, or an event came.
	service(now time.Time, x *exchange)

	// settle runs after a batch of events and services.
	settle(now time.Time)
}

func (c *connection) init(o owner, l *loop.Loop, q *conn.Conn, pool *chunkPool) {
	c.owner, c.quic, c.pool = o, q, pool
	c.post = l.Post
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

// serve looks at the exchanges that wait for it.
func (c *connection) serve(now time.Time) {
	c.mu.Lock()
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
	c.owner.settle(now)
}

// bind gives x its stream. x is locked, or new.
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
	delete(c.active, x.id)
}

// handleEvent passes ev on to HTTP/3, after it has noted what concerns exchanges
// and HTTP/3 does not report.
func (c *connection) handleEvent(now time.Time, ev conn.Event) {
	if ev.Kind == conn.EventStreamAcked {
		if x := c.active[ev.Stream.ID()]; x != nil {
			x.acked = true
			defer c.owner.service(now, x)
		}
	}
	c.h3.HandleEvent(now, ev)
	if ev.Kind == conn.EventDatagramWritable {
		for _, x := range c.active {
			c.owner.service(now, x)
		}
	}
}

// closed fails what is left after the end of the connection.
func (c *connection) closed(err error) {
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
