package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
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
	const width, row, left, bar = 720, 30, 80, 240
	var b bytes.Buffer
	height := 50 + row*len(results)
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"14\">\n", width, height)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height)
	columns := []struct {
		title, unit, color string
		value              func(r *result) float64
	}{
		{"CPU a request (less is better)", "µs", "#c05020", func(r *result) float64 { return float64(r.cpuEach()) / 1e3 }},
		{"requests a second (more is better)", "", "#2060a0", (*result).perSecond},
	}
	for i, c := range columns {
		x := left + i*(bar+80)
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"24\">%s</text>\n", x, c.title)
		most := 1e-9
		for _, r := range results {
			most = max(most, c.value(r))
		}
		for j, r := range results {
			y := 40 + j*row
			length := c.value(r) / most * bar
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x, y, length, row-8, c.color)
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\">%.0f %s</text>\n", float64(x)+length+6, y+16, c.value(r), c.unit)
		}
	}
	for j, r := range results {
		fmt.Fprintf(&b, "<text x=\"8\" y=\"%d\">%s</text>\n", 56+j*row, r.name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
