package masque

import "github.com/lazoquic/lazo/loop"

// defaultMaxTunnels is the default of [Proxy.MaxTunnels].
const defaultMaxTunnels = 1024

// places are those of the tunnels of a [Proxy]: of relays, and of requests that are about
// to become one. The zero value has none taken.
type places struct {
	taken  int
	byConn map[*loop.Conn]int // never 0
}

// take takes a place for a tunnel of c, and reports false if there is none for it. The
// limits are those of the Proxy, as its user set them.
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

// leave gives a place of c back.
func (p *places) leave(c *loop.Conn) {
	p.taken--
	if p.byConn[c]--; p.byConn[c] == 0 {
		delete(p.byConn, c)
	}
}
