package conntest

import "time"

// stillLimit is how much may be done in one instant. A transfer over a perfect link takes no time,
// so the limit leaves room for large ones.
const stillLimit = 1 << 21

// Step delivers the next datagram, makes the next call of After, or runs the next timer, whichever
// is first; of two things at the same time, what was sent first arrives first, and arrivals
// come before calls, and calls before timers. It reports false if the network is idle.
func (n *Network) Step() bool {
	n.t.Helper()
	next, ok := n.next()
	if ok {
		n.step(next)
	}
	return ok
}

// RunFor steps until d has passed.
func (n *Network) RunFor(d time.Duration) {
	n.t.Helper()
	end := n.now + d
	for {
		next, ok := n.next()
		if !ok || next.at > end {
			break
		}
		n.step(next)
	}
	n.moveTo(end)
}

// RunUntil steps until cond holds. It fails the test after limit of simulated
// time, or when nothing can happen any more.
func (n *Network) RunUntil(limit time.Duration, cond func() bool) {
	n.t.Helper()
	end := n.now + limit
	for !cond() {
		next, ok := n.next()
		if !ok {
			n.fail("the condition does not hold, and the network is idle")
		}
		if next.at > end {
			n.moveTo(end)
			n.fail("the condition does not hold after %v", limit)
		}
		n.step(next)
	}
}

// A happening is what happens next: a timer of a node, a call of After, or if neither is set an
// arrival.
type happening struct {
	at   time.Duration
	node *Node
	call bool
}

// next returns what happens next. It asks every node anew, because a test may have called any of
// them.
func (n *Network) next() (h happening, ok bool) {
	h.at, ok = n.fabric.queue.next()
	if at, set := n.calls.next(); set && (!ok || at < h.at) {
		h, ok = happening{at: at, call: true}, true
	}
	for _, b := range n.nodes {
		due, set := b.timeout()
		if due = max(due, n.now); set && (!ok || due < h.at) {
			h, ok = happening{at: due, node: b}, true
		}
	}
	return h, ok
}

// step does what next found.
func (n *Network) step(h happening) {
	n.t.Helper()
	n.moveTo(h.at)
	n.tick()
	a := h.node
	switch {
	case h.call:
		n.calls.take()()
	case a == nil:
		a = n.deliver()
	}
	if a != nil {
		n.drain(a)
		if n.OnStep != nil {
			n.OnStep(a)
		}
	}
}

// tick counts what is done in one instant, and fails if there is no end to it.
func (n *Network) tick() {
	n.t.Helper()
	if n.still++; n.still > stillLimit {
		n.fail("time stands still: %d steps in one instant", stillLimit)
	}
}

func (n *Network) moveTo(at time.Duration) {
	if at > n.now {
		n.now, n.still = at, 0
	}
}
