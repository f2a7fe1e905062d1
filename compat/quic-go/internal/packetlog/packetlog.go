// Package packetlog has traces of connections to which Lazo writes packets.
package packetlog

import (
	"io"
	"time"

	"github.com/quic-go/quic-go/internal/record"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Trace is a file to which Lazo writes the qlog of a connection. The program can add events until
// the connection has ended.
type Trace struct {
	file  io.WriteCloser
	begin time.Time
}

// New returns the trace of a connection that begins now. Each call of file.Write gets a whole
// record. Several goroutines may call it. The connection closes file.
func New(file io.WriteCloser) *Trace { return &Trace{file, time.Now()} }

// File returns what Lazo writes to.
func (t *Trace) File() io.WriteCloser { return t.file }

// AddProducer is part of qlogwriter.Trace.
func (t *Trace) AddProducer() qlogwriter.Recorder { return recorder{t} }

// A recorder is a Recorder of a Trace.
type recorder struct{ t *Trace }

// RecordEvent is part of qlogwriter.Recorder. Events after the end of the connection are lost.
func (r recorder) RecordEvent(ev qlogwriter.Event) {
	now := time.Now()
	r.t.file.Write(record.Of(func(e *jsontext.Encoder) {
		record.Event(e, now.Sub(r.t.begin), ev.Name(), func(e *jsontext.Encoder) error { return ev.Encode(e, now) })
	}))
}

// Close is part of qlogwriter.Recorder.
func (recorder) Close() error { return nil }
