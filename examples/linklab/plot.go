package main

import (
	"fmt"
	"strings"
	"time"
)

// Sizes of a plot in pixels.
const (
	plotWidth  = 760
	panel      = 110
	gap        = 40
	leftMargin = 70
	topMargin  = 40
)

// plot draws window, rate and round trip over time, one panel each.
func plot(title string, samples []sample, rate float64) string {
	b := &strings.Builder{}
	height := topMargin + 3*(panel+gap)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n",
		plotWidth, height, plotWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="22" font-size="15" font-weight="600">%s</text>`+"\n", leftMargin, title)
	panels := []struct {
		name, color string
		value       func(sample) float64
		limit       float64 // drawn as a line; 0 for none
	}{
		{"window, KiB", "#1f6feb", func(s sample) float64 { return s.window / 1024 }, 0},
		{"read, Mbit/s", "#2da44e", func(s sample) float64 { return s.rate / 1e6 }, rate / 1e6},
		{"round trip, ms", "#e4572e", func(s sample) float64 { return float64(s.rtt) / float64(time.Millisecond) }, 0},
	}
	for i, p := range panels {
		y := topMargin + i*(panel+gap)
		drawPanel(b, y, p.name, p.color, samples, p.value, p.limit)
	}
	fmt.Fprintln(b, "</svg>")
	return b.String()
}

func drawPanel(b *strings.Builder, y int, name, color string, samples []sample, value func(sample) float64, limit float64) {
	top, end := limit, samples[len(samples)-1].at
	for _, s := range samples {
		top = max(top, value(s))
	}
	if top == 0 {
		top = 1
	}
	width := plotWidth - leftMargin - 20
	px := func(at time.Duration) float64 { return leftMargin + float64(width)*float64(at)/float64(end) }
	py := func(v float64) float64 { return float64(y+panel) - panel*v/top }
	for _, v := range []float64{0, top / 2, top} {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%.0f</text>`+"\n",
			leftMargin, py(v), leftMargin+width, py(v), leftMargin-8, py(v)+4, v)
	}
	for s := time.Duration(0); s <= end; s += max(end/10, time.Second).Round(time.Second) {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%.0f s</text>`+"\n", px(s), y+panel+16, s.Seconds())
	}
	if limit > 0 {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#888" stroke-dasharray="4 3"/>`+"\n", leftMargin, py(limit), leftMargin+width, py(limit))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600" fill="%s">%s</text>`+"\n", leftMargin, y-6, color, name)
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.3" points="`, color)
	for _, s := range samples {
		fmt.Fprintf(b, "%.1f,%.1f ", px(s.at), py(value(s)))
	}
	fmt.Fprintln(b, `"/>`)
}
