// Package tape is the file format of recordings: a header, then entries. An entry is a kind,
// numbers and byte strings. What they mean is for the package that records.
//
//	tape   = magic version entry...
//	entry  = length body         ; the length of the body in bytes
//	body   = kind n number... m (length byte...)...
//
// All numbers are variable-length integers of package encoding/binary. So a reader can skip what it
// does not know, and a tape that was cut off anywhere is good up to there.
package tape

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// magic begins each tape.
const magic = "lazotape"

// maxEntry bounds the body of an entry: a burst of datagrams, or a write of the application.
const maxEntry = 64 << 20

// maxNumbers and maxStrings bound how many an entry may have. The shortest ones take a byte each in
// a tape, and many times that in memory.
const (
	maxNumbers = 1 << 16
	maxStrings = 1 << 12
)

// bufferSize is how many bytes a Writer collects.
const bufferSize = 32 << 10

// An Entry is one thing that happened.
type Entry struct {
	Kind    uint64
	Numbers []uint64
	Strings [][]byte
}

// A Writer writes a tape. Its memory is bounded: it collects up to 32 KiB and one entry.
type Writer struct {
	w    io.Writer
	buf  []byte
	body []byte
	err  error // of w: everything from here on is lost
}

// NewWriter writes the header of a tape.
func NewWriter(w io.Writer, version uint64) *Writer {
	t := &Writer{w: w, buf: make([]byte, 0, bufferSize)}
	t.buf = binary.AppendUvarint(append(t.buf, magic...), version)
	return t
}

// Write adds an entry. It keeps nothing of its arguments. After an entry that no Reader takes, the
// Writer adds nothing more, so the tape is good up to there.
func (t *Writer) Write(kind uint64, numbers []uint64, strings ...[]byte) {
	if t.err != nil {
		return
	}
	if !fits(numbers, strings) {
		t.Flush()
		t.err = errTooLong
		return
	}
	b := binary.AppendUvarint(t.body[:0], kind)
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(strings)))
	for _, s := range strings {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	t.buf = binary.AppendUvarint(t.buf, uint64(len(b)))
	t.buf = append(t.buf, b...)
	if t.body = b; cap(b) > bufferSize {
		t.body = nil
	}
	if len(t.buf) >= bufferSize {
		t.Flush()
	}
}

// fits reports whether a Reader takes an entry.
func fits(numbers []uint64, strings [][]byte) bool {
	if len(numbers) > maxNumbers || len(strings) > maxStrings {
		return false
	}
	size := binary.MaxVarintLen64 * (3 + len(numbers) + len(strings))
	for _, s := range strings {
		size += len(s)
	}
	return size <= maxEntry
}

// Flush passes on what was collected, and returns the first error of that.
func (t *Writer) Flush() error {
	if t.err == nil && len(t.buf) > 0 {
		_, t.err = t.w.Write(t.buf)
	}
	t.buf = t.buf[:0]
	if cap(t.buf) > 2*bufferSize {
		t.buf = make([]byte, 0, bufferSize)
	}
	return t.err
}

// A Reader reads a tape.
type Reader struct {
	r    *bufio.Reader
	body []byte
}

// NewReader reads the header of a tape, which must have this version.
func NewReader(r io.Reader, version uint64) (*Reader, error) {
	t := &Reader{r: bufio.NewReader(r)}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(t.r, head); err != nil || string(head) != magic {
		return nil, errors.New("tape: this is no recording")
	}
	v, err := binary.ReadUvarint(t.r)
	if err != nil || v != version {
		return nil, fmt.Errorf("tape: the recording has version %d of the format, not %d", v, version)
	}
	return t, nil
}

var (
	errMalformed = errors.New("tape: an entry is malformed")
	errTooLong   = errors.New("tape: an entry is too long")
)

// Next reads the next entry into e, whose slices are valid until the call after it. It returns
// io.EOF at the end of the tape, also if that is in the middle of an entry.
func (t *Reader) Next(e *Entry) error {
	size, err := binary.ReadUvarint(t.r)
	if err != nil {
		return io.EOF
	}
	if size > maxEntry {
		return errMalformed
	}
	body, err := readBody(t.r, t.body[:0], int(size))
	t.body = body
	if err != nil {
		return io.EOF
	}
	return e.parse(body)
}

// readBody appends n bytes of r to b. It takes memory only for what is there.
func readBody(r io.Reader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		k := min(n, bufferSize)
		at := len(b)
		b = append(b, make([]byte, k)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return b, err
		}
		n -= k
	}
	return b, nil
}

// parse fills e from the body of an entry.
func (e *Entry) parse(b []byte) error {
	p := parser{b: b, ok: true}
	e.Kind = p.number()
	e.Numbers, e.Strings = e.Numbers[:0], e.Strings[:0]
	for n := p.count(maxNumbers); n > 0; n-- {
		e.Numbers = append(e.Numbers, p.number())
	}
	for n := p.count(maxStrings); n > 0; n-- {
		e.Strings = append(e.Strings, p.bytes())
	}
	if !p.ok || len(p.b) > 0 {
		return errMalformed
	}
	return nil
}

// A parser takes apart the body of an entry.
type parser struct {
	b  []byte
	ok bool
}

func (p *parser) number() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.ok, p.b = false, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}

// count is number for a count of what follows, each of which takes a byte at least. There may be
// limit of them.
func (p *parser) count(limit uint64) uint64 {
	n := p.number()
	if n > min(uint64(len(p.b)), limit) {
		p.ok, p.b = false, nil
		return 0
	}
	return n
}

func (p *parser) bytes() []byte {
	n := p.count(maxEntry)
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}
