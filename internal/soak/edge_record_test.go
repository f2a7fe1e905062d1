package soak

import (
	"context"
	"testing"
	"time"
)

// samples is how many there are of a run.
const samples = 120

// A record is what is known of a run.
type record struct {
	lasts         time.Duration
	before, after holding
	samples       []sample
	kinds         []*visitorKind
}

// A sample is of one part of a run.
type sample struct {
	at       time.Duration // since the beginning
	holds    holding
	rate     float64       // requests a second
	p50, p99 time.Duration // of requests
}

// sample samples until ctx is done. The first kind is that of the requests.
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
		took, now := all[0].take(), time.Now()
		for _, k := range all[1:] {
			k.take()
		}
		s := sample{at: now.Sub(began), holds: h, rate: float64(len(took)) / now.Sub(last).Seconds()}
		if last = now; len(took) > 0 {
			s.p50, s.p99 = took[len(took)/2], took[len(took)*99/100]
		}
		r.samples = append(r.samples, s)
		if len(r.samples)%12 == 0 {
			t.Logf("%+v", s)
		}
	}
}

// sixth returns the samples of one sixth of the run.
func (r *record) sixth(i int) []sample {
	n := len(r.samples)
	return r.samples[n*i/6 : n*(i+1)/6]
}
