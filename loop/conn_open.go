package loop

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
)

// An opening is a call of OpenStream.
type opening struct {
	dir  conn.Dir
	over atomic.Bool // finished, or given up
	done chan struct{}
	s    *Stream
	err  error
}

// finish ends the call. It reports false if nobody waits any more.
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
	o := &opening{dir: dir, done: make(chan struct{})}
	c.mu.Lock()
	err := c.err
	if err == nil && c.handled {
		err = errHandled
	}
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	c.opens.push(o)
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

// open opens the streams that are waited for, as far as the peer's limits go.
func (c *Conn) open() {
	for dir := range c.waiting {
		q := &c.waiting[dir]
		for q.len() > 0 {
			o := q.items[q.head]
			if o.over.Load() { // given up
				q.pop()
				continue
			}
			cs, err := c.c.OpenStream(o.dir)
			if errors.Is(err, conn.ErrStreamLimit) {
				break
			}
			q.pop()
			if err != nil {
				o.finish(nil, newClosedError(err))
				continue
			}
			s := newStream(c, cs, true)
			s.pull = true
			c.l.Yield()
			if !o.finish(s, nil) {
				s.forget()
				cs.Release()
			}
		}
	}
}

// arrive queues a stream of the peer for AcceptStream.
func (c *Conn) arrive(cs *conn.Stream) {
	s := newStream(c, cs, false)
	c.mu.Lock()
	s.pull = c.accepting
	c.arrived.push(s)
	c.mu.Unlock()
	notify(c.arrival)
	c.l.Yield()
}

// AcceptStream returns the next stream that the peer opened, of either
// directionality: see [conn.StreamID.Dir].
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	for {
		c.mu.Lock()
		s, ok := c.arrived.pop()
		err := c.err
		if err == nil && c.handled {
			err = errHandled
		}
		if ok || err == nil {
			c.accepting = true
		}
		if c.arrived.len() > 0 || err != nil {
			notify(c.arrival)
		}
		c.mu.Unlock()
		switch {
		case ok:
			s.start()
			return s, nil
		case err != nil:
			return nil, err
		}
		c.l.mayWait("AcceptStream")
		select {
		case <-c.arrival:
		case <-ctx.Done():
			if err := c.closed(); err != nil { // of which ctx may be a consequence
				return nil, err
			}
			return nil, ctx.Err()
		}
	}
}
