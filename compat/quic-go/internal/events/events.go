// Package events gives the events of Lazo's qlog to Recorders, as the events of the packages qlog
// and http3/qlog.
package events

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go/internal/record"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Log is what Lazo writes the qlog of a connection to. It tells a Recorder each event.
type Log struct {
	mu       sync.Mutex // for Close, which may come from another goroutine
	recorder qlogwriter.Recorder
	done     chan struct{} // closed when recorder is
	closed   bool
	state    state
}

// state is what events say only once, and others refer to.
type state struct {
	local   qlog.TupleEndpointInfo // of the socket
	metrics qlog.MetricsUpdated
	told    int  // how many of handshakeStates were told
	ended   bool // ConnectionStateClosed was told
}

// New returns a Log that tells r. It closes r when the connection has ended. local is the address of
// the socket, for a connection that does not know its own when it begins.
func New(r qlogwriter.Recorder, local netip.AddrPort) *Log {
	l := &Log{recorder: r, done: make(chan struct{})}
	if a := netip.AddrPortFrom(local.Addr().Unmap(), local.Port()); a.Addr().Is4() {
		l.state.local.IPv4 = a
	} else {
		l.state.local.IPv6 = a
	}
	return l
}

// Write takes one record of the log. Its first record is a header, which is not an event.
func (l *Log) Write(b []byte) (int, error) {
	var rec struct {
		Name string
		Data json.RawMessage
	}
	if err := json.Unmarshal(bytes.TrimLeft(b, string(rune(record.Separator))), &rec); err != nil {
		return 0, err
	}
	if rec.Name == "" {
		return len(b), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	translate := translations[rec.Name]
	if translate == nil {
		l.recorder.RecordEvent(other{rec.Name, bytes.Clone(rec.Data)})
		return len(b), nil
	}
	var d data
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return 0, err
	}
	for _, ev := range translate(&l.state, &d) {
		l.recorder.RecordEvent(ev)
	}
	return len(b), nil
}

// Close closes the Recorder. Later calls do nothing. It does not wait for a file, because it may be
// called on the loop's goroutine.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if w, ok := l.recorder.(*qlogwriter.Writer); ok {
		go func() {
			defer close(l.done)
			w.Close()
		}()
		return nil
	}
	defer close(l.done)
	return l.recorder.Close()
}

// Done returns a channel that is closed when the Recorder is closed.
func (l *Log) Done() <-chan struct{} { return l.done }

// other is an event that quic-go does not have.
type other struct {
	name string
	data json.RawMessage
}

// Name is part of qlogwriter.Event.
func (o other) Name() string { return o.name }

// Encode is part of qlogwriter.Event.
func (o other) Encode(enc *jsontext.Encoder, _ time.Time) error {
	dec := json.NewDecoder(bytes.NewReader(o.data))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := enc.WriteToken(tokenOf(tok)); err != nil {
			return err
		}
	}
}

// tokenOf returns a token of encoding/json as one of jsontext.
func tokenOf(tok json.Token) jsontext.Token {
	switch tok := tok.(type) {
	case json.Delim:
		return map[json.Delim]jsontext.Token{
			'{': jsontext.BeginObject, '}': jsontext.EndObject, '[': jsontext.BeginArray, ']': jsontext.EndArray,
		}[tok]
	case string:
		return jsontext.String(tok)
	case bool:
		return jsontext.Bool(tok)
	case json.Number:
		if i, err := tok.Int64(); err == nil {
			return jsontext.Int(i)
		}
		f, _ := tok.Float64() // a number of Lazo's log
		return jsontext.Float(f)
	}
	return jsontext.Null
}
