package quicvarint_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/quic-go/quic-go/quicvarint"
)

// A peeker is a Peeker of bytes.
type peeker []byte

func (p peeker) Peek(b []byte) (int, error) {
	if n := copy(b, p); n < len(b) {
		return n, io.EOF
	}
	return len(b), nil
}

func TestVarint(t *testing.T) {
	// The first four are of RFC 9000, Appendix A.1.
	for want, b := range map[uint64]string{
		151288809941952652: "\xc2\x19\x7c\x5e\xff\x14\xe8\x8c",
		494878333:          "\x9d\x7f\x3e\x7d",
		15293:              "\x7b\xbd",
		37:                 "\x25",
		quicvarint.Min:     "\x00",
		quicvarint.Max:     "\xff\xff\xff\xff\xff\xff\xff\xff",
		63:                 "\x3f", 64: "\x40\x40", 16383: "\x7f\xff", 16384: "\x80\x00\x40\x00",
		1<<30 - 1: "\xbf\xff\xff\xff", 1 << 30: "\xc0\x00\x00\x00\x40\x00\x00\x00",
	} {
		if got := quicvarint.Append([]byte("x"), want); string(got) != "x"+b || quicvarint.Len(want) != len(b) {
			t.Errorf("%d becomes %x", want, got)
		}
		if got, n, err := quicvarint.Parse([]byte(b + "more")); got != want || n != len(b) || err != nil {
			t.Errorf("Parse of %x: %d, %d, %v", b, got, n, err)
		}
		r := quicvarint.NewReader(iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader([]byte(b)))))
		if got, err := quicvarint.Read(r); got != want || err != nil {
			t.Errorf("Read of %x: %d, %v", b, got, err)
		}
		if got, err := quicvarint.Peek(peeker(b)); got != want || err != nil {
			t.Errorf("Peek of %x: %d, %v", b, got, err)
		}
		for n := range len(b) {
			short := []byte(b[:n])
			_, _, err := quicvarint.Parse(short)
			if n == 0 && err != io.EOF || n > 0 && err != io.ErrUnexpectedEOF {
				t.Errorf("Parse of %x: %v", short, err)
			}
			if _, err := quicvarint.Read(bytes.NewReader(short)); !errors.Is(err, io.EOF) {
				t.Errorf("Read of %x: %v", short, err)
			}
			if _, err := quicvarint.Peek(peeker(short)); err == nil {
				t.Errorf("Peek of %x returned no error", short)
			}
		}
	}
}

func TestAppendWithLen(t *testing.T) {
	for n, want := range map[int]string{1: "\x25", 2: "\x40\x25", 4: "\x80\x00\x00\x25", 8: "\xc0\x00\x00\x00\x00\x00\x00\x25"} {
		if got := quicvarint.AppendWithLen(nil, 37, n); string(got) != want {
			t.Errorf("37 in %d bytes is %x", n, got)
		}
	}
	for name, f := range map[string]func(){
		"a length of 3":   func() { quicvarint.AppendWithLen(nil, 1, 3) },
		"64 in one byte":  func() { quicvarint.AppendWithLen(nil, 64, 1) },
		"more than Max":   func() { quicvarint.Append(nil, quicvarint.Max+1) },
		"Len of too much": func() { quicvarint.Len(1 << 63) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	if quicvarint.NewWriter(&b) != quicvarint.Writer(&b) {
		t.Error("a Writer was wrapped")
	}
	w := quicvarint.NewWriter(struct{ io.Writer }{&b})
	w.WriteByte('a')
	w.Write([]byte("bc"))
	if b.String() != "abc" {
		t.Errorf("wrote %q", &b)
	}
}

// A lastError is a reader whose last bytes come with an error.
type lastError struct {
	data []byte
	err  error
}

func (r *lastError) Read(p []byte) (int, error) {
	n, err := r.Peek(p)
	r.data = r.data[n:]
	return n, err
}

func (r *lastError) Peek(p []byte) (int, error) {
	n := copy(p, r.data)
	if n < len(r.data) {
		return n, nil
	}
	return n, r.err
}

// TestErrorWithLastByte: an error that comes with the last byte of an integer comes after it.
func TestErrorWithLastByte(t *testing.T) {
	fails := errors.New("fails")
	for _, want := range []uint64{0, 37, 1337, quicvarint.Max} {
		r := &lastError{quicvarint.Append(nil, want), fails}
		if got, err := quicvarint.Peek(r); got != want || err != nil {
			t.Errorf("peeked at %d, %v", got, err)
		}
		if got, err := quicvarint.Read(quicvarint.NewReader(r)); got != want || err != nil {
			t.Errorf("read %d, %v", got, err)
		}
		if _, err := quicvarint.Peek(r); err != fails {
			t.Errorf("peeked behind the end: %v", err)
		}
	}
	if _, err := quicvarint.Peek(&lastError{[]byte{0x40}, nil}); err != io.ErrUnexpectedEOF {
		t.Errorf("peeked at half an integer: %v", err)
	}
}
