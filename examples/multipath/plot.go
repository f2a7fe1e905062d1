package main

import (
	"bytes"
	"fmt"
	"time"
)

// Sizes of the plot, in pixels.
const (
	plotWidth, plotHeight = 720.0, 300.0
	plotMargin            = 40.0
)

// plot draws the rate of each path over the time, as SVG.
func plot(samples []sample, length time.Duration) []byte {
	top := 1.0
	for _, s := range samples {
		top = max(top, s.rates[0], s.rates[1])
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="white"/>`+"\n", plotWidth, plotHeight)
	for i, series := range [2]struct{ name, colour string }{{"wifi", "#1f77b4"}, {"mobile", "#d62728"}} {
		fmt.Fprintf(&b, `<polyline fill="none" stroke-width="2" stroke="%s" points="`, series.colour)
		for _, s := range samples {
			x := plotMargin + (plotWidth-2*plotMargin)*float64(s.at)/float64(length)
			y := plotHeight - plotMargin - (plotHeight-2*plotMargin)*s.rates[i]/top
			fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
		}
		fmt.Fprintf(&b, "\"/>\n"+`<text x="%g" y="20" fill="%s">%s</text>`+"\n", plotMargin+80*float64(i), series.colour, series.name)
	}
	fmt.Fprintf(&b, `<path d="M%g %gV%gH%g" fill="none" stroke="black"/>`+"\n",
		plotMargin, plotMargin, plotHeight-plotMargin, plotWidth-plotMargin)
	fmt.Fprintf(&b, `<text x="4" y="%g">%.0f</text><text x="%g" y="20">Mbit/s</text>`+"\n", plotMargin+4, top, plotWidth-2*plotMargin)
	fmt.Fprintf(&b, `<text x="%g" y="%g">%v</text>`+"\n</svg>\n", plotWidth-2*plotMargin, plotHeight-plotMargin/2, length)
	return b.Bytes()
}
