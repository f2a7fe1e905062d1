package main

import (
	"fmt"
	"io"
	"time"

	"github.com/lazoquic/lazo/internal/interop/internal/compare"
)

// writeTable writes the results as Markdown.
func writeTable(w io.Writer, o *options, results []*result) {
	fmt.Fprintf(w, "%d rounds of %v, %d connections with %d requests each, %d bytes a response\n\n",
		o.rounds, o.time, o.clients, o.streams, o.size)
	fmt.Fprintln(w, "| server | requests/s | CPU a request | p50 | p99 |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: |")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.0f | %.1f µs | %s | %s |\n", r.name, r.perSecond(),
			float64(r.cpuEach())/1e3, milliseconds(r.quantile(0.5)), milliseconds(r.quantile(0.99)))
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

// plot draws the processor time of a request, and the requests a second, as an SVG.
func plot(results []*result) []byte {
	c := compare.Chart{Left: 80, Columns: []compare.Column{
		{Title: "CPU a request (less is better)", Format: "%.0f µs", Color: "#c05020"},
		{Title: "requests a second (more is better)", Format: "%.0f", Color: "#2060a0"},
	}}
	for _, r := range results {
		c.Rows = append(c.Rows, r.name)
		c.Columns[0].Values = append(c.Columns[0].Values, float64(r.cpuEach())/1e3)
		c.Columns[1].Values = append(c.Columns[1].Values, r.perSecond())
	}
	return c.SVG()
}
