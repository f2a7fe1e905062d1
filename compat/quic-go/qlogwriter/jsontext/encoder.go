// Package jsontext writes JSON token by token, as qlog needs it.
package jsontext

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// A Token is one token of JSON.
type Token struct {
	kind kind
	text string // of a value, encoded
}

type kind uint8

const (
	value kind = iota
	text
	open
	end
)

// Tokens.
var (
	BeginObject Token = Token{open, "{"}
	EndObject   Token = Token{end, "}"}
	BeginArray  Token = Token{open, "["}
	EndArray    Token = Token{end, "]"}
	Null        Token = Token{value, "null"}
	True        Token = Bool(true)
	False       Token = Bool(false)
)

// Bool returns a token for b.
func Bool(b bool) Token { return Token{value, strconv.FormatBool(b)} }

// Int returns a token for i.
func Int(i int64) Token { return Token{value, strconv.FormatInt(i, 10)} }

// Uint returns a token for u.
func Uint(u uint64) Token { return Token{value, strconv.FormatUint(u, 10)} }

// Float returns a token for f. JSON has no infinities and no NaN, so these become null.
func Float(f float64) Token {
	b, err := json.Marshal(f)
	if err != nil {
		return Null
	}
	return Token{value, string(b)}
}

// String returns a token for s.
func String(s string) Token {
	b, _ := json.Marshal(s) // a string cannot fail
	return Token{text, string(b)}
}

// An Encoder writes tokens. It buffers at most one.
type Encoder struct {
	w     io.Writer
	buf   []byte
	stack []level
}

// A level is an object or array that is open.
type level struct {
	object bool
	n      int // tokens in it
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

var (
	errName = errors.New("jsontext: the name of an object's member must be a string")
	errEnd  = errors.New("jsontext: no object or array is open")
	errPair = errors.New("jsontext: the member of an object has a name and no value")
)

// WriteToken writes t, with the comma or colon that must stand in front of it.
func (e *Encoder) WriteToken(t Token) error {
	e.buf = e.buf[:0]
	depth := len(e.stack)
	if t.kind == end {
		if err := e.pop(t); err != nil {
			return err
		}
	} else if depth > 0 {
		top := &e.stack[depth-1]
		named := top.object && top.n%2 == 1
		switch {
		case named:
			e.buf = append(e.buf, ':')
		case top.object && t.kind != text:
			return errName
		case top.n > 0:
			e.buf = append(e.buf, ',')
		}
		top.n++
	}
	if t.kind == open {
		e.stack = append(e.stack, level{object: t.text == "{"})
	}
	e.buf = append(e.buf, t.text...)
	_, err := e.w.Write(e.buf)
	return err
}

// pop closes the innermost level, which t ends.
func (e *Encoder) pop(t Token) error {
	n := len(e.stack) - 1
	if n < 0 || e.stack[n].object != (t.text == "}") {
		return errEnd
	}
	if e.stack[n].object && e.stack[n].n%2 == 1 {
		return errPair
	}
	e.stack = e.stack[:n]
	return nil
}
