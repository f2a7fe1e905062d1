package http3

import (
	"errors"
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// CapsuleProtocolHeader says that a message uses capsules (RFC 9297, Section 3.4).
const CapsuleProtocolHeader = "Capsule-Protocol"

// A CapsuleType is the type of a capsule (RFC 9297, Section 3.2).
type CapsuleType uint64

// WriteCapsule writes a capsule.
func WriteCapsule(w quicvarint.Writer, ct CapsuleType, value []byte) error {
	b := make([]byte, 0, 16+len(value))
	b = quicvarint.Append(b, uint64(ct))
	b = quicvarint.Append(b, uint64(len(value)))
	_, err := w.Write(append(b, value...))
	return err
}

var errUnread = errors.New("http3: the last capsule was not read to its end")

// A CapsuleParser reads capsules, one after another.
type CapsuleParser struct {
	r    quicvarint.Reader
	left uint64 // of the current capsule
	n    int    // how many there were
}

// NewCapsuleParser returns a parser of what r reads.
func NewCapsuleParser(r io.Reader) *CapsuleParser { return &CapsuleParser{r: quicvarint.NewReader(r)} }

// Next returns the type and the content of the next capsule. The content of the last one must
// have been read or discarded. At the end the error is io.EOF, and io.ErrUnexpectedEOF within a
// capsule.
func (p *CapsuleParser) Next() (CapsuleType, CapsuleReader, error) {
	if p.left > 0 {
		return 0, CapsuleReader{}, errUnread
	}
	first := &firstByte{r: p.r}
	typ, err := quicvarint.Read(first)
	if err != nil {
		if first.read {
			err = within(err)
		}
		return 0, CapsuleReader{}, err
	}
	n, err := quicvarint.Read(p.r)
	if err != nil {
		return 0, CapsuleReader{}, within(err)
	}
	p.left = n
	p.n++
	return CapsuleType(typ), CapsuleReader{p, p.n}, nil
}

// within returns err, which came within a capsule.
func within(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A firstByte notes whether a byte was read.
type firstByte struct {
	r    io.ByteReader
	read bool
}

// ReadByte is part of io.ByteReader.
func (f *firstByte) ReadByte() (byte, error) {
	b, err := f.r.ReadByte()
	f.read = f.read || err == nil
	return b, err
}

// A CapsuleReader reads the content of a capsule, until Next goes on to another.
type CapsuleReader struct {
	p *CapsuleParser
	n int
}

// Remaining returns how many bytes are left.
func (r CapsuleReader) Remaining() int64 {
	if r.p == nil || r.n != r.p.n {
		return 0
	}
	return int64(r.p.left)
}

// Read reads from the content. It returns io.EOF at its end, and io.ErrUnexpectedEOF if the stream
// ends before.
func (r CapsuleReader) Read(b []byte) (int, error) {
	left := r.Remaining()
	if left == 0 {
		return 0, io.EOF
	}
	n, err := r.p.r.Read(b[:min(int64(len(b)), left)])
	r.p.left -= uint64(n)
	switch {
	case err == io.EOF && r.p.left > 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF && n > 0:
		err = nil
	}
	return n, err
}

// ReadByte reads one byte of the content.
func (r CapsuleReader) ReadByte() (byte, error) {
	if r.Remaining() == 0 {
		return 0, io.EOF
	}
	b, err := r.p.r.ReadByte()
	if err != nil {
		return 0, within(err)
	}
	r.p.left--
	return b, nil
}

// Discard reads what is left.
func (r CapsuleReader) Discard() error {
	_, err := io.Copy(io.Discard, r)
	return err
}
