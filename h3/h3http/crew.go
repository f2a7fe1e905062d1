package h3http

import (
	"sync"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/growstack"
)

// maxResting is how many goroutines of a crew rest while there is no request for them. Each keeps
// its stack, 8 KiB as a rule.
const maxResting = 16

// A crew is the goroutines that run the handlers of one Loop. A goroutine takes one request after
// another, so a request costs no new goroutine, and the stack has grown already.
//
// No request waits for the handler of another one. While requests wait, a goroutine is on its way
// that does nothing else: see coming. As soon as it takes a request, it calls the next goroutine if
// more requests wait. So if handlers do not block, and there is one CPU, one goroutine serves all.
type crew struct {
	conns int // connections of the Loop; Server.mu guards it

	mu          sync.Mutex
	first, last *serverExchange // requests that wait
	coming      bool            // a goroutine was started or woken, and has not taken a request yet
	resting     []chan struct{} // of goroutines that wait, with room for one call each
	over        bool            // nobody rests any more

	spare []*serverExchange // for reuse; belongs to the loop
}

// A fieldRoom is memory for a header section: that of a request, and then that of its response.
type fieldRoom [roomForFields]h3.Field

// roomForFields is how many fields there are in most header sections.
const roomForFields = 16

// maxSpare is how many exchanges are kept for reuse.
const maxSpare = 64

// exchange returns an exchange that serves no request. It runs on the loop's goroutine.
func (c *crew) exchange(s *Server) (x *serverExchange) {
	n := len(c.spare) - 1
	if n < 0 {
		return &serverExchange{s: s}
	}
	x, c.spare[n] = c.spare[n], nil
	c.spare = c.spare[:n]
	return x
}

// keep keeps x for another request. It runs on the loop's goroutine.
func (c *crew) keep(x *serverExchange) {
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, x)
	}
}

// add lets a goroutine serve x. It does not wait.
func (c *crew) add(x *serverExchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = x
	} else {
		c.last.next = x
	}
	c.last = x
	c.call()
}

// call makes sure that a goroutine is on its way if requests wait. The caller has locked c.
func (c *crew) call() {
	if c.first == nil || c.coming {
		return
	}
	c.coming = true
	n := len(c.resting) - 1
	if n < 0 {
		go c.work()
		return
	}
	c.resting[n] <- struct{}{} // the one whose stack was in use last
	c.resting = c.resting[:n]
}

// work serves requests. It ends if there is none, and enough other goroutines rest.
func (c *crew) work() {
	growstack.By4K() // which reading the fields, and the handler's calls, would need bit by bit
	calls := make(chan struct{}, 1)
	for called := true; ; {
		x, rest := c.take(called, calls)
		called = false
		switch {
		case x != nil:
			x.serve()
		case rest:
			if _, called = <-calls; !called {
				return
			}
		default:
			return
		}
	}
}

// take returns the next request. called says that the goroutine was on its way. If no request
// waits, take reports whether the goroutine is to rest until it is called.
func (c *crew) take(called bool, calls chan struct{}) (x *serverExchange, rest bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if called {
		c.coming = false
	}
	if x = c.first; x != nil {
		if c.first, x.next = x.next, nil; c.first == nil {
			c.last = nil
		}
		c.call()
		return x, false
	}
	if c.over || len(c.resting) >= maxResting {
		return nil, false
	}
	c.resting = append(c.resting, calls)
	return nil, true
}

// end lets the goroutines end that rest, and the others when their handlers have returned.
func (c *crew) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, calls := range c.resting {
		close(calls)
	}
	c.resting = nil
}
