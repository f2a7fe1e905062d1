package h3

import (
	"errors"
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/wire"
)

// A Field is a header or pseudo-header field. Names are lower case.
type Field struct {
	Name, Value string
	Sensitive   bool // no table may ever have it (RFC 9204, Section 7.1.3)
}

// Size returns how many bytes the field counts in a field section: its name, its value, and 32 (RFC
// 9114, Section 4.2.2).
func (f Field) Size() int64 { return (*qpack.Field)(&f).Size() }

// fieldsSize returns the size of a field section (RFC 9114, Section 4.2.2).
func fieldsSize(fields []Field) uint64 {
	var n int64
	for _, f := range fields {
		n += f.Size()
	}
	return uint64(n)
}

// headersRoom is the length of the longest header of a HEADERS frame.
const headersRoom = 9

// encodeFields returns a HEADERS frame. It is valid until the next call.
func (c *Conn) encodeFields(id conn.StreamID, fields []Field) []byte {
	c.enc.Begin(uint64(id))
	for i := range fields {
		c.enc.Field(qpack.Field(fields[i]))
	}
	var room [headersRoom]byte
	c.frame = c.enc.End(append(c.frame[:0], room[:]...))
	// The header stands right in front of the payload, whose length is known only now.
	n := len(c.frame) - headersRoom
	start := headersRoom - 1 - wire.VarintLen(uint64(n))
	appendFrameHeader(c.frame[start:start], frameHeaders, uint64(n))
	c.flushEncoder()
	if c.log != nil {
		c.log.headers(true, id, fields, uint64(n))
	}
	return c.frame[start:]
}

// decodeFields decodes a field section. The slice is valid until the next call.
func (c *Conn) decodeFields(id conn.StreamID, section []byte) ([]Field, error) {
	fields, err := c.dec.Decode(uint64(id), section)
	if err != nil {
		return nil, err
	}
	c.fields = slices.Grow(c.fields[:0], len(fields))
	for i := range fields {
		c.fields = append(c.fields, Field(fields[i]))
	}
	c.flushDecoder()
	if c.log != nil {
		c.log.headers(false, id, c.fields, uint64(len(section)))
	}
	return c.fields, nil
}

// qpackError turns err, which ends the connection, into an *Error.
func qpackError(err error) *Error {
	var q *qpack.Error
	if errors.As(err, &q) {
		return &Error{ErrorCode(q.Code), q.Reason}
	}
	return &Error{InternalError, err.Error()}
}
