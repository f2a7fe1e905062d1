package carriers

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
)

// Table returns the results as a table in Markdown.
func Table(cfg Config, results []Result) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "A path with a round trip of %v loses %.3g %% of the packets in each direction. A snapshot each %v, for %v.\n\n",
		2*cfg.Link.Delay, 100*cfg.Link.Loss, world.Tick.Round(time.Millisecond), cfg.For)
	fmt.Fprintf(b, "| carried by | p50 | p99 | p99.9 |\n| --- | --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", r.Name, ms(r.Ages.Quantile(0.5)), ms(r.Ages.Quantile(0.99)), ms(r.Ages.Quantile(0.999)))
	}
	return b.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// Sizes of the plot, in pixels.
const (
	plotWidth   = 760
	plotHeight  = 360
	plotLeft    = 70
	plotTop     = 70
	panelWidth  = plotWidth - plotLeft - 30
	panelHeight = plotHeight - plotTop - 50
)

// decades is how far down the plot goes: to the ten-thousandth part of the time.
const decades = 4

// colors of the carriers.
var colors = [...]string{"#1a7f37", "#1f6feb", "#d1242f"}

// Plot draws in which part of the time positions are older than what, as SVG.
func Plot(cfg Config, results []Result) string {
	p := plot{end: 100 * time.Millisecond}
	for _, r := range results {
		for p.end < r.Ages.Quantile(1-math.Pow(10, -decades)) {
			p.end += 100 * time.Millisecond
		}
	}
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`+"\n",
		plotWidth, plotHeight)
	fmt.Fprintf(&p.b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="22" font-size="15" font-weight="600">`+
		"How much of the time the newest position is older: %v round trip, %.3g %% loss</text>\n", plotLeft, 2*cfg.Link.Delay, 100*cfg.Link.Loss)
	p.axes()
	bound := 2*cfg.Link.Delay + world.Tick
	fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%d" x2="%[1]f" y2="%[3]d" stroke="#888" stroke-dasharray="4 3"/>`+"\n", p.x(bound), plotTop, plotTop+panelHeight)
	fmt.Fprintf(&p.b, `<text x="%.1f" y="%d" fill="#555">a round trip and a tick</text>`+"\n", p.x(bound)+4, plotTop+12)
	x := plotLeft
	for i, r := range results {
		fmt.Fprintf(&p.b, `<line x1="%d" y1="44" x2="%d" y2="44" stroke="%s" stroke-width="2.5"/><text x="%d" y="48">%s</text>`+"\n",
			x, x+24, colors[i], x+30, r.Name)
		x += 60 + 7*len(r.Name)
		p.curve(colors[i], r.Ages)
	}
	fmt.Fprintln(&p.b, "</svg>")
	return p.b.String()
}

// A plot is one that is being drawn.
type plot struct {
	b   strings.Builder
	end time.Duration // of the axis
}

func (p *plot) x(age time.Duration) float64 {
	return plotLeft + panelWidth*float64(min(age, p.end))/float64(p.end)
}

// y is where a part of the time is, on a logarithmic scale.
func (p *plot) y(part float64) float64 {
	return plotTop + panelHeight*min(-math.Log10(part)/decades, 1)
}

func (p *plot) axes() {
	for d := range decades + 1 {
		part := math.Pow(10, -float64(d))
		fmt.Fprintf(&p.b, `<line x1="%d" y1="%.1f" x2="%d" y2="%[2]f" stroke="#ddd"/><text x="%[4]d" y="%.1f" text-anchor="end" fill="#555">%g %%</text>`+"\n",
			plotLeft, p.y(part), plotLeft+panelWidth, plotLeft-8, p.y(part)+4, 100*part)
	}
	step := 50 * time.Millisecond
	for p.end/step > 12 {
		step *= 2
	}
	for age := time.Duration(0); age <= p.end; age += step {
		fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%d" x2="%[1]f" y2="%[3]d" stroke="#eee"/><text x="%[1]f" y="%[4]d" text-anchor="middle" fill="#555">%[5]d ms</text>`+"\n",
			p.x(age), plotTop, plotTop+panelHeight, plotTop+panelHeight+17, age.Milliseconds())
	}
}

// curve draws the ages of a carrier.
func (p *plot) curve(color string, ages *world.Ages) {
	const points = 240
	fmt.Fprintf(&p.b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, color)
	for i := range points + 1 {
		part := math.Pow(10, -decades*float64(i)/points)
		fmt.Fprintf(&p.b, "%.1f,%.1f ", p.x(ages.Quantile(1-part)), p.y(part))
	}
	fmt.Fprintln(&p.b, `"/>`)
}
