package tape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
)

// some are entries of all shapes.
var some = []Entry{
	{Kind: 1},
	{Kind: 300, Numbers: []uint64{0, 1<<64 - 1, 127, 128}},
	{Kind: 2, Strings: [][]byte{{}, []byte("datagram")}},
	{Kind: 0, Numbers: []uint64{7}, Strings: [][]byte{bytes.Repeat([]byte("x"), 3*bufferSize)}},
	{Kind: 5, Numbers: []uint64{1}},
}

func write(w io.Writer) *Writer {
	t := NewWriter(w, 7)
	for _, e := range some {
		t.Write(e.Kind, e.Numbers, e.Strings...)
	}
	t.Flush()
	return t
}

func read(t *testing.T, r *Reader) (all []Entry) {
	t.Helper()
	for {
		var e Entry
		switch err := r.Next(&e); err {
		case nil:
			for i, s := range e.Strings {
				e.Strings[i] = bytes.Clone(s)
			}
			all = append(all, e)
		case io.EOF:
			return all
		default:
			t.Fatal(err)
		}
	}
}

func equal(a, b Entry) bool {
	if a.Kind != b.Kind || len(a.Numbers) != len(b.Numbers) || len(a.Strings) != len(b.Strings) {
		return false
	}
	for i := range a.Strings {
		if !bytes.Equal(a.Strings[i], b.Strings[i]) {
			return false
		}
	}
	return len(a.Numbers) == 0 || reflect.DeepEqual(a.Numbers, b.Numbers)
}

// TestCutOff: a tape that ends anywhere is good up to there.
func TestCutOff(t *testing.T) {
	var whole bytes.Buffer
	write(&whole)
	for n := len(magic) + 1; n <= whole.Len(); n += 1 + n/100 {
		r, err := NewReader(bytes.NewReader(whole.Bytes()[:n]), 7)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range read(t, r) {
			if !equal(e, some[i]) {
				t.Fatalf("entry %d of the first %d bytes differs", i, n)
			}
		}
	}
	r, _ := NewReader(bytes.NewReader(whole.Bytes()), 7)
	if got := len(read(t, r)); got != len(some) {
		t.Errorf("%d entries of %d", got, len(some))
	}
}

func TestHeader(t *testing.T) {
	var whole bytes.Buffer
	write(&whole)
	if _, err := NewReader(bytes.NewReader(whole.Bytes()), 8); err == nil {
		t.Error("another version was read")
	}
	if _, err := NewReader(bytes.NewReader([]byte("no recording at all")), 7); err == nil {
		t.Error("another file was read")
	}
}

// fullDisk takes a number of bytes.
type fullDisk struct{ room int }

var errFull = errors.New("no space left")

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.room < len(b) {
		return 0, errFull
	}
	f.room -= len(b)
	return len(b), nil
}

// TestWriterGivesUp: a Writer that cannot write keeps nothing, and says so.
func TestWriterGivesUp(t *testing.T) {
	w := write(&fullDisk{room: 100})
	for range 1000 {
		w.Write(1, nil, make([]byte, 1000))
	}
	if w.Flush() != errFull {
		t.Error("the error is lost")
	}
	if len(w.buf) > 0 || cap(w.buf) > 2*bufferSize || cap(w.body) > bufferSize {
		t.Errorf("it holds %d and %d bytes", cap(w.buf), cap(w.body))
	}
}

// TestTooMuch: an entry that would take far more memory than it has bytes, or than any that a
// program records, is neither written nor read. The tape is good up to there.
func TestTooMuch(t *testing.T) {
	for name, e := range map[string]Entry{
		"strings": {Kind: 1, Strings: make([][]byte, maxStrings+1)},
		"numbers": {Kind: 1, Numbers: make([]uint64, maxNumbers+1)},
		"bytes":   {Kind: 1, Strings: [][]byte{make([]byte, maxEntry)}},
	} {
		var out bytes.Buffer
		w := NewWriter(&out, 7)
		w.Write(5, nil)
		w.Write(e.Kind, e.Numbers, e.Strings...)
		w.Write(6, nil)
		if w.Flush() != errTooLong {
			t.Errorf("%s: the Writer does not say so", name)
		}
		r, _ := NewReader(&out, 7)
		if got := read(t, r); len(got) != 1 {
			t.Errorf("%s: the tape has %d entries", name, len(got))
		}
	}
	for name, counts := range map[string][]uint64{"numbers": {maxNumbers + 1}, "strings": {0, maxStrings + 1}} {
		body := []byte{1}
		for _, n := range counts {
			body = binary.AppendUvarint(body, n)
		}
		body = append(body, make([]byte, maxNumbers+2)...)
		var e Entry
		if err := e.parse(body); err != errMalformed || cap(e.Numbers)+cap(e.Strings) > 0 {
			t.Errorf("%d %s: %v", counts[len(counts)-1], name, err)
		}
	}
}

// FuzzReader: whatever a file holds, a Reader takes memory for no more than is there, and what it
// reads is written alike.
func FuzzReader(f *testing.F) {
	var whole bytes.Buffer
	write(&whole)
	f.Add(whole.Bytes()[:100])
	f.Add([]byte(magic + "\x07\x03\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b), 7)
		if err != nil {
			return
		}
		var e Entry
		for r.Next(&e) == nil {
			var again bytes.Buffer
			w := NewWriter(&again, 7)
			w.Write(e.Kind, e.Numbers, e.Strings...)
			w.Flush()
			second, err := NewReader(&again, 7)
			var f Entry
			if err != nil || second.Next(&f) != nil || !equal(e, f) {
				t.Fatalf("%v was read again as %v", e, f)
			}
		}
	})
}
