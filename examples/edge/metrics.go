package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lazoquic/lazo/metrics"
)

// counts are the requests that have ended.
type counts struct {
	mu   sync.Mutex
	rows map[countKey]*countRow
}

// A countKey is what requests are counted by. Clients cannot choose the values, so there are few.
type countKey struct {
	pool  string
	proto int // major version of HTTP
	class int // first digit of the status
}

func (k countKey) labels() []metrics.Label {
	return []metrics.Label{{Name: "pool", Value: k.pool}, {Name: "http", Value: strconv.Itoa(k.proto)}, {Name: "status", Value: strconv.Itoa(k.class) + "xx"}}
}

type countRow struct {
	retries uint64
	took    metrics.Histogram // in seconds
}

// tookBounds are in seconds.
var tookBounds = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60}

// add counts a request that has ended.
func (c *counts) add(t *trip, protoMajor, status int) {
	key := countKey{t.pool, min(protoMajor, 3), status / 100}
	took := time.Since(t.begin).Seconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	row := c.rows[key]
	if row == nil {
		if c.rows == nil {
			c.rows = make(map[countKey]*countRow)
		}
		row = &countRow{took: metrics.Histogram{Bounds: tookBounds, Counts: make([]uint64, len(tookBounds)+1)}}
		c.rows[key] = row
	}
	row.retries += uint64(max(t.attempts-1, 0))
	row.took.Sum += took
	i, _ := slices.BinarySearch(tookBounds, took)
	row.took.Counts[i]++
}

// families returns what was counted.
func (c *counts) families() []metrics.Family {
	retries := metrics.Family{Name: "edge_retries_total", Help: "Attempts beyond the first.", Kind: metrics.Counter}
	took := metrics.Family{
		Name: "edge_request_seconds", Help: "Time from the header of a request to the end of its response.",
		Kind: metrics.Distribution,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(c.rows), func(a, b countKey) int {
		return cmp.Or(strings.Compare(a.pool, b.pool), a.proto-b.proto, a.class-b.class)
	})
	for _, k := range keys {
		row := c.rows[k]
		h := row.took
		h.Counts = slices.Clone(h.Counts)
		retries.Samples = append(retries.Samples, metrics.Sample{Labels: k.labels(), Value: float64(row.retries)})
		took.Samples = append(took.Samples, metrics.Sample{Labels: k.labels(), Histogram: &h})
	}
	return []metrics.Family{retries, took}
}

// families returns what is known of backends.
func (s *site) families() []metrics.Family {
	now := time.Now()
	each := func(name, help string, kind metrics.Kind, value func(b *backend) float64) metrics.Family {
		f := metrics.Family{Name: name, Help: help, Kind: kind}
		for _, pool := range slices.Sorted(maps.Keys(s.pools)) {
			for _, b := range s.pools[pool].backends {
				labels := []metrics.Label{{Name: "pool", Value: pool}, {Name: "backend", Value: b.name}}
				f.Samples = append(f.Samples, metrics.Sample{Labels: labels, Value: value(b)})
			}
		}
		return f
	}
	return []metrics.Family{
		each("edge_backend_up", "Whether requests may go to a backend.", metrics.Gauge, func(b *backend) float64 {
			if b.condition.available(now) {
				return 1
			}
			return 0
		}),
		each("edge_backend_requests_total", "Requests sent to a backend.", metrics.Counter,
			func(b *backend) float64 { return float64(b.attempts.Load()) }),
		each("edge_backend_in_progress", "Requests in progress on a backend.", metrics.Gauge,
			func(b *backend) float64 { return float64(b.inflight.Load()) }),
	}
}

// families returns all metrics: those of edge, and those of QUIC and HTTP/3.
func (e *edge) families() []metrics.Family {
	one := func(name, help string, kind metrics.Kind, value float64) metrics.Family {
		return metrics.Family{Name: name, Help: help, Kind: kind, Samples: []metrics.Sample{{Value: value}}}
	}
	return slices.Concat(
		[]metrics.Family{
			one("edge_requests_in_progress", "Requests in progress.", metrics.Gauge, float64(e.visitors.count())),
			one("edge_stalled_total", "Responses over TCP that ended because clients took too little for too long.", metrics.Counter, float64(e.stalled.Load())),
		},
		e.counts.families(), e.site.Load().families(), processFamilies(), e.metrics.Gather())
}
