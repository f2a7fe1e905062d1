package qlog

import (
	"math"
	"time"
)

// Metrics are the figures of loss recovery and congestion control.
type Metrics struct {
	MinRTT, SmoothedRTT, LatestRTT, RTTVar time.Duration
	CongestionWindow, BytesInFlight        uint64
	SlowStartThreshold                     uint64 // math.MaxUint64 if there is none
	PacingRate                             uint64 // bytes per second
	PTOCount                               int
}

// A State is what changes rarely. What is not known is zero.
type State struct {
	Congestion string // the state of the congestion controller
	ECN        string // the state of validation: testing, capable or failed
	MTU        int
	MTUDone    bool // the search for a larger one has ended
}

// figures are what was written last of a path.
type figures struct {
	metrics Metrics
	state   State
}

// known returns what was written last of the path that the next events are of.
func (w *Writer) known() *figures {
	f := w.figures[w.path]
	if f == nil {
		f = new(figures)
		w.figures[w.path] = f
	}
	return f
}

// MetricsUpdated writes the figures that changed since the last time, if any did.
func (w *Writer) MetricsUpdated(now time.Time, m *Metrics) {
	f := w.known()
	last := f.metrics
	if *m == last {
		return
	}
	f.metrics = *m
	w.begin(now, metricsUpdated)
	mark := len(w.b)
	w.changedTime("min_rtt", m.MinRTT, last.MinRTT)
	w.changedTime("smoothed_rtt", m.SmoothedRTT, last.SmoothedRTT)
	w.changedTime("latest_rtt", m.LatestRTT, last.LatestRTT)
	w.changedTime("rtt_variance", m.RTTVar, last.RTTVar)
	w.changed("congestion_window", m.CongestionWindow, last.CongestionWindow)
	w.changed("bytes_in_flight", m.BytesInFlight, last.BytesInFlight)
	if m.SlowStartThreshold != math.MaxUint64 {
		w.changed("ssthresh", m.SlowStartThreshold, last.SlowStartThreshold)
	}
	w.changed("pacing_rate", bits(m.PacingRate), bits(last.PacingRate))
	w.changed("pto_count", uint64(m.PTOCount), uint64(last.PTOCount))
	if len(w.b) > mark {
		w.finish()
	}
}

// bits returns a rate in bits per second, as the schema wants it.
func bits(bytes uint64) uint64 {
	if bytes > math.MaxUint64/8 {
		return math.MaxUint64
	}
	return 8 * bytes
}

func (w *Writer) changed(name string, v, last uint64) {
	if v != last {
		w.uint(name, v)
	}
}

func (w *Writer) changedTime(name string, v, last time.Duration) {
	if v != last {
		w.millis(name, v)
	}
}

// StateUpdated writes what changed since the last time, an event each.
func (w *Writer) StateUpdated(now time.Time, s State) {
	f := w.known()
	last := f.state
	if s == last {
		return
	}
	f.state = s
	w.stateChange(now, congestionStateUpdated, s.Congestion, last.Congestion)
	w.stateChange(now, ecnStateUpdated, s.ECN, last.ECN)
	if s.MTU != last.MTU || s.MTUDone && !last.MTUDone {
		w.begin(now, mtuUpdated)
		if last.MTU != 0 {
			w.uint("old", uint64(last.MTU))
		}
		w.uint("new", uint64(s.MTU))
		if s.MTUDone {
			w.bool("done", true)
		}
		w.finish()
	}
}

func (w *Writer) stateChange(now time.Time, ev event, s, last string) {
	if s == last || s == "" || w.unnamed(ev) {
		return
	}
	w.begin(now, ev)
	if last != "" {
		w.str("old", last)
	}
	w.str("new", s)
	w.finish()
}
