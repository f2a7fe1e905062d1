package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// The parts of the page. The script and the style stand inside it, and its policy lets a browser
// load nothing else.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Ways to align traces.
const (
	alignAuto  = "auto"
	alignClock = "clock"
	alignStart = "start"
)

// A page is the data of the page.
type page struct {
	Traces []*shownTrace `json:"traces"`
	Notes  []string      `json:"notes"`
	Align  string        `json:"align"`
	Causes []string      `json:"causes"`
}

// A shownTrace is a trace as the page has it. Times are in µs since its first event. Offset is the
// time of that event on the common axis.
type shownTrace struct {
	File    string `json:"file"`
	Title   string `json:"title"`
	Vantage string `json:"vantage"`
	Group   string `json:"group"`
	Offset  int64  `json:"offset"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`

	Counts   counts             `json:"counts"`
	Curves   map[string]encoded `json:"curves"`
	Details  []detail           `json:"details"`
	Complete bool               `json:"complete"` // Details has all packets
	Waiting  shownWaiting       `json:"waiting"`
	Streams  []*stream          `json:"streams"`
	More     int64              `json:"more"` // events of streams that are not shown
	Steps    []step             `json:"steps"`
	Marks    []step             `json:"marks"`
	MarksOut int64              `json:"marksOut"`
}

// counts are sums over the whole trace.
type counts struct {
	Events        int64 `json:"events"`
	Sent          int64 `json:"sent"`
	Received      int64 `json:"received"`
	Lost          int64 `json:"lost"`
	Dropped       int64 `json:"dropped"`
	SentBytes     int64 `json:"sentBytes"`
	ReceivedBytes int64 `json:"receivedBytes"`
	Streams       int64 `json:"streams"`
}

// A shownWaiting is a timeline.
type shownWaiting struct {
	Guessed bool               `json:"guessed"`
	Total   [numCauses]int64   `json:"total"` // µs
	Spans   [][3]int64         `json:"spans"`
	Width   int64              `json:"w"`
	Bins    [][numCauses]int64 `json:"bins"`
}

// curveNames are the names of figures on the page.
var curveNames = [numCurves]string{
	curveWindow: "window", curveInFlight: "inFlight", curveThreshold: "threshold",
	curveMinRTT: "minRTT", curveSmoothedRTT: "smoothedRTT", curveLatestRTT: "latestRTT",
}

// newPage puts the traces on one time axis.
func newPage(traces []*trace, align string, notes []string) *page {
	p := &page{Notes: notes, Align: align, Causes: causeNames[:]}
	if align == alignAuto {
		p.Align = alignStart
		if overlap(traces) {
			p.Align = alignClock
		}
	}
	first := math.Inf(1)
	for _, t := range traces {
		first = min(first, t.clock.wall())
	}
	for _, t := range traces {
		s := t.show()
		if p.Align == alignClock && first > 0 {
			s.Offset = int64(min(math.Round((t.clock.wall()-first)*1000), 1<<52))
		}
		p.Traces = append(p.Traces, s)
	}
	if p.Align == alignClock && first == 0 {
		p.Align = alignStart
		p.Notes = append(p.Notes, "all traces begin at 0, because not all of them have the time of day")
	}
	return p
}

// overlap reports whether there is a time of day that all traces have in common.
func overlap(traces []*trace) bool {
	begin, end := math.Inf(-1), math.Inf(1)
	for _, t := range traces {
		wall := t.clock.wall()
		if wall == 0 {
			return false
		}
		begin, end = max(begin, wall), min(end, wall+float64(t.last)/1000)
	}
	return begin <= end
}

// show returns what the page has of a trace.
func (t *trace) show() *shownTrace {
	l, guessed := t.waiting.end(t.last, t.drafts && strings.HasPrefix(t.title, "lazo"))
	s := &shownTrace{
		File: t.file, Title: t.title, Vantage: t.vantage, Group: t.group, From: t.from, To: t.last,
		Curves:  map[string]encoded{},
		Details: t.packets.details, Complete: t.packets.complete(),
		Waiting: shownWaiting{Guessed: guessed, Total: l.Total, Width: l.Width, Bins: l.Bins},
		More:    t.streams.more, Steps: t.steps.list, Marks: t.marks.list, MarksOut: t.marks.more,
	}
	for _, sp := range l.Spans {
		s.Waiting.Spans = append(s.Waiting.Spans, [3]int64{sp.From, sp.To, int64(sp.Cause)})
	}
	for _, st := range t.streams.rows(t.last) {
		if t.from == 0 || st.Last > t.from && (st.End < 0 || st.End > t.from) {
			s.Streams = append(s.Streams, st)
		}
	}
	ps := &t.packets
	s.Counts = counts{
		Events: t.events, Sent: ps.sent.count(), Received: ps.received.count(), Lost: ps.lost.count(), Dropped: ps.dropped,
		SentBytes: ps.sentBytes, ReceivedBytes: ps.receivedBytes, Streams: int64(len(s.Streams)),
	}
	for name, c := range map[string]*curve{"sent": &ps.sent, "received": &ps.received, "lost": &ps.lost, "acked": &ps.acked} {
		s.Curves[name] = c.encode()
	}
	for i := range t.metrics {
		s.Curves[curveNames[i]] = t.metrics[i].encode()
	}
	return s
}

// facts returns the trace in a few lines of text.
func (s *shownTrace) facts() string {
	b := &strings.Builder{}
	c := &s.Counts
	fmt.Fprintf(b, "%s: %s, %.3f s, %d packets sent, %d received, %d lost, %d streams\n",
		printable(s.File), s.Vantage, float64(s.To-s.From)/1e6, c.Sent, c.Received, c.Lost, c.Streams)
	var total int64
	for _, v := range s.Waiting.Total {
		total += v
	}
	if total == 0 {
		return b.String()
	}
	b.WriteString("  waited for:")
	for i, v := range s.Waiting.Total {
		if v > 0 {
			fmt.Fprintf(b, " %s %.1f ms (%d %%),", causeNames[i], float64(v)/1000, (100*v+total/2)/total)
		}
	}
	text := strings.TrimSuffix(b.String(), ",")
	if s.Waiting.Guessed {
		text += "; guessed from packets"
	}
	return text + "\n"
}

// printable replaces what could steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// write writes the page to a file, and returns its length. It replaces an older file only when the
// page is complete.
func (p *page) write(name string) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".qlogview-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	counted := &counter{w: f}
	if err = p.render(counted); err != nil {
		f.Close()
		return 0, err
	}
	if err = f.Chmod(0o644); err != nil {
		f.Close()
		return 0, err
	}
	if err = f.Close(); err != nil {
		return 0, err
	}
	return counted.n, os.Rename(f.Name(), name)
}

// A counter counts bytes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// render writes the page.
func (p *page) render(w io.Writer) error {
	data, err := json.Marshal(p) // it escapes "<", which could end the script
	if err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return err
	}
	return t.Execute(w, map[string]any{
		"Style": template.CSS(pageCSS), "Script": template.JS(pageJS), "Data": template.JS(data),
		"Policy": fmt.Sprintf("default-src 'none'; img-src data:; script-src '%s'; style-src '%s'", hashOf(pageJS), hashOf(pageCSS)),
	})
}

// hashOf returns the name of an inline script or style in a content security policy.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
