package quic

import (
	"context"
	"io"
	"time"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go/internal/packetlog"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A trace holds the trace that [Config].Tracer made for a connection. The zero value holds none.
type trace struct {
	qlogwriter.Trace
	recorder qlogwriter.Recorder // of this package; open until the connection ends
	packets  io.WriteCloser      // what Lazo writes its qlog to, or nil
}

// newTrace asks [Config].Tracer for the trace of a connection. If Lazo cannot write to that, it is
// told that packets are not recorded.
func newTrace(ctx context.Context, cfg *Config, client bool, id conn.ConnID) (t trace) {
	if cfg.Tracer == nil {
		return t
	}
	if t.Trace = cfg.Tracer(ctx, client, protocol.ParseConnectionID(id.Append(nil))); t.Trace == nil {
		return t
	}
	if own, ok := t.Trace.(*packetlog.Trace); ok {
		t.packets = own.File()
		return t
	}
	if t.recorder = t.AddProducer(); t.recorder != nil {
		t.recorder.RecordEvent(unrecorded{})
	}
	return t
}

// end closes the recorder of this package.
func (t trace) end() {
	if t.recorder != nil {
		t.recorder.Close()
	}
}

// unrecorded is an event that says what a trace does not have.
type unrecorded struct{}

// Name is part of qlogwriter.Event.
func (unrecorded) Name() string { return "loglevel:warning" }

// Encode is part of qlogwriter.Event.
func (unrecorded) Encode(e *jsontext.Encoder, _ time.Time) error {
	const text = "packets are not recorded here: Lazo writes a qlog of its own, see qlog.DefaultConnectionTracer"
	for _, tok := range []jsontext.Token{
		jsontext.BeginObject, jsontext.String("message"), jsontext.String(text), jsontext.EndObject,
	} {
		if err := e.WriteToken(tok); err != nil {
			return err
		}
	}
	return nil
}
