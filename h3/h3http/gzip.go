package h3http

import (
	"compress/gzip"
	"io"
)

// A gzipBody is the body of a response that the Transport asked to be compressed.
type gzipBody struct {
	body *body
	zip  *gzip.Reader // made at the first Read, since making it reads
	err  error        // sticky
}

func (b *gzipBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.zip == nil {
		if b.zip, b.err = gzip.NewReader(b.body); b.err != nil {
			return 0, b.err
		}
	}
	n, err := b.zip.Read(p)
	if err == io.EOF {
		// Trailers come after what gzip takes for the end.
		if _, end := b.body.Read(make([]byte, 1)); end != io.EOF && end != nil {
			err = end
		}
	}
	b.err = err
	return n, err
}

func (b *gzipBody) Close() error { return b.body.Close() }
