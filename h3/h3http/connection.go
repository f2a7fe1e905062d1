package h3http

import (
	"iter"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/list"
	"github.com/lazoquic/lazo/loop"
)

// A connection is what the connections of a Server and of a Transport have in common. It has the
// HTTP/3 state, which belongs to the goroutine of the loop. It also has the list of exchanges that
// other goroutines want the loop to look at.
type connection struct {
	h3     *h3.Conn
	quic   *conn.Conn
	handle *loop.Conn
	loop   *loop.Loop
	owner  owner
	pool   *source

	extension Extension // may be nil

	attached *attached // nil unless Attach or NewClientConn has made it
	shared   bool      // goroutines use the connection beside HTTP/3
	manual   bool      // streams of the peer come from attached.HandleStream

	tally   *tally // of the Server or the Transport
	counted Stats  // what tally has of this connection: see count; belongs to the loop

	// post is Post of the loop. Each Post wakes the loop. So at most one is under way for a
	// connection, however many exchanges wait.
	post  func(func(now time.Time)) bool
	yield func()              // the Yield of the loop
	serve func(now time.Time) // the method serveDirty

	active list.List[*exchange] // exchanges with a stream; belongs to the loop

	// upToDate says that no event of the connection waits to be handled. It belongs to the loop,
	// which runs what was posted after the events of the turn.
	upToDate bool

	mu       sync.Mutex
	dirty    []*exchange // exchanges that the loop is to look at
	posted   bool        // serve was posted, and has not begun
	expected bool        // Flush will come in this turn; the loop alone changes it
	err      error       // why the connection has ended
	spare    []*exchange // memory for dirty; belongs to the loop
}

// An owner is the connection of a Server or of a Transport. Its methods run on the
// loop's goroutine.
type owner interface {
	// handleHTTP processes an event of HTTP/3.
	handleHTTP(now time.Time, e h3.Event)

	// settle runs after a batch of services.
	settle(now time.Time)
}

func (c *connection) init(o owner, l *loop.Loop, q *conn.Conn, pool *chunkPool, t *tally) {
	c.owner, c.quic, c.loop, c.tally = o, q, l, t
	c.post, c.yield = l.Post, l.Yield
	c.serve = c.serveDirty
	c.handle = l.Conn(q)
	c.pool = &source{pool, c.handle.Account()}
}

// wake makes the loop look at x. It reports false if the connection has ended. Any goroutine may
// call it, whether it has locked x or not.
func (c *connection) wake(x *exchange) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	if x.unheard {
		c.mu.Unlock()
		return true
	}
	if !x.queued {
		x.queued = true
		c.dirty = append(c.dirty, x)
	}
	post := !c.posted && !c.expected
	c.posted = c.posted || post
	c.mu.Unlock()
	// After the loop has stopped, Post reports false. But closed has run by then.
	if post {
		c.post(c.serve)
	}
	return true
}

// serveDirty looks at the exchanges in dirty while no event of the connection waits. It was posted.
func (c *connection) serveDirty(now time.Time) {
	c.upToDate = true
	c.look(now, &c.posted)
	c.upToDate = false
}

// flush looks at the exchanges in dirty after events of the connection. What goroutines have done
// since the first of these is sent in the same turn.
func (c *connection) flush(now time.Time) { c.look(now, &c.expected) }

// expectFlush notes that Flush will come in this turn.
func (c *connection) expectFlush() {
	if !c.expected {
		c.mu.Lock()
		c.expected = true
		c.mu.Unlock()
	}
}

// look looks at the exchanges in dirty. It clears promise, which says that it would.
func (c *connection) look(now time.Time, promise *bool) {
	c.mu.Lock()
	*promise = false
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	dirty := c.dirty
	c.dirty = c.spare[:0]
	for _, x := range dirty {
		x.queued = false
	}
	c.mu.Unlock()
	for i, x := range dirty {
		x.half.service(now)
		dirty[i] = nil
	}
	c.spare = dirty
	c.handOut(now)
	c.owner.settle(now)
}

// mayLookAt reports whether the loop looks at x because of a wake.
func (c *connection) mayLookAt(x *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return x.queued
}

// bind gives x its stream. The caller has locked x, or no other goroutine knows x.
func (c *connection) bind(x *exchange, s *h3.Stream) {
	s.UserData = x
	x.stream, x.id = s, s.ID()
	c.active.PushBack(&x.place, x)
}

// all returns the exchanges that have a stream. The caller may release each of them when it comes.
func (c *connection) all() iter.Seq[*exchange] {
	return func(yield func(*exchange) bool) {
		for x := c.active.First(); x != nil; {
			next := x.place.Next()
			if !yield(x) {
				return
			}
			x = next
		}
	}
}

// release releases the stream of x. Bytes that x has buffered stay readable. The caller has locked
// x.
func (c *connection) release(x *exchange) {
	x.settleCost()
	x.stream.UserData = nil
	x.stream.Release()
	x.stream = nil
	c.active.Remove(&x.place)
}

// handleEvent processes ev, unless it is a stream that HandleStream may bring.
func (c *connection) handleEvent(now time.Time, ev conn.Event) {
	c.expectFlush()
	if c.manual && ev.Kind == conn.EventStreamOpened {
		c.handle.Pass(ev)
		return
	}
	c.process(now, ev)
}

// process passes ev to HTTP/3, and then the events of HTTP/3 to the owner.
func (c *connection) process(now time.Time, ev conn.Event) {
	ours := c.h3.HandleEvent(now, ev)
	if ev.Kind == conn.EventDatagramWritable {
		for x := range c.all() {
			x.half.service(now)
		}
	}
	c.handOut(now)
	c.extend(now, ev, ours)
	if c.shared && !ours {
		c.handle.Pass(ev)
	}
}

// handOut hands out the events of HTTP/3. Reading a stream may raise events too.
func (c *connection) handOut(now time.Time) {
	for e, ok := c.h3.NextEvent(); ok; e, ok = c.h3.NextEvent() {
		c.yield() // each stream has a goroutine that may answer
		if e.Kind == h3.EventSettings && c.attached != nil {
			close(c.attached.settings)
		}
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
		x.life.gone = true
		if !x.in.ended && !x.closed && x.dg == nil {
			x.mu.Unlock() // it goes on receiving, which this event does not concern
			return
		}
	case h3.EventWritable:
		x.unwanted()
	}
	x.mu.Unlock()
	x.half.service(now)
}

// closed ends everything that is left after the end of the connection. Bodies, trailers and
// datagrams that were received stay readable.
func (c *connection) closed(now time.Time, err error) {
	for x := range c.all() {
		x.mu.Lock()
		x.drain(now, err)
		x.mu.Unlock()
	}
	c.handOut(now)
	c.mu.Lock()
	c.err = err
	dirty := c.dirty
	c.dirty = nil
	c.mu.Unlock()
	for x := range c.all() {
		c.active.Remove(&x.place)
		x.fail(err)
	}
	for _, x := range dirty {
		x.fail(err)
	}
}
