package conn

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// A connection is stalled if in stallTime less than 1/stallShare of what it holds has moved on.
const (
	stallTime  = 10 * time.Second
	stallShare = 8
)

// A memoryUse is what relieve noted of a connection.
type memoryUse struct {
	moved uint64  // bytes of streams that had left our memory
	since instant // then; 0 if never
}

// moved returns how many bytes of streams have left our memory so far: read, or acknowledged.
func (c *Conn) moved() uint64 { return c.flow.consumed + c.flow.acked }

// held returns how many bytes of memory the connection holds for streams and the handshake.
func (c *Conn) held() (n int) {
	for _, s := range c.streams.all {
		n += s.in.Held() + s.out.Held()
	}
	for _, sp := range c.spaces {
		if sp != nil {
			n += sp.cryptoIn.Held() + sp.cryptoOut.Held()
		}
	}
	return n
}

// relieve ends stalled connections, those that hold most first, while all together hold more than they may. Otherwise
// those who fill the memory, and just keep their connections alive, would keep everybody else out. It looks around
// once a second at most.
func (e *Endpoint) relieve(now instant) {
	if e.relieved != 0 && now.sub(e.relieved) < time.Second {
		return
	}
	e.relieved = now
	type holder struct {
		c    *Conn
		held int // bytes
	}
	var stalled []holder
	for c := range e.Conns() {
		m, moved, held := &c.memory, c.moved(), c.held()
		switch {
		case m.since == 0, moved-m.moved >= uint64(held/stallShare):
			m.moved, m.since = moved, now
		case now.sub(m.since) >= stallTime:
			stalled = append(stalled, holder{c, held})
		}
	}
	slices.SortStableFunc(stalled, func(a, b holder) int { return cmp.Compare(b.held, a.held) })
	over := e.chunks.Used() - (e.cfg.MaxBuffered - e.cfg.MaxBuffered/stallShare)
	for _, h := range stalled {
		if over <= 0 {
			return
		}
		over -= int64(h.held) // what came is given back later, after EventClosed
		h.c.abort(errors.New("memory is short, and this connection is stalled"))
	}
}
