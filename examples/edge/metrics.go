package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// metrics count requests.
type metrics struct {
	mu   sync.Mutex
	rows map[metricKey]*metricRow
}

// A metricKey groups requests for counting. Clients cannot choose its values, so there are few of
// them.
type metricKey struct{ pool, proto, class string }

type metricRow struct {
	count   uint64
	retries uint64
	seconds float64
	buckets [len(bucketLimits)]uint64 // each has those of the ones before
}

// bucketLimits are in seconds.
var bucketLimits = [...]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60}

// add counts a request that has ended.
func (m *metrics) add(t *trip, protoMajor, status int) {
	key := metricKey{t.pool, fmt.Sprint(min(protoMajor, 3)), fmt.Sprintf("%dxx", status/100)}
	took := time.Since(t.begin).Seconds()
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.rows[key]
	if row == nil {
		if m.rows == nil {
			m.rows = make(map[metricKey]*metricRow)
		}
		row = new(metricRow)
		m.rows[key] = row
	}
	row.count++
	row.retries += uint64(max(t.attempts-1, 0))
	row.seconds += took
	for i, limit := range bucketLimits {
		if took <= limit {
			row.buckets[i]++
		}
	}
}

// A page is text in the format of Prometheus.
type page struct{ bytes.Buffer }

// head begins the rows of a metric.
func (p *page) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// row writes a value with labels, each a name and a value.
func (p *page) row(name string, value any, labels ...string) {
	p.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(p, `%s%s="%s"`, sep, labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		p.WriteByte('}')
	}
	fmt.Fprintf(p, " %v\n", value)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// write appends what was counted.
func (m *metrics) write(p *page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(m.rows), func(a, b metricKey) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	labels := func(k metricKey) []string { return []string{"pool", k.pool, "http", k.proto, "status", k.class} }
	p.head("edge_retries_total", "counter", "Attempts beyond the first.")
	for _, k := range keys {
		p.row("edge_retries_total", m.rows[k].retries, labels(k)...)
	}
	p.head("edge_request_seconds", "histogram", "Time from the header of a request to the end of its response.")
	for _, k := range keys {
		row := m.rows[k]
		for i, limit := range bucketLimits {
			p.row("edge_request_seconds_bucket", row.buckets[i], append(labels(k), "le", fmt.Sprint(limit))...)
		}
		p.row("edge_request_seconds_bucket", row.count, append(labels(k), "le", "+Inf")...)
		p.row("edge_request_seconds_sum", row.seconds, labels(k)...)
		p.row("edge_request_seconds_count", row.count, labels(k)...)
	}
}

// write appends what is known of backends.
func (s *site) write(p *page) {
	now := time.Now()
	each := func(name, kind, help string, value func(b *backend) any) {
		p.head(name, kind, help)
		for _, pool := range slices.Sorted(maps.Keys(s.pools)) {
			for _, b := range s.pools[pool].backends {
				p.row(name, value(b), "pool", pool, "backend", b.name)
			}
		}
	}
	each("edge_backend_up", "gauge", "Whether requests may go to a backend.", func(b *backend) any {
		if b.condition.available(now) {
			return 1
		}
		return 0
	})
	each("edge_backend_requests_total", "counter", "Requests sent to a backend.", func(b *backend) any { return b.attempts.Load() })
	each("edge_backend_in_progress", "gauge", "Requests in progress on a backend.", func(b *backend) any { return b.inflight.Load() })
}
