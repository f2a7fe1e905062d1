package main

import "sync"

// visitors counts requests in progress. Unlike the servers it counts those, too, whose connection
// was taken over for an Upgrade.
type visitors struct {
	mu    sync.Mutex
	n     int
	empty chan struct{} // closed when n is 0; nil if nobody waits
}

func (v *visitors) enter() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n++
}

func (v *visitors) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n--
	if v.n == 0 && v.empty != nil {
		close(v.empty)
		v.empty = nil
	}
}

func (v *visitors) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n
}

// gone returns a channel that is closed as soon as there are none.
func (v *visitors) gone() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := make(chan struct{})
	if v.n == 0 {
		close(c)
		return c
	}
	if v.empty == nil {
		v.empty = c
	}
	return v.empty
}
