package h3http

import (
	"compress/gzip"
	"io"
	"net/http"
)

// A gzipBody is the body of a response for which the Transport asked for compression.
type gzipBody struct {
	body *body
	zip  *gzip.Reader // made at the first Read, because NewReader reads
	err  error        // what Read returns from now on
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
	if b.body.isClosed() { // zip may hold more of the content
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.zip.Read(p)
	if err == io.EOF {
		// The trailers come after the end that gzip sees.
		if _, end := b.body.Read(make([]byte, 1)); end != io.EOF && end != nil {
			err = end
		}
	}
	b.err = err
	return n, err
}

func (b *gzipBody) Close() error { return b.body.Close() }
