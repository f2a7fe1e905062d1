package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are 1/16 of a power of two wide.
type histogram struct {
	counts [64 * 16]uint64
	total  uint64
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 1))
	exp := max(bits.Len64(n)-5, 0)
	return exp*16 + int(n>>exp)
}

// add counts one duration.
func (h *histogram) add(d time.Duration) {
	h.counts[min(bucketOf(d), len(h.counts)-1)]++
	h.total++
}

// merge adds what other counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the duration that a share q of all durations do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	var sum uint64
	for i, n := range h.counts {
		if sum += n; n > 0 && float64(sum) >= q*float64(h.total) {
			exp := max(i/16-1, 0)
			return time.Duration(uint64(i-exp*16) << exp)
		}
	}
	return 0
}

// addTo writes the quantiles that matter to r, in microseconds.
func (h *histogram) addTo(r report) {
	r["p50_us"] = float64(h.quantile(.5)) / 1e3
	r["p99_us"] = float64(h.quantile(.99)) / 1e3
	r["p999_us"] = float64(h.quantile(.999)) / 1e3
}
