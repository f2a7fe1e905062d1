package main

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// balances are the values of balance, the default first.
var balances = []string{"round-robin", "least-loaded", "hash-client", "hash-header"}

// A balancer chooses one of the backends that can take a request: at least one.
type balancer interface {
	choose(r *http.Request, from []*backend) *backend
}

func newBalancer(c *poolConfig) balancer {
	switch c.Balance {
	case "least-loaded":
		return leastLoaded{}
	case "hash-client":
		return hashed{func(r *http.Request) string { return tripOf(r).client }}
	case "hash-header":
		name := canonicalHeader(c.HashHeader)
		return hashed{func(r *http.Request) string { return r.Header.Get(name) }}
	default:
		return new(roundRobin)
	}
}

// roundRobin takes one after the other.
type roundRobin struct{ next atomic.Uint64 }

func (b *roundRobin) choose(_ *http.Request, from []*backend) *backend {
	return from[(b.next.Add(1)-1)%uint64(len(from))]
}

// leastLoaded takes the one with fewer requests in progress of two that it draws. That spreads
// load nearly as well as the least loaded of all would. Several edges that do so do not all run to
// the same backend at once.
type leastLoaded struct{}

func (leastLoaded) choose(_ *http.Request, from []*backend) *backend {
	if len(from) == 1 {
		return from[0]
	}
	i := rand.IntN(len(from))
	j := rand.IntN(len(from) - 1)
	if j >= i {
		j++
	}
	a, b := from[i], from[j]
	if b.inflight.Load() < a.inflight.Load() {
		return b
	}
	return a
}

// hashed takes the backend for which the hash of its name and a key is the greatest (rendezvous
// hashing). When a backend leaves, only its own keys move. All edges choose the same.
type hashed struct {
	key func(r *http.Request) string
}

func (b hashed) choose(r *http.Request, from []*backend) (best *backend) {
	key := b.key(r)
	var most uint64
	for _, c := range from {
		if h := weight(c.name, key); best == nil || h > most {
			best, most = c, h
		}
	}
	return best
}

// weight mixes the hash because FNV alone changes only a few bits with the last byte.
func weight(name, key string) uint64 {
	f := fnv.New64a()
	f.Write([]byte(name))
	f.Write([]byte{0})
	f.Write([]byte(key))
	h := f.Sum64()
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
