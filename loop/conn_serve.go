package loop

import (
	"context"
	"errors"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/growstack"
)

var errServed = errors.New("loop: ServeStreams serves the streams already")

// ServeStreams calls f with each stream that the peer opens, of either directionality: see
// [conn.StreamID.Dir]. f may block, as no call waits for another one. f has to close its stream.
//
// A loop of AcceptStream that starts a goroutine for each stream does the same at a higher cost:
// here a goroutine whose call has returned takes the next stream if one is there already. If calls
// are short and there is one CPU, one goroutine serves all streams of a turn of the loop. While
// there are no streams, there are no goroutines for them. What f leaves on its goroutine goes on to
// later calls: [runtime.LockOSThread], or the labels of package runtime/pprof.
//
// ServeStreams waits until the connection has ended or has a Handler, or until ctx is done, and
// returns an error that says which. Calls of f may go on then. The streams that have come before
// the end of the connection are still served; those that come after the end of ctx are not.
func (c *Conn) ServeStreams(ctx context.Context, f func(*Stream)) error {
	c.l.mayWait("ServeStreams")
	s := &streamCrew{c: c, f: f, ended: make(chan struct{})}
	c.mu.Lock()
	if c.crew != nil {
		c.mu.Unlock()
		return errServed
	}
	err := c.acceptErr()
	if err == nil {
		c.crew, c.accepting = s, true
	}
	s.call() // streams may have come before
	c.mu.Unlock()
	if err != nil {
		return err
	}

	over := await(ctx, s.ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crew = nil
	if err := c.acceptErr(); over || err != nil { // ctx may be done because of this error
		return err
	}
	s.over = true
	return ctx.Err()
}

// acceptErr returns why no more streams come to the Conn. It returns nil if they do. The caller
// holds c.mu.
func (c *Conn) acceptErr() error {
	if c.err == nil && c.handled {
		return errHandled
	}
	return c.err
}

// endArrivals wakes all who wait for streams, since no more come. The caller holds c.mu.
func (c *Conn) endArrivals() {
	c.arrived.wake(true)
	if s := c.crew; s != nil && !s.told {
		s.told = true
		close(s.ended)
	}
}

// A streamCrew is a call of ServeStreams, and the goroutines that make its calls of f. While
// streams wait, a goroutine is on its way that does nothing else. As soon as it takes a stream, it
// calls the next goroutine if more streams wait.
type streamCrew struct {
	c     *Conn
	f     func(*Stream)
	ended chan struct{} // closed when no more streams come

	// The mutex of c guards the rest.
	coming bool // a goroutine was started, and has not taken a stream yet
	over   bool // ctx is done
	told   bool // ended is closed: a Conn with a Handler ends later, too
}

// call makes sure that a goroutine is on its way if streams wait. The caller holds the mutex of the
// Conn.
func (s *streamCrew) call() {
	if s.coming || s.over || s.c.arrived.empty() {
		return
	}
	s.coming = true
	go s.work()
}

// work serves streams as long as there are any.
func (s *streamCrew) work() {
	st := s.take(true)
	if st == nil {
		return // the goroutine before has served all, as it does where calls are short
	}
	growstack.By4K() // which calls of f would need bit by bit
	for ; st != nil; st = s.take(false) {
		s.f(st.handle)
	}
}

// take returns the next stream, or nil if there is none. called says that the goroutine was on its
// way.
func (s *streamCrew) take(called bool) *streamState {
	c := s.c
	c.mu.Lock()
	if called {
		s.coming = false
	}
	var st *streamState
	if !s.over {
		st, _ = c.arrived.pop(conn.Bidi, conn.Uni)
		s.call()
	}
	lazy := c.lazy
	c.mu.Unlock()
	if st != nil && !lazy && !st.in.begun {
		st.start()
	}
	return st
}
