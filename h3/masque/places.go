package masque

import "github.com/lazoquic/lazo/loop"

// defaultMaxTunnels is the default of [Proxy.MaxTunnels].
const defaultMaxTunnels = 1024

// places counts the tunnels of a [Proxy]: relays, and requests that are about to become one. In the
// zero value no place is taken.
type places struct {
	taken  int
	byConn map[*loop.Conn]int // without entries of 0
}

// take takes a place for a tunnel of c. It reports false if there is none for it. The limits are
// the fields of the Proxy, in which zero means the default.
func (p *places) take(c *loop.Conn, limit, connLimit int) bool {
	if limit == 0 {
		limit = defaultMaxTunnels
	}
	switch {
	case connLimit != 0:
	case limit < 0:
		connLimit = -1
	default:
		connLimit = (limit + 1) / 2
	}
	if limit >= 0 && p.taken >= limit || connLimit >= 0 && p.byConn[c] >= connLimit {
		return false
	}
	if p.byConn == nil {
		p.byConn = make(map[*loop.Conn]int)
	}
	p.taken++
	p.byConn[c]++
	return true
}

// leave gives back a place that c had.
func (p *places) leave(c *loop.Conn) {
	p.taken--
	if p.byConn[c]--; p.byConn[c] == 0 {
		delete(p.byConn, c)
	}
}
