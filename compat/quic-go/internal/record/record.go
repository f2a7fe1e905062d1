// Package record writes the records of a qlog in the format JSON-SEQ.
package record

import (
	"time"

	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// Separator precedes each record (RFC 7464).
const Separator byte = 0x1e

// Of returns a whole record that f writes.
func Of(f func(*jsontext.Encoder)) []byte {
	w := &writer{b: []byte{Separator}}
	f(jsontext.NewEncoder(w))
	return append(w.b, '\n')
}

// A writer collects a record.
type writer struct{ b []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Event writes an event. It takes the time since the beginning of the log, and a function that
// writes the data.
func Event(e *jsontext.Encoder, after time.Duration, name string, data func(*jsontext.Encoder) error) {
	e.WriteToken(jsontext.BeginObject)
	e.WriteToken(jsontext.String("time"))
	e.WriteToken(jsontext.Float(float64(after.Nanoseconds()) / 1e6))
	e.WriteToken(jsontext.String("name"))
	e.WriteToken(jsontext.String(name))
	e.WriteToken(jsontext.String("data"))
	data(e)
	e.WriteToken(jsontext.EndObject)
}
