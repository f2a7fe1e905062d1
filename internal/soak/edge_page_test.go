package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// write writes the page and its plot into the directory.
func (r *record) write(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "soak.svg"), []byte(r.plot()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "soak.md"), []byte(r.page()), 0o644)
}

const pageHead = `# Soak

Forty clients send requests to an edge for %v. The edge is [` + "`examples/edge`" + `](edge.md), in a process of its own, in front of three
backends in processes of their own: two speak HTTP/1.1, one HTTP/3. The clients speak HTTP/3 over loopback. Two of them, 5 %%, are
hostile: they send garbage, leave handshakes half done, break the rules of HTTP/3, reset streams, read nothing, send bodies slowly,
send fields that are too long, and ask for forbidden tunnels.

Nothing that an honest client did failed, and every byte was the right one: the test ends at the first that is not. Before the run
the same clients came for a minute at most, so that what the runtime and the pools keep for good was there. "Before" and "after"
are of moments without clients, after garbage collections.

The run that this page describes has written it, but for notes on the machine:

    LAZO_SOAK_EDGE=%[1]v LAZO_SOAK_PAGE=$PWD/docs go test -count=1 -v -timeout=90m -run '^TestEdge$' ./internal/soak

`

const pageTimes = `
## How long requests took

Ten more clients are the reference. They send the same requests as ten of the forty, up to 2 kB from the servers that speak
HTTP/1.1, through the same edge and at the same time, but over HTTP/2 on TCP: nothing of that passes through QUIC. What other work of
the machine does to one it does to the other as well. So the ratio of both tells whether requests become slower in the course of a run.

| sixth | HTTP/3: p50 | p99 | HTTP/2: p50 | p99 | ratio of p99 |
| ---: | ---: | ---: | ---: | ---: | ---: |
`

const pageRatio = `
Sample by sample the p99 of HTTP/3 is %.2f times that of HTTP/2 in the median, and between %.2f and %.2f times in half of the samples. The
median of the first half of the run is %.2f, and that of the second half %.2f.

![what the edge held, and how long requests took](soak.svg)
`

const pageHeap = `
## What the heap holds

These functions allocated what the heap holds after the run and did not hold before, in so far as its profile, a sample, tells. Both times the
garbage was collected several times, which empties pools of the runtime, but not what Lazo keeps for reuse: buffers of streams, at most 8 MiB
for each loop (` + "`stream.(*Pool).get`" + `), and lists of such buffers, at most 1.5 MiB (` + "`slices.Insert`" + `). How many of them there are follows from the
busiest moments so far, of which an hour has more than the minute before it.

Columns are as ` + "`go tool pprof -top -diff_base`" + ` prints them:

`

func (r *record) page() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, pageHead, r.lasts)
	fmt.Fprint(b, "| the edge holds | before | most | after |\n| --- | ---: | ---: | ---: |\n")
	for _, row := range []struct {
		name  string
		unit  float64
		value func(h holding) float64
	}{
		{"goroutines", 1, func(h holding) float64 { return h.goroutines }},
		{"MiB of heap in use", 1 << 20, func(h holding) float64 { return h.heap }},
		{"descriptors", 1, func(h holding) float64 { return h.descriptors }},
		{"QUIC connections", 1, func(h holding) float64 { return h.connections }},
	} {
		most := 0.0
		for _, s := range r.samples {
			most = max(most, row.value(s.holds))
		}
		fmt.Fprintf(b, "| %s | %.4g | %.4g | %.4g |\n", row.name, row.value(r.before)/row.unit, most/row.unit, row.value(r.after)/row.unit)
	}
	fmt.Fprint(b, "\n| what clients did | clients | times |\n| --- | ---: | ---: |\n")
	for _, k := range r.kinds {
		fmt.Fprintf(b, "| %s | %d | %d |\n", k.name, k.clients, k.done.Load())
	}
	r.writeTimes(b)
	fmt.Fprint(b, pageHeap)
	for row := range strings.Lines(r.growth) {
		fmt.Fprint(b, "    "+row)
	}
	return b.String()
}

// writeTimes writes how long requests took.
func (r *record) writeTimes(b *strings.Builder) {
	fmt.Fprint(b, pageTimes)
	for i := range 6 {
		ours := pooled(r.part(i, 6), func(s sample) durations { return s.ours })
		tcp := pooled(r.part(i, 6), func(s sample) durations { return s.overTCP })
		fmt.Fprintf(b, "| %d | %v | %v | %v | %v | %.2f |\n", i+1, round(quantile(ours, 0.5)), round(quantile(ours, 0.99)),
			round(quantile(tcp, 0.5)), round(quantile(tcp, 0.99)), float64(quantile(ours, 0.99))/float64(quantile(tcp, 0.99)))
	}
	all, first, second := ratios(r.samples), ratios(r.part(0, 2)), ratios(r.part(1, 2))
	fmt.Fprintf(b, pageRatio, quantile(all, 0.5), quantile(all, 0.25), quantile(all, 0.75), quantile(first, 0.5), quantile(second, 0.5))
}

// round rounds for people.
func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// Sizes of the plot in pixels.
const (
	plotWidth   = 760
	panelHeight = 100
	panelGap    = 42
	leftMargin  = 70
	topMargin   = 40
)

// A panel is a plot of values over time, a line for each.
type panel struct {
	name   string
	values []func(s sample) float64
}

// colours are those of the lines of a panel.
var colours = []string{"#1f6feb", "#d1570a"}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// quantiles are those of HTTP/3 and of HTTP/2.
func quantiles(p float64) []func(s sample) float64 {
	return []func(s sample) float64{
		func(s sample) float64 { return milliseconds(quantile(s.ours, p)) },
		func(s sample) float64 { return milliseconds(quantile(s.overTCP, p)) },
	}
}

// plot draws a panel for each of what was sampled.
func (r *record) plot() string {
	one := func(value func(s sample) float64) []func(s sample) float64 { return []func(s sample) float64{value} }
	panels := []panel{
		{"p99 of requests, ms: HTTP/3 blue, HTTP/2 on TCP orange", quantiles(0.99)},
		{"p99 of HTTP/3, divided by p99 of HTTP/2", one(func(s sample) float64 { return s.ratio() })},
		{"p50 of requests, ms: HTTP/3 blue, HTTP/2 on TCP orange", quantiles(0.5)},
		{"requests a second over HTTP/3", one(func(s sample) float64 { return s.rate })},
		{"goroutines", one(func(s sample) float64 { return s.holds.goroutines })},
		{"live heap, MiB", one(func(s sample) float64 { return s.holds.heap / (1 << 20) })},
		{"descriptors", one(func(s sample) float64 { return s.holds.descriptors })},
		{"QUIC connections", one(func(s sample) float64 { return s.holds.connections })},
	}
	b := &strings.Builder{}
	height := topMargin + len(panels)*(panelHeight+panelGap)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="22" font-size="15" font-weight="600">The edge for %v, with 40 clients, and 10 over TCP</text>`+"\n", leftMargin, r.lasts)
	for i, p := range panels {
		r.draw(b, topMargin+i*(panelHeight+panelGap), p)
	}
	fmt.Fprintln(b, "</svg>")
	return b.String()
}

// draw draws one panel.
func (r *record) draw(b *strings.Builder, y int, p panel) {
	top, end := 1e-9, time.Second
	for _, s := range r.samples {
		end = max(end, s.at)
		for _, value := range p.values {
			top = max(top, value(s))
		}
	}
	const width = plotWidth - leftMargin - 20
	px := func(at time.Duration) float64 { return leftMargin + width*float64(at)/float64(end) }
	py := func(v float64) float64 { return float64(y+panelHeight) - panelHeight*v/top }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", leftMargin, y-6, p.name)
	for _, v := range []float64{0, top / 2, top} {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%.3g</text>`+"\n",
			leftMargin, py(v), leftMargin+width, py(v), leftMargin-8, py(v)+4, v)
	}
	for i := range 7 {
		at := end * time.Duration(i) / 6
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%v</text>`+"\n", px(at), y+panelHeight+16, at.Round(time.Second))
	}
	for i, value := range p.values {
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, colours[i])
		for _, s := range r.samples {
			fmt.Fprintf(b, "%.1f,%.1f ", px(s.at), py(value(s)))
		}
		fmt.Fprintln(b, `"/>`)
	}
}
