// Package qlogwriter writes qlog traces of events that programs record.
package qlogwriter

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/internal/record"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// RecordSeparator precedes each record of a JSON text sequence (RFC 7464).
const RecordSeparator = record.Separator

// A ConnectionID is a connection ID of QUIC.
type ConnectionID = protocol.ConnectionID

// An Event can be recorded.
type Event interface {
	// Name returns the name of the event in the trace.
	Name() string
	// Encode writes the data of the event, which is one JSON value.
	Encode(encoder *jsontext.Encoder, eventTime time.Time) error
}

// A Recorder records events, from any goroutine.
type Recorder interface {
	// RecordEvent records an event. It must not be called after Close.
	RecordEvent(Event)
	// Close says that no events follow.
	io.Closer
}

// A Trace has any number of Recorders. It ends when all of them are closed.
type Trace interface {
	// AddProducer returns another Recorder.
	AddProducer() Recorder
}

var schemas struct {
	mu  sync.Mutex
	all []string
}

// RegisterEventSchema has traces that begin later declare a schema of events.
func RegisterEventSchema(schema string) {
	schemas.mu.Lock()
	defer schemas.mu.Unlock()
	if !slices.Contains(schemas.all, schema) {
		schemas.all = append(schemas.all, schema)
	}
}

// maxWaiting is how many events may wait to be written. When so many wait, RecordEvent waits, too.
const maxWaiting = 1024

// A FileSeq is a trace in the format JSON-SEQ. Run writes it.
type FileSeq struct {
	w       io.WriteCloser
	begin   time.Time
	header  func(*jsontext.Encoder)
	records chan entry

	ended chan struct{} // closed at the end of Run

	mu        sync.RWMutex // held for reading while an event is added to records
	producers int
	closed    bool // all producers were closed
}

type entry struct {
	at time.Time
	ev Event
}

// NewFileSeq returns a trace of events that belong to no connection.
func NewFileSeq(w io.WriteCloser) *FileSeq { return newFileSeq(w, "transport", ConnectionID{}) }

// NewConnectionFileSeq returns the trace of a connection. odcid is the first destination connection
// ID of the client, and names the trace.
func NewConnectionFileSeq(w io.WriteCloser, isClient bool, odcid ConnectionID) *FileSeq {
	side := "server"
	if isClient {
		side = "client"
	}
	return newFileSeq(w, side, odcid)
}

func newFileSeq(w io.WriteCloser, side string, id ConnectionID) *FileSeq {
	t := &FileSeq{w: w, begin: time.Now(), records: make(chan entry, maxWaiting), ended: make(chan struct{})}
	t.header = func(e *jsontext.Encoder) { t.writeHeader(e, side, id) }
	return t
}

// AddProducer is part of Trace. It returns nil after the end of the trace.
func (t *FileSeq) AddProducer() Recorder {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.producers++
	return &Writer{t: t}
}

// Run writes events until the last Recorder is closed, and closes the file. It is called once.
func (t *FileSeq) Run() {
	defer close(t.ended)
	defer t.w.Close()
	failed := t.write(t.header)
	for r := range t.records {
		if !failed { // after a failure, events are dropped
			failed = t.write(func(e *jsontext.Encoder) { t.writeEvent(e, r) })
		}
	}
}

// write writes a record, and reports whether that failed.
func (t *FileSeq) write(f func(*jsontext.Encoder)) (failed bool) {
	_, err := t.w.Write(record.Of(f))
	return err != nil
}

// member writes the member of an object. Its value is a string.
func member(e *jsontext.Encoder, name, value string) {
	e.WriteToken(jsontext.String(name))
	e.WriteToken(jsontext.String(value))
}

// object begins the member of an object. Its value is an object.
func object(e *jsontext.Encoder, name string) {
	e.WriteToken(jsontext.String(name))
	e.WriteToken(jsontext.BeginObject)
}

// writeHeader writes the first record (draft-ietf-quic-qlog-main-schema, Section 5).
func (t *FileSeq) writeHeader(e *jsontext.Encoder, side string, id ConnectionID) {
	schemas.mu.Lock()
	all := slices.Clone(schemas.all)
	schemas.mu.Unlock()
	e.WriteToken(jsontext.BeginObject)
	member(e, "file_schema", "urn:ietf:params:qlog:file:sequential")
	member(e, "serialization_format", "application/qlog+json-seq")
	member(e, "title", "Lazo")
	object(e, "trace")
	e.WriteToken(jsontext.String("event_schemas"))
	e.WriteToken(jsontext.BeginArray)
	for _, s := range all {
		e.WriteToken(jsontext.String(s))
	}
	e.WriteToken(jsontext.EndArray)
	object(e, "vantage_point")
	member(e, "type", side)
	e.WriteToken(jsontext.EndObject)
	object(e, "common_fields")
	if id.Valid() {
		member(e, "group_id", id.String())
	}
	object(e, "reference_time")
	member(e, "clock_type", "monotonic")
	member(e, "epoch", "unknown")
	member(e, "wall_clock_time", t.begin.Format(time.RFC3339Nano))
	for range 4 { // reference_time, common_fields, trace and the record
		e.WriteToken(jsontext.EndObject)
	}
}

func (t *FileSeq) writeEvent(e *jsontext.Encoder, r entry) {
	record.Event(e, r.at.Sub(t.begin), r.ev.Name(), func(e *jsontext.Encoder) error { return r.ev.Encode(e, r.at) })
}

// A Writer is the Recorder of a FileSeq.
type Writer struct {
	t    *FileSeq
	once sync.Once
}

// RecordEvent is part of Recorder.
func (w *Writer) RecordEvent(ev Event) {
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	if !w.t.closed {
		w.t.records <- entry{time.Now(), ev}
	}
}

// Close is part of Recorder. That of the last Recorder returns when Run has written everything and
// closed the file.
func (w *Writer) Close() error {
	last := false
	w.once.Do(func() {
		w.t.mu.Lock()
		defer w.t.mu.Unlock()
		if w.t.producers--; w.t.producers == 0 {
			last, w.t.closed = true, true
			close(w.t.records)
		}
	})
	if last {
		<-w.t.ended
	}
	return nil
}
