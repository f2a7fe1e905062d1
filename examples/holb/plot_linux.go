package main

import (
	"fmt"
	"strings"
	"time"
)

// Sizes of the plot in pixels.
const (
	plotWidth   = 900
	leftMargin  = 55
	topMargin   = 78
	panelWidth  = 375
	panelHeight = 190
	gapWidth    = 70
	gapHeight   = 60
)

// plot draws how many of the small resources have come over time, a panel for each page and
// controller.
func plot(rows []*row) string {
	b := &strings.Builder{}
	height := topMargin + len(controllers)*(panelHeight+gapHeight) - 20
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`+"\n",
		plotWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="20" font-size="15" font-weight="600">Small resources that have come</text>`+"\n", leftMargin)
	legend(b)
	for column, pg := range pages {
		for line, cc := range controllers {
			var of []*row
			for _, r := range rows {
				if r.cc.name == cc.name && r.page.name == pg.name {
					of = append(of, r)
				}
			}
			p := panel{x: leftMargin + column*(panelWidth+gapWidth), y: topMargin + line*(panelHeight+gapHeight)}
			p.draw(b, cc.name+", "+pg.name, of)
		}
	}
	fmt.Fprintln(b, "</svg>")
	return b.String()
}

// colors of protocols.
var colors = [len(protocols)]string{"#1f6feb", "#1a7f37", "#d1242f", "#bf8700"}

func legend(b *strings.Builder) {
	x := leftMargin
	for i, p := range protocols {
		fmt.Fprintf(b, `<line x1="%d" y1="37" x2="%d" y2="37" stroke="%s" stroke-width="2.5"/><text x="%d" y="41">%s</text>`+"\n",
			x, x+24, colors[i], x+30, p.name)
		x += 60 + 7*len(p.name)
	}
	fmt.Fprintf(b, `<text x="%d" y="41" fill="#555">solid: %g %% loss, dashed: none</text>`+"\n", x+20, 100*loss)
}

// A panel is one of the plots in the plot.
type panel struct {
	x, y int // its upper left corner
	step time.Duration
	end  time.Duration
}

// scale chooses step and end for times up to last.
func (p *panel) scale(last time.Duration) {
	p.step = 50 * time.Millisecond
	for double := true; last/p.step >= 8; double = !double { // 0.05, 0.1, 0.5, 1, 5...
		if p.step *= 2; !double {
			p.step = p.step / 2 * 5
		}
	}
	p.end = (last/p.step + 1) * p.step
}

func (p *panel) px(d time.Duration) float64 {
	return float64(p.x) + panelWidth*float64(d)/float64(p.end)
}

func (p *panel) py(part float64) float64 { return float64(p.y+panelHeight) - panelHeight*part }

func (p *panel) draw(b *strings.Builder, name string, rows []*row) {
	var last time.Duration
	for _, r := range rows {
		last = max(last, r.small[len(r.small)-1])
	}
	p.scale(last)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", p.x, p.y-7, name)
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%.0f %%</text>`+"\n",
			p.x, p.py(part), p.x+panelWidth, p.py(part), p.x-6, p.py(part)+4, 100*part)
	}
	for d := time.Duration(0); d <= p.end; d += p.step {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#eee"/><text x="%.1f" y="%d" text-anchor="middle" fill="#555">%g s</text>`+"\n",
			p.px(d), p.y, p.px(d), p.y+panelHeight, p.px(d), p.y+panelHeight+17, d.Seconds())
	}
	for _, r := range rows {
		style := `stroke-width="2"`
		if r.loss == 0 {
			style = `stroke-width="1.3" stroke-dasharray="4 3"`
		}
		n := len(r.small)
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" %s points="%.1f,%.1f`, colors[r.protocol], style, p.px(0), p.py(0))
		for i := 0; i < n; i += max(n/150, 1) {
			fmt.Fprintf(b, " %.1f,%.1f", p.px(r.small[i]), p.py(float64(i)/float64(n)))
		}
		fmt.Fprintf(b, ` %.1f,%.1f %.1f,%.1f"/>`+"\n", p.px(r.small[n-1]), p.py(1), p.px(p.end), p.py(1))
	}
}
