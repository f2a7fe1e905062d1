package qlog

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter"
)

// RedactHeaders returns a Config.Tracer that writes to the traces of tracer, with other values of
// header fields. redact returns the value to write. It gets names of fields as
// http.CanonicalHeaderKey returns them, and names of pseudo-header fields in lower case. If either
// is nil, RedactHeaders returns tracer.
func RedactHeaders(
	tracer func(context.Context, bool, protocol.ConnectionID) qlogwriter.Trace,
	redact func(name, value string) string,
) func(context.Context, bool, protocol.ConnectionID) qlogwriter.Trace {
	if tracer == nil || redact == nil {
		return tracer
	}
	return func(ctx context.Context, isClient bool, id protocol.ConnectionID) qlogwriter.Trace {
		t := tracer(ctx, isClient, id)
		if t == nil {
			return nil
		}
		return redactingTrace{t, redact}
	}
}

// A redactingTrace is a Trace whose Recorders change header fields.
type redactingTrace struct {
	trace  qlogwriter.Trace
	redact func(name, value string) string
}

// AddProducer is part of qlogwriter.Trace.
func (t redactingTrace) AddProducer() qlogwriter.Recorder {
	r := t.trace.AddProducer()
	if r == nil {
		return nil
	}
	return redactingRecorder{r, t.redact}
}

type redactingRecorder struct {
	qlogwriter.Recorder
	redact func(name, value string) string
}

// RecordEvent is part of qlogwriter.Recorder.
func (r redactingRecorder) RecordEvent(ev qlogwriter.Event) {
	switch e := ev.(type) {
	case FrameCreated:
		e.Frame = r.frame(e.Frame)
		ev = e
	case FrameParsed:
		e.Frame = r.frame(e.Frame)
		ev = e
	}
	r.Recorder.RecordEvent(ev)
}

// frame returns f with other values of header fields, if it has any.
func (r redactingRecorder) frame(f Frame) Frame {
	h, ok := f.Frame.(HeadersFrame)
	if !ok {
		return f
	}
	h.HeaderFields = slices.Clone(h.HeaderFields)
	for i, field := range h.HeaderFields {
		name := field.Name
		if !strings.HasPrefix(name, ":") {
			name = http.CanonicalHeaderKey(name)
		}
		if v := r.redact(name, field.Value); v != field.Value {
			h.HeaderFields[i].Value, h.HeaderFields[i].InvalidValue = v, false
		}
	}
	return Frame{h}
}
