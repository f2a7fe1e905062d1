package main

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// figures are a table, and the bars that show it.
type figures struct {
	title  string
	head   []string
	rows   [][]string
	groups []group
}

// A group is bars that share a heading.
type group struct {
	name string
	bars []bar
}

// A bar is one figure, and how it is written.
type bar struct {
	name  string
	value float64
	text  string
}

// markdown returns the table.
func (f *figures) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(f.head)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(f.head)))
	for _, r := range f.rows {
		line(r)
	}
	return b.String()
}

// Measures of the chart in pixels.
const (
	barHeight, barGap, labelWidth, barWidth, valueWidth = 14, 4, 220, 420, 110
	groupGap                                            = 28
	chartTop                                            = 20
)

// chart draws the bars in SVG. Bars of HTTP/3 have a colour of their own.
func (f *figures) chart() string {
	most := 0.
	for _, g := range f.groups {
		for _, x := range g.bars {
			most = max(most, x.value)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<text x="0" y="%d" font-size="15" font-weight="600">%s</text>`+"\n", chartTop, html.EscapeString(f.title))
	y := chartTop
	for _, g := range f.groups {
		y += groupGap
		fmt.Fprintf(&b, `<text x="0" y="%d" font-weight="600">%s</text>`+"\n", y, html.EscapeString(g.name))
		y += 7
		for _, x := range g.bars {
			color := "#9ab"
			if strings.HasPrefix(x.name, "HTTP/3") {
				color = "#c52"
			}
			width := barWidth * x.value / cmp.Or(most, 1)
			fmt.Fprintf(&b, `<text x="0" y="%d">%s</text>`, y+11, html.EscapeString(x.name))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/>`, labelWidth, y, width, barHeight, color)
			fmt.Fprintf(&b, `<text x="%.0f" y="%d">%s</text>`+"\n", labelWidth+width+6, y+11, html.EscapeString(x.text))
			y += barHeight + barGap
		}
	}
	const width = labelWidth + barWidth + valueWidth
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`+
		"\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n%s</svg>\n", width, y+10, b.String())
}

// median returns the upper median. It sorts v, which must not be empty.
func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
