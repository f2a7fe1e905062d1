// Package fields writes the data of events, which are JSON objects, field by field.
package fields

import (
	"encoding/hex"
	"time"

	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A Writer writes fields of an object, or elements of an array. After an error of the Encoder it
// does nothing.
type Writer struct {
	enc *jsontext.Encoder
	err error
}

// Object writes an object, whose fields f writes.
func Object(enc *jsontext.Encoder, f func(w *Writer)) error {
	w := &Writer{enc: enc}
	w.Elem(f)
	return w.err
}

func (w *Writer) token(t jsontext.Token) {
	if w.err == nil {
		w.err = w.enc.WriteToken(t)
	}
}

// Elem writes an object as an element of an array.
func (w *Writer) Elem(f func(w *Writer)) {
	w.token(jsontext.BeginObject)
	f(w)
	w.token(jsontext.EndObject)
}

// Ints writes an array of numbers as an element of an array.
func (w *Writer) Ints(v ...int64) {
	w.token(jsontext.BeginArray)
	for _, i := range v {
		w.token(jsontext.Int(i))
	}
	w.token(jsontext.EndArray)
}

// Text writes a string as an element of an array.
func (w *Writer) Text(v string) { w.token(jsontext.String(v)) }

func (w *Writer) field(name string, t jsontext.Token) {
	w.token(jsontext.String(name))
	w.token(t)
}

// Object writes a field that is an object.
func (w *Writer) Object(name string, f func(w *Writer)) {
	w.token(jsontext.String(name))
	w.Elem(f)
}

// Array writes a field that is an array.
func (w *Writer) Array(name string, f func(w *Writer)) {
	w.field(name, jsontext.BeginArray)
	f(w)
	w.token(jsontext.EndArray)
}

// Str writes a field that is a string.
func (w *Writer) Str(name, v string) { w.field(name, jsontext.String(v)) }

// StrIf is Str, unless v is empty.
func (w *Writer) StrIf(name, v string) {
	if v != "" {
		w.Str(name, v)
	}
}

// Hex writes a field that is a string of hexadecimal digits.
func (w *Writer) Hex(name string, v []byte) { w.Str(name, hex.EncodeToString(v)) }

// Uint writes a field that is a number.
func (w *Writer) Uint(name string, v uint64) { w.field(name, jsontext.Uint(v)) }

// UintIf is Uint, unless v is zero.
func (w *Writer) UintIf(name string, v uint64) {
	if v != 0 {
		w.Uint(name, v)
	}
}

// Int writes a field that is a number.
func (w *Writer) Int(name string, v int64) { w.field(name, jsontext.Int(v)) }

// Float writes a field that is a number.
func (w *Writer) Float(name string, v float64) { w.field(name, jsontext.Float(v)) }

// Millis writes a field that is a time in milliseconds.
func (w *Writer) Millis(name string, d time.Duration) { w.Float(name, float64(d.Nanoseconds())/1e6) }

// MillisIf is Millis, unless d is zero.
func (w *Writer) MillisIf(name string, d time.Duration) {
	if d != 0 {
		w.Millis(name, d)
	}
}

// Bool writes a field that is true or false.
func (w *Writer) Bool(name string, v bool) { w.field(name, jsontext.Bool(v)) }

// True writes a field that is true, if v is.
func (w *Writer) True(name string, v bool) {
	if v {
		w.Bool(name, v)
	}
}
