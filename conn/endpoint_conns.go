package conn

import "iter"

// A walk is a loop over the connections. Connections may close during it.
type walk struct {
	next  *Conn
	outer *walk // one that has begun before
}

// link adds c at the end of the list of connections.
func (e *Endpoint) link(c *Conn) {
	if c.prev = e.last; c.prev != nil {
		c.prev.next = c
	} else {
		e.first = c
	}
	e.last = c
}

// unlink takes c out. c keeps no neighbour: otherwise whoever keeps a closed connection would keep
// all that came after it.
func (e *Endpoint) unlink(c *Conn) {
	for w := e.walks; w != nil; w = w.outer {
		if w.next == c {
			w.next = c.next
		}
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		e.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		e.last = c.prev
	}
	c.prev, c.next = nil, nil
}

// Conns returns the connections in the order of their creation. The body of the loop may close any
// of them.
func (e *Endpoint) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		w := &walk{next: e.first, outer: e.walks}
		e.walks = w
		defer e.endWalk(w)
		for w.next != nil {
			c := w.next
			w.next = c.next
			if !yield(c) {
				return
			}
		}
	}
}

// endWalk forgets w, which need not be the innermost one: see iter.Pull.
func (e *Endpoint) endWalk(w *walk) {
	p := &e.walks
	for *p != w {
		p = &(*p).outer
	}
	*p = w.outer
}
