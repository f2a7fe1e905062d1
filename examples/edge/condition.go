package main

import (
	"sync"
	"time"
)

// A condition says whether a backend can take requests. Health checks and failed requests each
// change it on their own.
type condition struct {
	checks *checkConfig // nil for none
	eject  ejectConfig

	mu       sync.Mutex
	down     bool // what the health checks say
	row      int  // how many checks in a row contradict down
	failures int  // requests in a row that failed
	ejected  time.Time
	pause    time.Duration // the last time it was ejected for
}

// available reports whether new requests may go to the backend.
func (c *condition) available(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.down && !now.Before(c.ejected)
}

// isEjected reports whether requests have shown that the backend fails.
func (c *condition) isEjected(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.ejected)
}

// checked takes the result of a check. It reports whether that changed the state.
func (c *condition) checked(ok bool) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok != c.down {
		c.row = 0
		return false
	}
	c.row++
	limit := c.checks.Unhealthy
	if c.down {
		limit = c.checks.Healthy
	}
	if c.row < limit {
		return false
	}
	c.down, c.row = !c.down, 0
	return true
}

// succeeded takes a request that the backend has answered. A backend that has answered for as long
// as its last pause is as good as new.
func (c *condition) succeeded(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = 0
	if c.pause > 0 && now.Sub(c.ejected) >= c.pause {
		c.pause = 0
	}
}

// failed takes a request that failed on the backend, and reports whether the backend should be
// ejected for it.
func (c *condition) failed(now time.Time) (eject bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	// After its return one failure is enough.
	return c.failures >= c.eject.Failures || c.pause > 0 && !now.Before(c.ejected)
}

// ejectAt begins a pause that is twice as long as the last one.
func (c *condition) ejectAt(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = min(max(2*c.pause, time.Duration(c.eject.For)), time.Duration(c.eject.Max))
	c.ejected = now.Add(c.pause)
	c.failures = 0
	return c.pause
}
