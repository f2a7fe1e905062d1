//go:build lsqpack

package qpack

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// laxer are errors of this package, and why lsqpack may take what they are about.
var laxer = map[string]string{
	"qpack: negative Base":               "it counts modulo 2^32 (RFC 9204, Section 4.5.1.2)",
	"qpack: entry larger than the table": "it sees that at the end of the instruction",
	"qpack: no such dynamic entry":       "so it does where Base is larger than Required Insert Count",
}

// FuzzLSQPack feeds the instructions of an encoder, and then a section, to the decoder of this
// package and to that of lsqpack. Both must take the same, and find the same fields.
func FuzzLSQPack(f *testing.F) {
	f.Add([]byte("\xc0\x0fwww.example.com\xc1\x0c/sample/path"), []byte("\x03\x81\x10\x11"))
	f.Add([]byte("\x4acustom-key\x0ccustom-value"), []byte("\x02\x00\x80"))
	f.Add([]byte{}, encode(NewEncoder(0), 0, requestFields...))
	f.Add([]byte{0x20}, []byte("\x00\x00\x51\x0b/index.html"))
	f.Add([]byte{}, []byte("\x05\x00\x80"))
	e := NewEncoder(4096)
	e.SetLimits(220, 4)
	for range 3 { // an encoder inserts what it has seen before
		section := encode(e, 0, Field{Name: "user-agent", Value: "lazo"}, Field{Name: "x", Value: "y"})
		f.Add(bytes.TrimPrefix(e.Instructions(), []byte{0x3f, 0xbd, 1}), section)
	}
	l := startLSQPack(f)
	f.Fuzz(func(t *testing.T, instructions, section []byte) {
		if len(instructions) > 500 || len(section) > 500 {
			return
		}
		// Behind the capacity: lsqpack does not wait for it (RFC 9204, Section 3.2.3).
		instructions = append([]byte{0x3f, 0xbd, 1}, instructions...)
		l.t = t
		d := NewDecoder(220, 1, -1)
		l.ask("new 220 1")
		err := d.EncoderStream(instructions)
		theirs := l.ask("encoderstream %x", instructions)
		// One of them may see by the start of an instruction what the other sees at its end.
		end := make([]byte, 600)
		switch {
		case err != nil && theirs[0] != "error":
			theirs = l.ask("encoderstream %x", end)
		case err == nil && theirs[0] == "error":
			err = d.EncoderStream(end)
		}
		if (err != nil) != (theirs[0] == "error") && (err == nil || laxer[err.Error()] == "") {
			t.Fatalf("instructions %x: here %v, there %q", instructions, err, theirs)
		}
		if err != nil {
			return
		}
		fields, err := d.Decode(0, section)
		theirs = l.ask("decode 0 %x", section)
		ours := "error"
		switch {
		case err == nil && (len(fields) == 0 || slices.ContainsFunc(fields, func(f Field) bool { return f.Name == "" })):
			return // it takes no empty section, and no empty name, which package h3 refuses
		case err == nil:
			ours = fieldsText(fields)
			if len(theirs) == 2 {
				theirs = theirs[1:]
			}
		case laxer[err.Error()] != "":
			return
		case errors.Is(err, ErrBlocked):
			ours = "blocked"
		}
		if ours == "error" && theirs[0] == "blocked" {
			return // it looks no further into a section that has to wait
		}
		if ours != theirs[0] {
			t.Fatalf("instructions %x, section %x: here %q, there %q: %v", instructions, section, ours, theirs, err)
		}
	})
}
