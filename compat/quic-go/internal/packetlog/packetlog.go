// Package packetlog has traces of connections to which Lazo writes packets.
package packetlog

import (
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go/internal/record"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Trace is a file to which Lazo writes the qlog of a connection. The program can add events until
// the connection has ended. If the program adds events before a connection has the file, it is the
// program's alone.
type Trace struct {
	shared func() io.WriteCloser   // opens a file for Lazo
	alone  func() qlogwriter.Trace // opens a file without Lazo

	mu    sync.Mutex
	file  io.WriteCloser // of shared, or nil
	begin time.Time
	own   qlogwriter.Trace // of alone, or nil
}

// New returns a trace with one of two files. Each call of Write of the first one gets a whole
// record, and several goroutines may call it. The connection closes it.
func New(shared func() io.WriteCloser, alone func() qlogwriter.Trace) *Trace {
	return &Trace{shared: shared, alone: alone}
}

// File returns what Lazo writes to, or nil if the file is the program's.
func (t *Trace) File() io.WriteCloser {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own == nil && t.file == nil {
		t.file, t.begin = t.shared(), time.Now()
	}
	return t.file
}

// AddProducer is part of qlogwriter.Trace.
func (t *Trace) AddProducer() qlogwriter.Recorder {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		return recorder{t}
	}
	if t.own == nil {
		if t.own = t.alone(); t.own == nil {
			return nil
		}
	}
	return t.own.AddProducer()
}

// A recorder is a Recorder of a Trace whose file a connection has.
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
