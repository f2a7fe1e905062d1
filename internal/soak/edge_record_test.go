package soak

import (
	"context"
	"slices"
	"testing"
	"time"
)

// samples is how many there are of a run: one a minute of an hour.
const samples = 60

// A record is what is known of a run.
type record struct {
	lasts         time.Duration
	before, after holding
	growth        string // what the heap holds after and did not hold before
	samples       []sample
	kinds         []*visitorKind
}

// A sample is of one part of a run.
type sample struct {
	at            time.Duration // since the beginning
	holds         holding
	rate          float64   // requests a second
	ours, overTCP durations // of requests
}

// durations are sorted.
type durations []time.Duration

// quantile returns what the part p of them does not exceed, or 0 if there are none.
func quantile[T any](sorted []T, p float64) (v T) {
	if len(sorted) > 0 {
		v = sorted[int(p*float64(len(sorted)-1))]
	}
	return v
}

// ratio says how much longer the slowest hundredth of the requests takes than over TCP, in the same
// minute, on the same machine.
func (s *sample) ratio() float64 {
	if len(s.overTCP) == 0 {
		return 0
	}
	return float64(quantile(s.ours, 0.99)) / float64(quantile(s.overTCP, 0.99))
}

// sample samples until ctx is done. The first kind is that of the requests, and the second that of
// the same requests over TCP.
func (r *record) sample(ctx context.Context, t *testing.T, d *deployment, all []*visitorKind) {
	every := max(r.lasts/samples, time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	began, last := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h, err := d.holds()
		if err != nil {
			t.Error(err)
			return
		}
		ours, overTCP, now := all[0].take(), all[1].take(), time.Now()
		for _, k := range all[2:] {
			k.take()
		}
		s := sample{at: now.Sub(began), holds: h, rate: float64(len(ours)) / now.Sub(last).Seconds(), ours: ours, overTCP: overTCP}
		last = now
		r.samples = append(r.samples, s)
		if len(r.samples)%6 == 0 {
			t.Logf("%v: %+v; p99 of %d requests %v, of %d over TCP %v", s.at, s.holds,
				len(ours), quantile(ours, 0.99), len(overTCP), quantile(overTCP, 0.99))
		}
	}
}

// part returns one part of several of the run.
func (r *record) part(i, of int) []sample {
	n := len(r.samples)
	return r.samples[n*i/of : n*(i+1)/of]
}

// pooled returns the durations of all samples.
func pooled(of []sample, which func(s sample) durations) (all durations) {
	for _, s := range of {
		all = append(all, which(s)...)
	}
	slices.Sort(all)
	return all
}

// ratios returns the ratios of the samples, sorted.
func ratios(of []sample) (all []float64) {
	for _, s := range of {
		all = append(all, s.ratio())
	}
	slices.Sort(all)
	return all
}
