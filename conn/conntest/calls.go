package conntest

import (
	"slices"
	"time"
)

// After calls f once d has passed, as a step of the Network: a Network with calls to come is not
// idle. f may call the nodes' connections, and After.
func (n *Network) After(d time.Duration, f func()) {
	n.calls.add(n.now+max(d, 0), f)
}

// calls are what After was told, the next one first.
type calls []call

type call struct {
	at time.Duration
	f  func()
}

// add puts f behind the calls of the same time.
func (c *calls) add(at time.Duration, f func()) {
	i, _ := slices.BinarySearchFunc(*c, at, func(x call, at time.Duration) int {
		if x.at <= at {
			return -1
		}
		return 1
	})
	*c = slices.Insert(*c, i, call{at, f})
}

func (c calls) next() (at time.Duration, ok bool) {
	if len(c) == 0 {
		return 0, false
	}
	return c[0].at, true
}

// take removes the next call and returns its function.
func (c *calls) take() func() {
	f := (*c)[0].f
	*c = slices.Delete(*c, 0, 1)
	return f
}
