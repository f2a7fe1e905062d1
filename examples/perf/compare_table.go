package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A table holds the results of a test.
type table struct {
	test *test
	rows []row
}

// A row holds the results of a contender.
type row struct {
	name    string
	results []result
	dropped int // runs that failed or were not alone
}

// median returns the median of f over the results, or NaN if there are none.
func (r *row) median(f func(*result) float64) float64 {
	var v []float64
	for i := range r.results {
		if x := f(&r.results[i]); !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	return median(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// ratio returns the median over rounds of f of first divided by f of r.
func (r *row) ratio(first *row, f func(*result) float64) float64 {
	var v []float64
	for i := range r.results {
		for j := range first.results {
			if a, b := &first.results[j], &r.results[i]; a.round == b.round && f(b) > 0 {
				v = append(v, f(a)/f(b))
			}
		}
	}
	return median(v)
}

// markdown returns the table. A ratio is the value of the first row divided by that of this row.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n| |", t.test.title)
	line := "|---|"
	for _, m := range t.test.metrics {
		fmt.Fprintf(&b, " %s |", m.name)
		line += "---|"
		if m.ratio {
			fmt.Fprintf(&b, " %s / this |", t.rows[0].name)
			line += "---|"
		}
	}
	b.WriteString(" runs |\n" + line + "---|\n")
	for i := range t.rows {
		r := &t.rows[i]
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, m := range t.test.metrics {
			fmt.Fprintf(&b, " %s |", cell(m.format, r.median(m.value)))
			if m.ratio {
				fmt.Fprintf(&b, " %s |", cell("%.2f", r.ratio(&t.rows[0], m.value)))
			}
		}
		fmt.Fprintf(&b, " %d of %d |\n", len(r.results), len(r.results)+r.dropped)
	}
	return b.String()
}

func cell(format string, v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// Measures of the chart in pixels.
const (
	barHeight, barGap, labelWidth, barWidth, valueWidth = 16, 4, 120, 440, 100
	titleHeight                                         = 30
)

// chart draws the first metric of each table as bars, in SVG.
func chart(tables []*table) string {
	var b strings.Builder
	y := barGap
	for _, t := range tables {
		most := 0.
		m := t.test.metrics[0]
		for i := range t.rows {
			if v := t.rows[i].median(m.value); v > most {
				most = v
			}
		}
		y += titleHeight
		fmt.Fprintf(&b, "<text x=\"0\" y=\"%d\" font-weight=\"bold\">%s: %s</text>\n", y-8, html.EscapeString(t.test.title), html.EscapeString(m.name))
		for i := range t.rows {
			v := t.rows[i].median(m.value)
			if math.IsNaN(v) || v == 0 { // the program does not report it
				continue
			}
			color := "#9ab"
			if strings.HasPrefix(t.rows[i].name, "lazo") {
				color = "#c52"
			}
			fmt.Fprintf(&b, "<text x=\"0\" y=\"%d\">%s</text>", y+13, html.EscapeString(t.rows[i].name))
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\" fill=\"%s\"/>", labelWidth, y, v/most*barWidth, barHeight, color)
			fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%d\">%s</text>\n", labelWidth+v/most*barWidth+6, y+13, cell(m.format, v))
			y += barHeight + barGap
		}
	}
	const width = labelWidth + barWidth + valueWidth
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"+
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n%s</svg>\n", width, y+barGap, b.String())
}

// clockTick is the unit of /proc/stat: a hundredth of a second on all Linux systems of today.
const clockTick = 0.01

// busyTime returns the CPU seconds that all programs have used since the system started, or 0 where
// the system does not tell.
func busyTime() (seconds float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, iowait, guest
			continue
		}
		n, _ := strconv.ParseFloat(f, 64)
		seconds += n * clockTick
	}
	return seconds
}
