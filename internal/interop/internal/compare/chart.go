package compare

import (
	"bytes"
	"fmt"
)

// A Chart has a row for each thing that was measured, and a bar for each of its values.
type Chart struct {
	Rows    []string
	Columns []Column
	Left    int // room for the names of rows, in pixels
}

// A Column is one quantity, with a value for each row.
type Column struct {
	Title  string
	Format string // of a value, for fmt
	Color  string
	Values []float64
}

// SVG draws the chart.
func (c *Chart) SVG() []byte {
	const row, bar, gap = 30, 240, 100
	var b bytes.Buffer
	width, height := c.Left+len(c.Columns)*(bar+gap), 50+row*len(c.Rows)
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"14\">\n", width, height)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height)
	for i, col := range c.Columns {
		x := c.Left + i*(bar+gap)
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"24\">%s</text>\n", x, col.Title)
		most := 1e-9
		for _, v := range col.Values {
			most = max(most, v)
		}
		for j, v := range col.Values {
			y, length := 40+j*row, v/most*bar
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x, y, length, row-8, col.Color)
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\">"+col.Format+"</text>\n", float64(x)+length+6, y+16, v)
		}
	}
	for j, name := range c.Rows {
		fmt.Fprintf(&b, "<text x=\"8\" y=\"%d\">%s</text>\n", 56+j*row, name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
