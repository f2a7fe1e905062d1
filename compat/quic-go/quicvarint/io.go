package quicvarint

import "io"

// A Reader reads bytes one by one, and many at once.
type Reader interface {
	io.ByteReader
	io.Reader
}

// A Writer writes bytes one by one, and many at once.
type Writer interface {
	io.ByteWriter
	io.Writer
}

// NewReader returns r if it is a Reader. Otherwise it returns a Reader that reads from r and does
// not read ahead.
func NewReader(r io.Reader) Reader {
	if r, ok := r.(Reader); ok {
		return r
	}
	return &byteReader{r}
}

// NewWriter returns w if it is a Writer. Otherwise it returns a Writer that writes to w.
func NewWriter(w io.Writer) Writer {
	if w, ok := w.(Writer); ok {
		return w
	}
	return &byteWriter{w}
}

type byteReader struct{ io.Reader }

// ReadByte is part of io.ByteReader.
func (r *byteReader) ReadByte() (byte, error) {
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n > 0 {
			return b[0], nil
		}
		if err != nil {
			return 0, err
		}
	}
}

type byteWriter struct{ io.Writer }

// WriteByte is part of io.ByteWriter.
func (w *byteWriter) WriteByte(c byte) error {
	_, err := w.Write([]byte{c})
	return err
}
