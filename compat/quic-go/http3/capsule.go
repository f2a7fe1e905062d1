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

var (
	errUnread = errors.New("http3: previous capsule was not fully consumed")
	errOld    = errors.New("http3: capsule reader is no longer valid")
)

// A CapsuleParser reads capsules, one after another.
type CapsuleParser struct {
	r    quicvarint.Reader
	left uint64 // bytes of the current capsule that were not read yet
	n    int    // how many capsules there were
}

// NewCapsuleParser returns a parser of the capsules that r reads.
func NewCapsuleParser(r io.Reader) *CapsuleParser { return &CapsuleParser{r: quicvarint.NewReader(r)} }

// Next returns the type and the content of the next capsule. Read or discard the content of the
// last one first. If the stream ends, the error is io.EOF, or io.ErrUnexpectedEOF within a capsule.
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

// within returns err as the error of a read within a capsule.
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

// A CapsuleReader reads the content of a capsule. It is valid until Next returns another one.
type CapsuleReader struct {
	p *CapsuleParser
	n int
}

func (r CapsuleReader) valid() bool { return r.p != nil && r.n == r.p.n }

// Remaining returns how many bytes are left.
func (r CapsuleReader) Remaining() int64 {
	if !r.valid() {
		return 0
	}
	return int64(r.p.left)
}

// Read reads from the content. It returns io.EOF at the end of the content, and io.ErrUnexpectedEOF
// if the stream ends first.
func (r CapsuleReader) Read(b []byte) (int, error) {
	left := r.Remaining()
	if !r.valid() {
		return 0, errOld
	}
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
	if !r.valid() {
		return 0, errOld
	}
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

// Discard reads the rest of the content.
func (r CapsuleReader) Discard() error {
	_, err := io.Copy(io.Discard, r)
	return err
}
