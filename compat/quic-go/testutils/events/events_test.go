package events_test

import (
	"testing"
	"time"

	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
	"github.com/quic-go/quic-go/testutils/events"
)

type (
	first  int
	second int
)

func (first) Name() string                              { return "first" }
func (first) Encode(*jsontext.Encoder, time.Time) error { return nil }

func (second) Name() string                              { return "second" }
func (second) Encode(*jsontext.Encoder, time.Time) error { return nil }

// TestRecorder: a filter goes by types.
func TestRecorder(t *testing.T) {
	var r events.Recorder
	var trace qlogwriter.Trace = &events.Trace{Recorder: &r}
	for i := range 3 {
		trace.AddProducer().RecordEvent(first(i))
		trace.AddProducer().RecordEvent(second(i))
	}
	if all, some := r.Events(), r.Events(second(0)); len(all) != 6 || len(some) != 3 || some[2] != second(2) {
		t.Errorf("the events are %v, %v", all, some)
	}
	if evs := r.EventsWithTime(first(0), second(0)); len(evs) != 6 || evs[0].Time.IsZero() {
		t.Errorf("the events are %v", evs)
	}
	if r.Closed() || trace.AddProducer().Close() != nil || !r.Closed() {
		t.Error("Close is not noticed")
	}
	if r.Clear(); len(r.Events()) > 0 {
		t.Error("Clear left some")
	}
}
