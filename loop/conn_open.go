package loop

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
)

// An opening is a call of OpenStream or TryOpenStream that waits.
type opening struct {
	dir  conn.Dir
	now  bool        // TryOpenStream: fail rather than wait
	over atomic.Bool // finished, or the caller gave up
	done chan struct{}
	s    *Stream
	err  error
}

// finish ends the call. It reports false if the caller has given up.
func (o *opening) finish(s *Stream, err error) bool {
	if !o.over.CompareAndSwap(false, true) {
		return false
	}
	o.s, o.err = s, err
	close(o.done)
	return true
}

// OpenStream waits until the peer's limit allows another stream.
func (c *Conn) OpenStream(ctx context.Context, dir conn.Dir) (*Stream, error) {
	if dir > conn.Uni {
		return nil, errDir
	}
	c.l.mayWait("OpenStream")
	return c.openStream(ctx, dir, false)
}

// TryOpenStream opens a stream if the peer's limit allows it now, and nobody waits for
// one in OpenStream. Otherwise it returns a *[StreamLimitError]. It asks the loop and
// waits for that, but not for the peer.
func (c *Conn) TryOpenStream(dir conn.Dir) (*Stream, error) {
	if dir > conn.Uni {
		return nil, errDir
	}
	c.l.mayWait("TryOpenStream")
	return c.openStream(context.Background(), dir, true)
}

func (c *Conn) openStream(ctx context.Context, dir conn.Dir, now bool) (*Stream, error) {
	if s := c.openNow(dir); s != nil {
		return s, nil
	}
	c.mu.Lock()
	if err := c.acceptErr(); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	o := &opening{dir: dir, now: now, done: make(chan struct{})}
	c.opens.push(o)
	c.opening.Add(1)
	c.mark()
	c.mu.Unlock()
	select {
	case <-o.done:
	case <-ctx.Done():
		if o.over.CompareAndSwap(false, true) {
			if err := c.closed(); err != nil {
				return nil, err
			}
			return nil, ctx.Err()
		}
		<-o.done
	}
	return o.s, o.err
}

// openNow opens a stream if the loop can be borrowed, the peer allows it, and nobody has waited
// longer. Otherwise it returns nil.
func (c *Conn) openNow(dir conn.Dir) (s *Stream) {
	if c.opening.Load() > 0 || !c.borrow() {
		return nil
	}
	if !c.handled && c.waiting[dir].len() == 0 {
		if cs, err := c.c.OpenStream(dir); err == nil {
			st := newStream(c, cs, true)
			st.pull = true
			s = st.handle
		}
	}
	c.l.giveBack()
	return s
}

// queueOpenings takes the calls of OpenStream over for the loop. The caller holds c.mu.
func (c *Conn) queueOpenings() {
	for o, ok := c.opens.pop(); ok; o, ok = c.opens.pop() {
		c.opening.Add(-1)
		c.waiting[o.dir].push(o)
		c.trying = c.trying || o.now
	}
}

// open opens the streams that calls wait for, as far as the peer's limits go.
func (c *Conn) open() {
	if c.c.Err() != nil { // see finish
		return
	}
	for dir := range c.waiting {
		q := &c.waiting[dir]
		for q.len() > 0 {
			o := q.items[q.head]
			if o.over.Load() { // the caller gave up
				q.pop()
				continue
			}
			cs, err := c.c.OpenStream(o.dir)
			if errors.Is(err, conn.ErrStreamLimit) {
				break
			}
			q.pop()
			if err != nil {
				o.finish(nil, err)
				continue
			}
			s := newStream(c, cs, true)
			s.pull = true
			c.l.wokeBorrower()
			if !o.finish(s.handle, nil) {
				s.forget()
				cs.Release()
			}
		}
		if c.trying {
			*q = refuse(*q)
		}
	}
	c.trying = false
}

// refuse fails the calls of TryOpenStream in q, and returns the others.
func refuse(q queue[*opening]) queue[*opening] {
	var left queue[*opening]
	for o, ok := q.pop(); ok; o, ok = q.pop() {
		if o.now {
			o.finish(nil, &StreamLimitError{o.dir})
		} else {
			left.push(o)
		}
	}
	return left
}

// arrivals holds streams of the peer that wait for AcceptStream and AcceptStreamOf.
type arrivals struct {
	streams [2]queue[*streamState]
	n       uint64           // how many streams have arrived in all
	waiting [3]int           // how many goroutines wait for a stream of each direction, or of any
	tokens  [3]chan struct{} // a token for each of these, if there is a stream or the end
}

// empty reports whether no stream waits.
func (a *arrivals) empty() bool {
	return a.streams[conn.Bidi].len() == 0 && a.streams[conn.Uni].len() == 0
}

// anyDir is the index in arrivals.waiting and arrivals.tokens for streams of either direction.
const anyDir = 2

func (a *arrivals) push(s *streamState) {
	a.n++
	s.arrival = a.n
	a.streams[s.handle.id.Dir()].push(s)
	a.wake(false)
}

// pop returns the oldest stream of the directions from first to last.
func (a *arrivals) pop(first, last conn.Dir) (s *streamState, ok bool) {
	dir := first
	for d := first; d <= last; d++ {
		q, best := &a.streams[d], &a.streams[dir]
		if best.len() == 0 || q.len() > 0 && q.items[q.head].arrival < best.items[best.head].arrival {
			dir = d
		}
	}
	return a.streams[dir].pop()
}

// wake wakes one goroutine of each kind for which there is a stream, or of every kind if over is
// set.
func (a *arrivals) wake(over bool) {
	bidi, uni := a.streams[conn.Bidi].len() > 0, a.streams[conn.Uni].len() > 0
	for kind, found := range [...]bool{conn.Bidi: bidi, conn.Uni: uni, anyDir: bidi || uni} {
		if over || found && a.waiting[kind] > 0 {
			notify(a.tokens[kind])
		}
	}
}

// wait counts a goroutine that waits, and returns the channel for its token.
func (a *arrivals) wait(kind int) <-chan struct{} {
	a.waiting[kind]++
	return tokens(&a.tokens[kind])
}

// arrive queues a stream of the peer for AcceptStream.
func (c *Conn) arrive(cs *conn.Stream) {
	s := newStream(c, cs, false)
	c.mu.Lock()
	s.pull = c.accepting && !c.lazy
	s.in.begun = s.pull
	if s.pull {
		s.in.arriving = s.leave(1) // all there is; a Read that comes soon takes it
	}
	c.arrived.push(s)
	if c.crew != nil {
		c.crew.call()
	}
	c.mu.Unlock()
	c.l.wokeBorrower()
}

// AcceptStream returns the next stream that the peer opened, of either
// directionality: see [conn.StreamID.Dir].
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	return c.acceptStream(ctx, conn.Bidi, conn.Uni, anyDir)
}

// AcceptStreamOf returns the next stream of one directionality that the peer opened. Streams of the
// other directionality wait.
func (c *Conn) AcceptStreamOf(ctx context.Context, dir conn.Dir) (*Stream, error) {
	if dir > conn.Uni {
		return nil, errDir
	}
	return c.acceptStream(ctx, dir, dir, int(dir))
}

func (c *Conn) acceptStream(ctx context.Context, first, last conn.Dir, kind int) (*Stream, error) {
	for waited := false; ; waited = true {
		c.mu.Lock()
		if waited {
			c.arrived.waiting[kind]--
		}
		s, ok := c.arrived.pop(first, last)
		err := c.acceptErr()
		if ok || err == nil {
			c.accepting = true
		}
		var token <-chan struct{}
		if !ok && err == nil {
			token = c.arrived.wait(kind)
		}
		c.arrived.wake(err != nil)
		lazy := c.lazy
		c.mu.Unlock()
		switch {
		case ok:
			if !lazy && !s.in.begun {
				s.start()
			}
			return s.handle, nil
		case err != nil:
			return nil, err
		}
		c.l.mayWait("AcceptStream")
		if !await(ctx, token) {
			return nil, c.stopAccepting(ctx, kind)
		}
	}
}

// stopAccepting ends the wait of a goroutine whose ctx is done, and returns the error of the call.
func (c *Conn) stopAccepting(ctx context.Context, kind int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived.waiting[kind]--
	c.arrived.wake(false)
	if c.err != nil { // ctx may be done because of this error
		return c.err
	}
	return ctx.Err()
}

// Adopt makes a Stream of cs, which the Handler of the connection has had for itself
// so far. The Handler gets no more events of it and must not use it: it is as if
// OpenStream or AcceptStream had returned the Stream. What was read from cs stays so;
// nothing must have been written to it. Call Adopt on the loop's goroutine.
func (c *Conn) Adopt(cs *conn.Stream) *Stream {
	s := newStream(c, cs, cs.ID().ByServer() == c.c.Server())
	s.start() // data may have come before anybody accepted the stream
	return s.handle
}
