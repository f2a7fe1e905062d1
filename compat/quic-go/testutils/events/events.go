// Package events keeps what programs record, for their tests.
package events

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go/qlogwriter"
)

// An Event is an event, and when it was recorded.
type Event struct {
	Time  time.Time
	Event qlogwriter.Event
}

// A Trace is a qlogwriter.Trace. All its producers are Recorder.
type Trace struct {
	Recorder qlogwriter.Recorder
}

// AddProducer is part of qlogwriter.Trace.
func (t *Trace) AddProducer() qlogwriter.Recorder { return t.Recorder }

// A Recorder is a qlogwriter.Recorder that keeps the events.
type Recorder struct {
	mu     sync.Mutex
	events []Event
	closed bool
}

// RecordEvent is part of qlogwriter.Recorder.
func (r *Recorder) RecordEvent(ev qlogwriter.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, Event{time.Now(), ev})
}

// Close is part of qlogwriter.Recorder.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

// Closed reports whether Close was called.
func (r *Recorder) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Clear forgets the events.
func (r *Recorder) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// Events returns the events. With a filter, it returns only events of the types in the filter.
func (r *Recorder) Events(filter ...qlogwriter.Event) []qlogwriter.Event {
	var evs []qlogwriter.Event
	for _, ev := range r.EventsWithTime(filter...) {
		evs = append(evs, ev.Event)
	}
	return evs
}

// EventsWithTime is Events with the times.
func (r *Recorder) EventsWithTime(filter ...qlogwriter.Event) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(ev Event) bool {
		return len(filter) > 0 && !slices.ContainsFunc(filter, func(like qlogwriter.Event) bool {
			return reflect.TypeOf(like) == reflect.TypeOf(ev.Event)
		})
	})
}
