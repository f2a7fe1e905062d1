// Package prometheus gives the metrics of package metrics to the client library of Prometheus. It
// is for programs that have a registry of that library already. Others need only package metrics.
package prometheus

import (
	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lazoquic/lazo/metrics"
)

// A Collector is a Collector of the client library. It collects what a [metrics.Metrics] gathers,
// under the same names.
type Collector struct{ m *metrics.Metrics }

var _ prom.Collector = (*Collector)(nil)

// New returns a Collector of m. Register only one Collector: two would collect the same names.
func New(m *metrics.Metrics) *Collector { return &Collector{m} }

// Describe sends nothing, as an unchecked Collector does: which metrics there are depends on what
// was added to the Metrics.
func (c *Collector) Describe(chan<- *prom.Desc) {}

// Collect sends all metrics. It waits for the Loops.
func (c *Collector) Collect(out chan<- prom.Metric) {
	for _, f := range c.m.Gather() {
		for i := range f.Samples {
			out <- metricOf(&f, &f.Samples[i])
		}
	}
}

// metricOf returns a sample as the client library has it.
func metricOf(f *metrics.Family, s *metrics.Sample) prom.Metric {
	labels := make(prom.Labels, len(s.Labels))
	for _, l := range s.Labels {
		labels[l.Name] = l.Value
	}
	desc := prom.NewDesc(f.Name, f.Help, nil, labels)
	var m prom.Metric
	var err error
	switch f.Kind {
	case metrics.Counter:
		m, err = prom.NewConstMetric(desc, prom.CounterValue, s.Value)
	case metrics.Distribution:
		m, err = prom.NewConstHistogram(desc, s.Histogram.Count(), s.Histogram.Sum, buckets(s.Histogram))
	default:
		m, err = prom.NewConstMetric(desc, prom.GaugeValue, s.Value)
	}
	if err != nil {
		return prom.NewInvalidMetric(desc, err)
	}
	return m
}

// buckets returns how many values are up to each bound.
func buckets(h *metrics.Histogram) map[float64]uint64 {
	upTo, n := make(map[float64]uint64, len(h.Bounds)), uint64(0)
	for i, bound := range h.Bounds {
		n += h.Counts[i]
		upTo[bound] = n
	}
	return upTo
}
