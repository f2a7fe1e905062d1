// Package quicvarint reads and writes the variable-length integers of QUIC (RFC 9000, Section 16).
package quicvarint

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/lazoquic/lazo/conn/varint"
)

// The bounds of an integer.
const (
	Min = 0
	Max = varint.Max
)

// Len returns the length of i in bytes. It panics if i is above Max.
func Len(i uint64) int {
	switch {
	case i < 1<<6:
		return 1
	case i < 1<<14:
		return 2
	case i < 1<<30:
		return 4
	case i <= Max:
		return 8
	}
	panic(fmt.Sprintf("value doesn't fit into 62 bits: %d", i))
}

// Append appends i to b. It panics if i is above Max.
func Append(b []byte, i uint64) []byte { return appendLen(b, i, Len(i)) }

// AppendWithLen appends i to b with length bytes: 1, 2, 4 or 8. It panics if i does not fit.
func AppendWithLen(b []byte, i uint64, length int) []byte {
	switch length {
	case 1, 2, 4, 8:
	default:
		panic("invalid varint length")
	}
	if Len(i) > length {
		panic(fmt.Sprintf("cannot encode %d in %d bytes", i, length))
	}
	return appendLen(b, i, length)
}

func appendLen(b []byte, i uint64, length int) []byte {
	switch length {
	case 1:
		return append(b, byte(i))
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(i)|1<<14)
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(i)|2<<30)
	}
	return binary.BigEndian.AppendUint64(b, i|3<<62)
}

// lenOf returns the length of the integer that begins with first.
func lenOf(first byte) int { return 1 << (first >> 6) }

// Parse returns the integer at the start of b and its length. If b is empty, the error is io.EOF.
// If b is too short, it is io.ErrUnexpectedEOF.
func Parse(b []byte) (uint64, int, error) {
	if len(b) == 0 {
		return 0, 0, io.EOF
	}
	v, n := varint.Parse(b)
	if n == 0 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	return v, n, nil
}

// Read reads an integer.
func Read(r io.ByteReader) (uint64, error) {
	var b [8]byte
	var err error
	if b[0], err = r.ReadByte(); err != nil {
		return 0, err
	}
	n := lenOf(b[0])
	for i := 1; i < n; i++ {
		if b[i], err = r.ReadByte(); err != nil {
			return 0, err
		}
	}
	v, _ := varint.Parse(b[:n])
	return v, nil
}

// A Peeker can return bytes without consuming them.
type Peeker interface {
	// Peek fills b. It returns an error if it returns less than len(b).
	Peek(b []byte) (int, error)
}

// Peek returns the next integer of p without consuming it. An error that comes with the last of its
// bytes does not matter.
func Peek(p Peeker) (uint64, error) {
	var b [8]byte
	if err := peekAll(p, b[:1]); err != nil {
		return 0, err
	}
	n := lenOf(b[0])
	if n > 1 {
		if err := peekAll(p, b[:n]); err != nil {
			return 0, err
		}
	}
	v, _ := varint.Parse(b[:n])
	return v, nil
}

// peekAll fills b.
func peekAll(p Peeker, b []byte) error {
	n, err := p.Peek(b)
	switch {
	case n >= len(b):
		return nil
	case err == nil:
		return io.ErrUnexpectedEOF
	}
	return err
}
