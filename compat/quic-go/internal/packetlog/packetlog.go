// Package packetlog has traces of connections that Lazo writes packets to.
package packetlog

import (
	"io"
	"time"

	"github.com/quic-go/quic-go/internal/record"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Trace is a file that Lazo writes the qlog of a connection to. Events of others go between its
// records, until the connection has ended.
type Trace struct {
	file  io.WriteCloser
	begin time.Time
}

// New returns the trace of a connection that begins now. Each Write of file gets a whole record,
// and they may come from several goroutines. The connection closes file.
func New(file io.WriteCloser) *Trace { return &Trace{file, time.Now()} }

// File returns what Lazo writes to.
func (t *Trace) File() io.WriteCloser { return t.file }

// AddProducer is part of qlogwriter.Trace.
func (t *Trace) AddProducer() qlogwriter.Recorder { return recorder{t} }

// A recorder is a Recorder of a Trace.
type recorder struct{ t *Trace }

// RecordEvent is part of qlogwriter.Recorder. The file takes nothing after the connection.
func (r recorder) RecordEvent(ev qlogwriter.Event) {
	now := time.Now()
	r.t.file.Write(record.Of(func(e *jsontext.Encoder) {
		record.Event(e, now.Sub(r.t.begin), ev.Name(), func(e *jsontext.Encoder) error { return ev.Encode(e, now) })
	}))
}

// Close is part of qlogwriter.Recorder.
func (recorder) Close() error { return nil }
