package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxRecord bounds a record, in bytes. Longer ones are left out.
const maxRecord = 4 << 20

var errTooLong = fmt.Errorf("it is longer than %d bytes", maxRecord)

// A record is a header or an event of a log, as JSON.
type record struct {
	n      int    // counts from 1 in each file, or in each trace of a document
	raw    []byte // valid until the next one
	last   bool   // the file ends with it
	starts bool   // a trace begins
	err    error  // if there is no raw; io.ErrUnexpectedEOF if the file ends too early
}

// records yields the records of a file in one of three forms: JSON text sequences (RFC 7464), JSON
// values on a line each, or a document that holds traces. No more than one record is in memory.
func records(r *bufio.Reader) iter.Seq[record] {
	return func(yield func(record) bool) {
		switch first, _ := r.Peek(64 << 10); {
		case len(bytes.TrimLeft(first, " \t\r\n")) == 0:
		case bytes.TrimLeft(first, " \t\r\n")[0] == 0x1e:
			separated(r, 0x1e, yield)
		case isLines(first):
			separated(r, '\n', yield)
		default:
			(&document{r: r, yield: yield}).file()
		}
	}
}

// isLines reports whether each line of a file is a JSON value. b is the beginning of the file.
func isLines(b []byte) bool {
	line, rest, ok := bytes.Cut(bytes.TrimLeft(b, " \t\r\n"), []byte{'\n'})
	if !ok || len(bytes.TrimSpace(rest)) == 0 || !json.Valid(line) {
		return false
	}
	var doc struct{ Traces json.RawMessage }
	return json.Unmarshal(line, &doc) == nil && doc.Traces == nil
}

// separated yields records with a separator before or after each.
func separated(r *bufio.Reader, separator byte, yield func(record) bool) {
	var buf []byte
	for n := 0; ; {
		b, long, err := until(r, separator, buf[:0])
		buf = b
		raw := bytes.TrimRight(bytes.TrimSpace(b), "\x1e \t\r\n")
		if len(raw) > 0 || long {
			n++
			rec := record{n: n, raw: raw, last: err != nil}
			if long {
				rec.err = errTooLong
			}
			if !yield(rec) {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			yield(record{n: n + 1, err: ending(err)})
			return
		}
	}
}

// ending returns the error for a file that ends too early, such as a compressed file that was not
// closed.
func ending(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// until appends what comes before the separator to b, up to maxRecord bytes. It reports whether
// there was more.
func until(r *bufio.Reader, separator byte, b []byte) (out []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice(separator)
		if len(b)+len(part) > maxRecord {
			long = true
		} else {
			b = append(b, part...)
		}
		if err != bufio.ErrBufferFull {
			return bytes.TrimSuffix(b, []byte{separator}), long, err
		}
	}
}

// A document reads a JSON document of traces. It takes the events one by one. It reports an event
// that is not valid JSON, and goes on behind it if brackets and quotes are in pairs.
type document struct {
	r     *bufio.Reader
	yield func(record) bool
	n     int
	buf   []byte
}

// errStop ends the reading, because nobody wants more.
var errStop = errors.New("stop")

// file reads the document.
func (d *document) file() {
	err := d.object(func(key string) error {
		if key == "traces" {
			return d.array(d.trace)
		}
		_, err := d.value()
		return ignoreLong(err)
	})
	if err != nil && err != errStop {
		d.yield(record{n: d.n + 1, err: ending(err)})
	}
}

func ignoreLong(err error) error {
	if err == errTooLong {
		return nil
	}
	return err
}

// trace reads one trace.
func (d *document) trace() error {
	d.n = 0
	if !d.yield(record{raw: []byte("{}"), starts: true}) {
		return errStop
	}
	return d.object(func(key string) error {
		if key == "events" {
			return d.array(d.event)
		}
		raw, err := d.value()
		if err != nil {
			return ignoreLong(err)
		}
		// A header has this form in a sequence.
		quoted, _ := json.Marshal(key)
		header := fmt.Appendf(nil, `{"trace":{%s:%s}}`, quoted, raw)
		if !d.yield(record{n: d.n, raw: header}) {
			return errStop
		}
		return nil
	})
}

func (d *document) event() error {
	d.n++
	raw, err := d.value()
	if err != nil && err != errTooLong {
		d.n-- // file reports it
		return err
	}
	if !d.yield(record{n: d.n, raw: raw, err: err}) {
		return errStop
	}
	return nil
}

// space skips white space and returns the next byte, which stays unread.
func (d *document) space() (byte, error) {
	for {
		c, err := d.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, d.r.UnreadByte()
		}
	}
}

// want skips white space and reads one byte, which must be c.
func (d *document) want(want byte) error {
	c, err := d.space()
	if err != nil {
		return err
	}
	if c != want {
		return fmt.Errorf("want %q, found %q", want, c)
	}
	_, err = d.r.ReadByte()
	return err
}

// object reads an object. It calls member for each member, and member reads the value.
func (d *document) object(member func(key string) error) error {
	return d.list('{', '}', func() error {
		raw, err := d.value()
		if err != nil {
			return err
		}
		var key string
		if err := json.Unmarshal(raw, &key); err != nil {
			return err
		}
		if err := d.want(':'); err != nil {
			return err
		}
		return member(key)
	})
}

// array reads an array. It calls element for each element, and element reads it.
func (d *document) array(element func() error) error { return d.list('[', ']', element) }

func (d *document) list(open, end byte, item func() error) error {
	if err := d.want(open); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := d.space()
		if err != nil {
			return err
		}
		if c == end {
			return d.want(end)
		}
		if !first {
			if err := d.want(','); err != nil {
				return err
			}
		}
		if err := item(); err != nil {
			return err
		}
	}
}

// value returns the text of the next value, without checking that it is JSON inside. If it is
// longer than maxRecord, value skips it and returns errTooLong.
func (d *document) value() ([]byte, error) {
	first, err := d.space()
	if err != nil {
		return nil, err
	}
	if first == ',' || first == ':' || first == ']' || first == '}' {
		return nil, fmt.Errorf("want a value, found %q", first)
	}
	b, long := d.buf[:0], false
	for v := new(nesting); ; {
		c, err := d.r.ReadByte()
		if err != nil {
			return nil, err
		}
		// The byte behind a number or a word ends it.
		if !v.quoted && v.depth == 0 && len(b) > 0 && (c == ',' || c == '}' || c == ']') {
			d.buf = b
			return b, d.r.UnreadByte()
		}
		if len(b) < maxRecord {
			b = append(b, c)
		} else {
			long = true
		}
		if v.closes(c) {
			d.buf = b
			if long {
				return nil, errTooLong
			}
			return b, nil
		}
	}
}

// A nesting says how deep inside brackets and quotes a reader is.
type nesting struct {
	depth           int
	quoted, escaped bool
}

// closes takes the next byte, and reports whether a string, an object or an array of the uppermost
// level ends with it.
func (v *nesting) closes(c byte) bool {
	switch {
	case v.escaped:
		v.escaped = false
	case v.quoted && c == '\\':
		v.escaped = true
	case c == '"':
		v.quoted = !v.quoted
		return !v.quoted && v.depth == 0
	case v.quoted:
	case c == '{' || c == '[':
		v.depth++
	case c == '}' || c == ']':
		v.depth--
		return v.depth <= 0
	}
	return false
}
