// Package qlog writes the log of a connection in the qlog format, as JSON text sequences (RFC 7464,
// draft-ietf-quic-qlog-main-schema, draft-ietf-quic-qlog-quic-events).
//
// The drafts have renamed much over the years. The package writes two formats: the current drafts,
// whose schema readers check strictly, and version 0.3, which qvis reads.
package qlog

import (
	"io"
	"time"
)

// maxRecord is about how many bytes a record may have. The frame that reaches it is written to its
// end, and later frames are left out. Without it, a full packet of the smallest frames would take
// many times as much.
const maxRecord = 16 << 10

// Bounds of values that a peer makes up, in bytes.
const (
	maxText  = 1024 // a reason
	maxBytes = 256  // of a token and the like, in hexadecimal
)

// A Writer writes the records of one connection, each with one call of Write. It keeps quiet after
// the first Write that fails.
type Writer struct {
	encoder
	out     io.WriteCloser
	format  Format
	server  bool
	start   time.Time
	failed  bool
	path    uint32 // of the next events: see OnPath
	figures map[uint32]*figures
	conn    string // the last ConnectionState
	blocked string // the last Blocked
	held    string // the last DatagramsBlocked
	moving  string // the last MigrationState
	acked   []uint64
	omitted omission
}

// An omission is what a record leaves out because it would grow too long. It stands beside the data
// of the event, because the schema of the drafts allows additional fields only there.
type omission struct {
	frameBytes int // bytes of the packet's payload
	ackRanges  int // ranges of ACK frames
}

// A Header is what stands at the start of the log.
type Header struct {
	Format Format
	Server bool
	ID     []byte // the original destination connection ID, which both sides know
	Start  time.Time
}

// New returns a Writer after it has written the header to out.
func New(out io.WriteCloser, h Header) *Writer {
	w := &Writer{out: out, format: h.Format, server: h.Server, start: h.Start, figures: make(map[uint32]*figures)}
	w.b = append(make([]byte, 0, 1024), recordSeparator, '{')
	if h.Format == V03 {
		w.str("qlog_format", "JSON-SEQ")
		w.str("qlog_version", "0.3")
	} else {
		w.str("file_schema", "urn:ietf:params:qlog:file:sequential")
		w.str("serialization_format", "application/qlog+json-seq")
	}
	w.str("title", "lazo")
	w.open("trace")
	w.str("title", "lazo "+vantage(h.Server))
	if h.Format != V03 {
		w.array("event_schemas")
		w.elem()
		w.quote("urn:ietf:params:qlog:events:quic-13")
		w.elem()
		w.quote("urn:ietf:params:qlog:events:http3-13")
		w.elem()
		w.quote("urn:ietf:params:qlog:events:loglevel-14")
		w.endArray()
	}
	w.open("vantage_point")
	w.str("type", vantage(h.Server))
	w.end()
	w.open("common_fields")
	w.hex("group_id", h.ID)
	w.reference(&h)
	w.end()
	w.end()
	w.flush()
	return w
}

// reference appends to what the times of events are relative.
func (w *Writer) reference(h *Header) {
	if h.Format == V03 {
		w.hex("ODCID", h.ID) // qvis shows it
		w.str("time_format", "relative")
		w.millis("reference_time", time.Duration(h.Start.UnixNano()))
		return
	}
	w.open("reference_time")
	w.str("clock_type", "monotonic")
	w.str("epoch", "unknown")
	w.key("wall_clock_time")
	w.b = append(w.b, '"')
	w.b = h.Start.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
	w.end()
}

func vantage(server bool) string {
	if server {
		return "server"
	}
	return "client"
}

// Close closes what the log is written to, after it has told that why the connection ended, if it
// has a method for that.
func (w *Writer) Close(why error) error {
	if out, ok := w.out.(interface{ ConnClosed(error) }); ok {
		out.ConnClosed(why)
	}
	return w.out.Close()
}

// recordSeparator stands before each record (RFC 7464, Section 2.2).
const recordSeparator = 0x1e

// begin starts the record of an event. Its data follow.
func (w *Writer) begin(now time.Time, ev event) {
	w.b = append(w.b[:0], recordSeparator, '{')
	w.millis("time", now.Sub(w.start))
	w.str("name", ev.name(w.format))
	if w.path != 0 && w.format != V03 {
		w.pathName("tuple", w.path)
	}
	w.open("data")
}

// unnamed reports whether the format has no name for a type of events.
func (w *Writer) unnamed(ev event) bool { return ev.name(w.format) == "" }

// flush ends the record and writes it.
func (w *Writer) flush() {
	if w.b[len(w.b)-1] != '\n' {
		w.b = append(w.b, '}', '\n')
	}
	if w.failed {
		return
	}
	_, err := w.out.Write(w.b)
	w.failed = err != nil
}

// finish ends the data and the record, and writes it.
func (w *Writer) finish() {
	w.end()
	if w.omitted != (omission{}) {
		w.uint("frames_omitted_bytes", uint64(w.omitted.frameBytes))
		w.uint("omitted_ranges", uint64(w.omitted.ackRanges))
		w.omitted = omission{}
	}
	w.flush()
}
