package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// speedChart is the picture of the README: the bars of some tables of BENCHMARKS.md.
const (
	speedChart = "../../docs/speed.svg"
	benchmarks = "../../BENCHMARKS.md"
)

// TestSpeedChart draws the picture from the figures of the page, and fails if the committed one
// differs. LAZO_CHART=write writes it instead.
func TestSpeedChart(t *testing.T) {
	page, err := os.ReadFile(benchmarks)
	require.NoError(t, err)
	var tables []*table
	for _, title := range []string{"Download, one stream", "Requests, 64 at a time", "Datagrams of 1,200 bytes"} {
		tables = append(tables, firstColumn(t, string(page), title))
	}
	want := chart(tables)
	if os.Getenv("LAZO_CHART") == "write" {
		require.NoError(t, os.WriteFile(speedChart, []byte(want), 0o644))
	}
	got, err := os.ReadFile(speedChart)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// firstColumn reads the first column of figures of a table of the page.
func firstColumn(t *testing.T, page, title string) *table {
	t.Helper()
	_, rest, ok := strings.Cut(page, "### "+title+"\n")
	require.True(t, ok, title)
	figure := func(r *result) float64 { return r.client.number("figure") }
	tab := &table{test: &test{title: title, metrics: []metric{{format: "%.0f", value: figure}}}}
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "#") {
			break
		}
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		name, value := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		if name == "" { // the head
			tab.test.metrics[0].name = value
			continue
		}
		if strings.Contains(value, ".") {
			tab.test.metrics[0].format = "%.1f"
		}
		v, err := strconv.ParseFloat(value, 64)
		require.NoError(t, err)
		tab.rows = append(tab.rows, row{name: name, results: []result{{client: report{"figure": v}}}})
	}
	require.True(t, slices.ContainsFunc(tab.rows, func(r row) bool { return strings.HasPrefix(r.name, "lazo") }))
	return tab
}
