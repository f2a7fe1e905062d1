package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// named returns backends that differ only in their names.
func named(n int) (all []*backend) {
	for i := range n {
		all = append(all, &backend{name: fmt.Sprintf("http://10.0.0.%d:80", i)})
	}
	return all
}

// choices counts how often each of n backends is chosen for requests with keys of their own.
func choices(b balancer, from []*backend, keys int) map[*backend]int {
	chosen := make(map[*backend]int)
	for i := range keys {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
		r.Header.Set("X-User", fmt.Sprintf("user-%d", i))
		chosen[b.choose(r, from)]++
	}
	return chosen
}

func TestRoundRobin(t *testing.T) {
	for _, n := range choices(newBalancer(&poolConfig{}), named(3), 30) {
		require.Equal(t, 10, n)
	}
}

// TestLeastLoaded: the busiest of several backends is never chosen, and a single one always.
func TestLeastLoaded(t *testing.T) {
	b := newBalancer(&poolConfig{Balance: "least-loaded"})
	all := named(4)
	all[2].inflight.Store(1)
	chosen := choices(b, all, 400)
	require.Zero(t, chosen[all[2]])
	require.Len(t, chosen, 3)
	require.Equal(t, map[*backend]int{all[2]: 5}, choices(b, all[2:3], 5))
}

// TestHash: a key stays with its backend. When a backend leaves, only its own keys move.
func TestHash(t *testing.T) {
	for _, c := range []*poolConfig{{Balance: "hash-client"}, {Balance: "hash-header", HashHeader: "x-user"}} {
		b := newBalancer(c)
		all := named(5)
		for one, n := range choices(b, all, 1000) {
			require.Greater(t, n, 150, "%s of 1000", one.name)
		}
		moved := 0
		for i := range 1000 {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:%d", i, i+1)
			r.Header = http.Header{"X-User": {fmt.Sprintf("user-%d", i)}}
			before := b.choose(r, all)
			require.Same(t, before, b.choose(r, all))
			if after := b.choose(r, all[1:]); after != before {
				require.Same(t, all[0], before)
				moved++
			}
		}
		require.Greater(t, moved, 150)
	}
}
