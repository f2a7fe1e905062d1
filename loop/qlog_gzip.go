package loop

import (
	"bytes"
	"compress/gzip"
)

// gzipPiece is how much of a file is compressed at a time. Each piece is a member of the gzip file
// (RFC 1952, Section 2.2), so that one compressor serves all files.
const gzipPiece = 64 << 10

// A compressor makes members of gzip files. It belongs to the goroutine that writes.
type compressor struct {
	z   *gzip.Writer
	out bytes.Buffer
}

// member returns b compressed. It is valid until the next call.
func (c *compressor) member(b []byte) ([]byte, error) {
	c.out.Reset()
	if c.z == nil {
		c.z = gzip.NewWriter(&c.out)
	} else {
		c.z.Reset(&c.out)
	}
	if _, err := c.z.Write(b); err != nil {
		return nil, err
	}
	if err := c.z.Close(); err != nil {
		return nil, err
	}
	return c.out.Bytes(), nil
}
