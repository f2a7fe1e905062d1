package main

import (
	"fmt"
	"io"
	"time"

	"github.com/lazoquic/lazo/internal/interop/internal/compare"
)

// A result is what a proxy has done with a load in all its turns.
type result struct {
	proxy string
	load  *load
	tally
	took, cpu time.Duration
}

// datagrams returns how many the proxy has passed on, in both directions. Of those that were lost
// nobody knows whether the proxy had them, so they count as not passed on.
func (r *result) datagrams() int { return 2 * r.back }

func (r *result) perSecond() float64 { return float64(r.datagrams()) / r.took.Seconds() }

// cpuEach returns the processor time for a datagram in nanoseconds.
func (r *result) cpuEach() float64 { return float64(r.cpu) / float64(max(r.datagrams(), 1)) }

// busy returns which part of its processor the proxy has used, in percent.
func (r *result) busy() float64 { return 100 * float64(r.cpu) / float64(r.took) }

// lost returns which part of what clients sent did not come back, in percent.
func (r *result) lost() float64 { return 100 * (1 - float64(r.back)/float64(max(r.sent, 1))) }

// measure lets the proxies take turns.
func measure(o *options) (results []*result, err error) {
	s, err := newSite(o.envoy)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, l := range loads() {
		var row []*result
		for _, p := range s.proxies {
			row = append(row, &result{proxy: p.name, load: &l})
			if _, _, err := l.turn(p.addr, o.size, o.time/4); err != nil { // warms up
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		for range o.rounds {
			for i, p := range s.proxies {
				if err := row[i].turn(p, o); err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
			}
		}
		results = append(results, row...)
	}
	return results, nil
}

// turn gives a proxy one turn.
func (r *result) turn(p *proxy, o *options) error {
	before, err := p.CPU()
	if err != nil {
		return err
	}
	t, took, err := r.load.turn(p.addr, o.size, o.time)
	if err != nil {
		return err
	}
	after, err := p.CPU()
	if err != nil {
		return err
	}
	r.sent, r.back, r.took, r.cpu = r.sent+t.sent, r.back+t.back, r.took+took, r.cpu+after-before
	return nil
}

// writeTable writes the results as Markdown.
func writeTable(w io.Writer, o *options, results []*result) {
	fmt.Fprintf(w, "%d rounds of %v, %d bytes a datagram\n\n", o.rounds, o.time, o.size)
	fmt.Fprintln(w, "| load | proxy | datagrams/s | CPU a datagram | its processor | lost |")
	fmt.Fprintln(w, "| --- | --- | ---: | ---: | ---: | ---: |")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %s | %.0f | %.0f ns | %.0f %% busy | %.2f %% |\n",
			r.load.name, r.proxy, r.perSecond(), r.cpuEach(), r.busy(), r.lost())
	}
}

// plot draws the results as an SVG.
func plot(results []*result) []byte {
	c := compare.Chart{Left: 260, Columns: []compare.Column{
		{Title: "CPU a datagram (less is better)", Format: "%.0f ns", Color: "#c05020"},
		{Title: "datagrams a second (more is better)", Format: "%.0f", Color: "#2060a0"},
	}}
	for _, r := range results {
		c.Rows = append(c.Rows, r.proxy+": "+r.load.name)
		c.Columns[0].Values = append(c.Columns[0].Values, r.cpuEach())
		c.Columns[1].Values = append(c.Columns[1].Values, r.perSecond())
	}
	return c.SVG()
}
