package h3http

import (
	"io"
	"net/http"
	"strconv"

	"github.com/lazoquic/lazo/h3"
)

// newResponse converts the header section of the final response to r.
func newResponse(r *http.Request, fields []h3.Field) (*http.Response, error) {
	s, err := parseSection(fields, inResponse)
	if err != nil {
		return nil, err
	}
	code, err := statusCode(s)
	if err != nil {
		return nil, err
	}
	length, err := contentLength(s.header)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        strconv.Itoa(code) + " " + http.StatusText(code),
		StatusCode:    code,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        s.header,
		Trailer:       declaredTrailer(s.header),
		ContentLength: length,
		Body:          http.NoBody,
	}, nil
}

// setBody sets the body of a response.
func (c *call) setBody(resp *http.Response, x *exchange, u *upload) error {
	none := c.r.Method == http.MethodHead || !bodyAllowed(resp.StatusCode)
	ended := x.expectBody(!none)
	if ended && !none {
		if resp.ContentLength > 0 { // RFC 9114, Section 4.1.2
			return errLength
		}
		resp.ContentLength = 0
	}
	if none || ended {
		u.abandon()
		if !u.unfinished() {
			return nil
		}
	}
	length := resp.ContentLength
	if none {
		length = -1
	}
	b := newBody(x, length, &resp.Trailer)
	b.onEOF = u.abandon
	b.onClose = func() { x.cancel(h3.RequestCancelled, http.ErrBodyReadAfterClose) }
	resp.Body = b
	if c.gzip && !none && !ended && resp.Header.Get("Content-Encoding") == "gzip" {
		resp.Body = &gzipBody{body: b}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
	return nil
}

// expectBody says whether the response can have a body, and reports whether all of
// it has arrived and there is none.
func (x *exchange) expectBody(can bool) (ended bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !can {
		x.in.none = true
		if x.in.buf.n > 0 {
			x.cancelLocked(h3.MessageError, errNoBody)
		}
	}
	return x.in.buf.n == 0 && x.in.err == io.EOF && x.in.trailer == nil
}
