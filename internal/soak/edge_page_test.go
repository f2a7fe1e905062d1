package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
are of moments without clients.

The run that this page describes has written it, but for notes on the machine:

    LAZO_SOAK_EDGE=%[1]v LAZO_SOAK_PAGE=$PWD/docs go test -count=1 -v -timeout=90m -run '^TestEdge$' ./internal/soak

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
	fmt.Fprint(b, "\nThe time that a request of up to 2 kB took, by sixths of the run: the median of its samples.\n\n")
	fmt.Fprint(b, "| sixth | p50 | p99 |\n| ---: | ---: | ---: |\n")
	for i := range 6 {
		part := r.sixth(i)
		fmt.Fprintf(b, "| %d | %v | %v |\n", i+1,
			median(part, func(s sample) time.Duration { return s.p50 }), median(part, func(s sample) time.Duration { return s.p99 }))
	}
	fmt.Fprint(b, "\n![what the edge held, and how long requests took](soak.svg)\n")
	return b.String()
}

// median returns a duration that is rounded for people.
func median(of []sample, value func(sample) time.Duration) time.Duration {
	var all []time.Duration
	for _, s := range of {
		all = append(all, value(s))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2].Round(10 * time.Microsecond)
}

// Sizes of the plot in pixels.
const (
	plotWidth   = 760
	panelHeight = 100
	panelGap    = 42
	leftMargin  = 70
	topMargin   = 40
)

// plot draws a panel for each of what was sampled.
func (r *record) plot() string {
	panels := []struct {
		name  string
		value func(s sample) float64
	}{
		{"p99 of requests, ms", func(s sample) float64 { return s.p99.Seconds() * 1000 }},
		{"p50 of requests, ms", func(s sample) float64 { return s.p50.Seconds() * 1000 }},
		{"requests a second", func(s sample) float64 { return s.rate }},
		{"goroutines", func(s sample) float64 { return s.holds.goroutines }},
		{"heap in use, MiB", func(s sample) float64 { return s.holds.heap / (1 << 20) }},
		{"descriptors", func(s sample) float64 { return s.holds.descriptors }},
		{"QUIC connections", func(s sample) float64 { return s.holds.connections }},
	}
	b := &strings.Builder{}
	height := topMargin + len(panels)*(panelHeight+panelGap)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="22" font-size="15" font-weight="600">The edge for %v, with 40 clients</text>`+"\n", leftMargin, r.lasts)
	for i, p := range panels {
		r.panel(b, topMargin+i*(panelHeight+panelGap), p.name, p.value)
	}
	fmt.Fprintln(b, "</svg>")
	return b.String()
}

// panel draws one value over time.
func (r *record) panel(b *strings.Builder, y int, name string, value func(s sample) float64) {
	top, end := 1e-9, time.Second
	for _, s := range r.samples {
		top, end = max(top, value(s)), max(end, s.at)
	}
	const width = plotWidth - leftMargin - 20
	px := func(at time.Duration) float64 { return leftMargin + width*float64(at)/float64(end) }
	py := func(v float64) float64 { return float64(y+panelHeight) - panelHeight*v/top }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", leftMargin, y-6, name)
	for _, v := range []float64{0, top / 2, top} {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%.3g</text>`+"\n",
			leftMargin, py(v), leftMargin+width, py(v), leftMargin-8, py(v)+4, v)
	}
	for i := range 7 {
		at := end * time.Duration(i) / 6
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%v</text>`+"\n", px(at), y+panelHeight+16, at.Round(time.Second))
	}
	fmt.Fprint(b, `<polyline fill="none" stroke="#1f6feb" stroke-width="1.5" points="`)
	for _, s := range r.samples {
		fmt.Fprintf(b, "%.1f,%.1f ", px(s.at), py(value(s)))
	}
	fmt.Fprintln(b, `"/>`)
}
