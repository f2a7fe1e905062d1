package conntest

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A flight is a datagram on its way.
type flight struct {
	at       time.Duration // when it arrives
	seq      uint64        // order of sending, which breaks ties
	sent     time.Duration
	src, dst netip.AddrPort
	ecn      conn.ECN
	fate     fate
	data     []byte
}

func (f *flight) before(g *flight) bool {
	return f.at < g.at || f.at == g.at && f.seq < g.seq
}

// A queue holds flights in a binary heap, the next to arrive first.
type queue []*flight

// next returns when the next flight arrives.
func (q queue) next() (at time.Duration, ok bool) {
	if len(q) == 0 {
		return 0, false
	}
	return q[0].at, true
}

func (q *queue) push(f *flight) {
	h := append(*q, f)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	*q = h
}

// pop removes and returns the next flight. The queue must not be empty.
func (q *queue) pop() *flight {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], nil
	h = h[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return first
}
