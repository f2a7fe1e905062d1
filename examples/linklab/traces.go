package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/usage"
)

// traces are links whose rate changes as it was recorded.
type traces struct {
	rtt   time.Duration
	queue int
	seed  uint64

	names []string
	rates []*conntest.RateTrace
	logs  logs
}

// run reads the files, runs the simulations and writes their table.
func (t *traces) run(names []string, w io.Writer) error {
	if err := t.open(names); err != nil {
		return err
	}
	endLogs, err := t.logs.open()
	if err != nil {
		return err
	}
	t.write(w)
	return endLogs()
}

// open reads the files.
func (t *traces) open(names []string) error {
	if err := cmp.Or(usage.Positive("rtt", t.rtt), usage.AtLeast("queue", t.queue, 3000)); err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return usage.Errorf("-trace: %v", err)
		}
		rate, err := conntest.ParseRateTrace(f)
		f.Close()
		if err != nil {
			return usage.Errorf("-trace %s: %v", name, err)
		}
		t.names, t.rates = append(t.names, filepath.Base(name)), append(t.rates, rate)
	}
	return nil
}

// traceTime is how long a flow runs at most.
const traceTime = 2 * time.Minute

// write writes a row for each trace and controller.
func (t *traces) write(w io.Writer) {
	fmt.Fprintf(w, "| link | mean rate | controller | goodput | delay of the queue: median | 95 %% | a page of 200 KB |\n|---|---|---|---|---|---|---|\n")
	for i, rate := range t.rates {
		d := min(rate.Period(), traceTime)
		for _, cc := range controllers {
			l := lab{rtt: t.rtt, trace: rate, bytes: t.queue, seed: t.seed, logs: t.logs, flows: []controller{cc}}
			r := l.run(d)
			l.size = 200_000
			page := l.run(d)
			mean := rate.Rate(0, d)
			fmt.Fprintf(w, "| %s | %.1f Mbit/s | %s | %.0f %% | %v | %v | %.2f s |\n", t.names[i], mean/1e6, cc.name,
				100*r.goodput(0)/mean, r.queued(0.5), r.queued(0.95), page.took.Seconds())
		}
	}
}

// queued returns a quantile of what the queue added to the round trip.
func (r *result) queued(q float64) time.Duration {
	var all []time.Duration
	for _, s := range r.samples {
		if s.rtt > 0 {
			all = append(all, max(s.rtt-r.rtt, 0))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))].Round(time.Millisecond)
}
