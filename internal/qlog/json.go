package qlog

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// An encoder appends JSON. It takes care of commas and of strings. The caller closes what it has
// opened.
type encoder struct{ b []byte }

// elem starts an element of an array or an object.
func (e *encoder) elem() {
	if last := e.b[len(e.b)-1]; last != '{' && last != '[' {
		e.b = append(e.b, ',')
	}
}

// key starts a member of an object. Names are literals that need no escaping.
func (e *encoder) key(name string) {
	e.elem()
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

// open starts an object that is a member of one.
func (e *encoder) open(name string) {
	e.key(name)
	e.b = append(e.b, '{')
}

// openElem starts an object that is an element of an array.
func (e *encoder) openElem() {
	e.elem()
	e.b = append(e.b, '{')
}

func (e *encoder) end() { e.b = append(e.b, '}') }

// array starts an array that is a member of an object.
func (e *encoder) array(name string) {
	e.key(name)
	e.b = append(e.b, '[')
}

func (e *encoder) endArray() { e.b = append(e.b, ']') }

// str appends a member whose value is a string of this package, without anything to escape.
func (e *encoder) str(name, s string) {
	e.key(name)
	e.quote(s)
}

// quote appends a string without anything to escape.
func (e *encoder) quote(s string) {
	e.b = append(e.b, '"')
	e.b = append(e.b, s...)
	e.b = append(e.b, '"')
}

func appendUint(b []byte, v uint64) []byte { return strconv.AppendUint(b, v, 10) }

func (e *encoder) uint(name string, v uint64) {
	e.key(name)
	e.b = strconv.AppendUint(e.b, v, 10)
}

func (e *encoder) bool(name string, v bool) {
	e.key(name)
	e.b = strconv.AppendBool(e.b, v)
}

// millis appends a duration in milliseconds, to the nanosecond.
func (e *encoder) millis(name string, d time.Duration) {
	e.key(name)
	if d < 0 {
		d = 0
	}
	e.b = strconv.AppendInt(e.b, int64(d/time.Millisecond), 10)
	rest := uint64(d % time.Millisecond)
	if rest == 0 {
		return
	}
	e.b = append(e.b, '.')
	for unit := uint64(100_000); rest > 0; unit /= 10 {
		e.b = append(e.b, '0'+byte(rest/unit))
		rest %= unit
	}
}

// hex appends a member whose value is bytes in hexadecimal, shortened to maxBytes.
func (e *encoder) hex(name string, b []byte) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = hex.AppendEncode(e.b, b[:min(len(b), maxBytes)])
	e.b = append(e.b, '"')
}

// text appends a member whose value is a string from anywhere, shortened to maxText bytes. Bytes
// that are not UTF-8 become U+FFFD.
func text[T string | []byte](e *encoder, name string, s T) {
	e.key(name)
	e.b = append(e.b, '"')
	s = s[:min(len(s), maxText)]
	for len(s) > 0 {
		c := s[0]
		if c < utf8.RuneSelf {
			e.ascii(c)
			s = s[1:]
			continue
		}
		var first [utf8.UTFMax]byte
		r, n := utf8.DecodeRune(first[:copy(first[:], s)])
		if r == '\u2028' || r == '\u2029' {
			// JSON allows these two as they are, but older versions of JavaScript do not.
			e.b = append(e.b, `\u202`...)
			e.b = append(e.b, '0'+byte(r&0xf))
		} else {
			e.b = utf8.AppendRune(e.b, r)
		}
		s = s[n:]
	}
	e.b = append(e.b, '"')
}

// ascii appends a character of a string (RFC 8259, Section 7).
func (e *encoder) ascii(c byte) {
	const digits = "0123456789abcdef"
	switch {
	case c == '"', c == '\\':
		e.b = append(e.b, '\\', c)
	case c < 0x20, c == 0x7f:
		e.b = append(e.b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
	default:
		e.b = append(e.b, c)
	}
}
