package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A trace is what the page shows of one side of a connection. Its size does not grow with the log.
type trace struct {
	file     string
	title    string
	vantage  string // client, server or unknown
	group    string // names the connection on both sides
	from, to int64  // µs: what is shown

	clock  clock
	events int64
	now    int64   // µs since the first event
	tuple  string  // that the event is about
	drawn  *string // the one whose figures are drawn: that of the first
	last   int64

	packets packets
	metrics [numCurves]curve
	waiting waiting
	streams streams
	steps   steps
	marks   marks
	drafts  bool // it uses the event names of the current drafts
}

// The curves of figures.
const (
	curveWindow = iota
	curveInFlight
	curveThreshold
	curveMinRTT
	curveSmoothedRTT
	curveLatestRTT
	numCurves
)

func newTrace(file string, from, to int64) *trace {
	return &trace{
		file: file, vantage: "unknown", from: from, to: to,
		waiting: newWaiting(), streams: streams{byID: map[int64]*stream{}}, steps: newSteps(),
	}
}

// record takes a record: an event or a header.
func (t *trace) record(raw []byte) error {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if e.Name == "" {
		return t.header(&e)
	}
	if e.Time == nil {
		return errors.New("the event has no time")
	}
	if err := t.clock.event(float64(*e.Time), e.TimeFormat); err != nil {
		return err
	}
	t.events++
	t.now, t.tuple = t.clock.now, clip(e.Tuple, 20)
	if t.now > t.to {
		return nil
	}
	t.last = max(t.last, t.now)
	category, name, ok := strings.Cut(e.Name, ":")
	if !ok {
		name = e.Name
	}
	t.drafts = t.drafts || category == "quic"
	return t.event(category, name, e.Data)
}

// header takes what stands before or between the events.
func (t *trace) header(e *envelope) error {
	if e.Trace == nil {
		return nil
	}
	var h header
	if err := json.Unmarshal(e.Trace, &h); err != nil {
		return err
	}
	if s := text(h.Title); s != "" {
		t.title = clip(s, 80)
	} else if s := text(h.VantagePoint.Name); s != "" {
		t.title = clip(s, 80)
	}
	switch s := text(h.VantagePoint.Type); s {
	case "client", "server":
		t.vantage = s
		t.waiting.server = s == "server"
	}
	for _, raw := range []json.RawMessage{h.CommonFields.GroupID, h.CommonFields.ODCID} {
		if s := text(raw); s != "" {
			t.group = clip(s, 64)
		}
	}
	return t.clock.reference(h.CommonFields.TimeFormat, h.CommonFields.ReferenceTime)
}

// shown reports whether events of the current time are shown.
func (t *trace) shown() bool { return t.now >= t.from }

// event takes an event. Those that the page does not show are left out.
func (t *trace) event(category, name string, data json.RawMessage) (err error) {
	switch name {
	case "packet_sent", "packet_received", "packet_dropped", "packet_lost":
		err = t.packet(name, data)
	case "recovery_metrics_updated", "metrics_updated":
		if t.drawn == nil {
			of := t.tuple
			t.drawn = &of
		}
		if t.tuple == *t.drawn {
			err = t.figures(data)
		}
	case "connection_started":
		if t.waiting.reason == causeUnknown {
			t.waiting.reason = causeApplication
		}
		t.steps.note(t.now, "connection started")
	case "parameters_set", "parameters_restored":
		err = t.params(data)
	case "frame_created", "frame_parsed":
		if category == "http3" || category == "http" {
			err = t.request(data)
		}
	default:
		err = t.state(name, data)
	}
	t.waiting.update(max(t.now, t.from))
	return err
}

// figures takes the figures of recovery.
func (t *trace) figures(data json.RawMessage) error {
	var m metricsData
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	if m.Window == nil {
		m.Window = m.WindowShort
	}
	if m.Window != nil {
		t.waiting.window = m.Window.count()
	}
	if m.InFlight != nil {
		t.waiting.inFlight = m.InFlight.count()
	}
	if !t.shown() {
		return nil
	}
	const micros = 1000 // in a millisecond
	for i, v := range [numCurves]struct {
		n     *number
		scale number
	}{
		curveWindow: {m.Window, 1}, curveInFlight: {m.InFlight, 1}, curveThreshold: {m.Threshold, 1},
		curveMinRTT: {m.MinRTT, micros}, curveSmoothedRTT: {m.SmoothedRTT, micros}, curveLatestRTT: {m.LatestRTT, micros},
	} {
		if v.n != nil && *v.n*v.scale < 1<<50 { // larger values stand for no limit
			t.metrics[i].add(t.now, (*v.n * v.scale).count())
		}
	}
	return nil
}

// params takes the limits of one side.
func (t *trace) params(data json.RawMessage) error {
	var p paramsData
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if side := p.Initiator + p.Owner; side == "remote" && p.MaxData > 0 {
		t.waiting.limits.raise(p.MaxData.count())
		t.steps.note(t.now, "limits of the peer known")
	}
	return nil
}

// request takes the fields of a request or response, which name its stream.
func (t *trace) request(data json.RawMessage) error {
	var r requestData
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	if r.StreamID == nil || r.Frame.Type != "headers" {
		return nil
	}
	var words []string
	for _, f := range r.Frame.Headers {
		switch f.Name {
		case ":method", ":path", ":status":
			words = append(words, clip(f.Value, 60))
		}
	}
	if st := t.streams.at(r.StreamID.count(), max(t.now, t.from)); st != nil && len(words) > 0 && len(st.Label) < 100 {
		st.Label = strings.TrimSpace(st.Label + " " + strings.Join(words, " "))
	}
	return nil
}

// end ends the trace.
func (t *trace) end() { t.last = max(t.last, t.from) }

// A clock turns times of a log into microseconds since its first event.
type clock struct {
	format  string
	ref     float64 // ms since 1970, or 0 if it is unknown
	begun   bool
	first   float64 // time of the first event as the log has it, in ms
	current float64 // ms since first
	now     int64   // µs since first
}

// maxTime bounds times, in ms since the first event: a year.
const maxTime = 365 * 24 * 3600 * 1000

// sinceEpoch is the least time, in ms, that is taken as a time since 1970.
const sinceEpoch = 1e11

// reference takes the times that the header tells.
func (c *clock) reference(format string, raw json.RawMessage) error {
	if format != "" {
		c.format = format
	}
	if raw == nil {
		return nil
	}
	var ms number
	if err := json.Unmarshal(raw, &ms); err == nil { // versions before 0.4
		c.ref = float64(ms)
		return nil
	}
	var ref struct {
		Wall  string `json:"wall_clock_time"`
		Epoch string
	}
	if err := json.Unmarshal(raw, &ref); err != nil {
		return err
	}
	for _, s := range []string{ref.Wall, ref.Epoch} {
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil && at.Unix() > 0 {
			c.ref = float64(at.UnixNano()) / 1e6
			return nil
		}
	}
	return nil
}

// event takes the time of an event. Events that come out of order count as simultaneous.
func (c *clock) event(ms float64, format string) error {
	if format == "" {
		format = c.format
	}
	delta := format == "delta" || format == "relative_to_previous_event"
	switch {
	case !c.begun:
		c.begun, c.first = true, ms
		return nil
	case delta:
		ms += c.current
	default:
		ms -= c.first
	}
	if ms > maxTime || ms < -maxTime {
		return fmt.Errorf("its time is %g ms after the first event", ms)
	}
	c.current = max(c.current, ms)
	c.now = int64(c.current * 1000)
	return nil
}

// wall returns the time of the first event in ms since 1970, or 0 if the log does not tell.
func (c *clock) wall() float64 {
	if c.first > sinceEpoch {
		return c.first
	}
	if c.ref > sinceEpoch {
		return c.ref + c.first
	}
	return 0
}
