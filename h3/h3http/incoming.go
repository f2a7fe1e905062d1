package h3http

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/h3"
)

// newResponse converts the header section of the final response.
func newResponse(fields []h3.Field) http.Response {
	s := parseSection(fields, nil)
	code, _ := strconv.Atoi(s.status) // package h3 has checked that it has three digits
	return http.Response{
		Status:        statusLine(code),
		StatusCode:    code,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        s.header,
		Trailer:       declaredTrailer(s.header),
		ContentLength: contentLength(s.header),
		Body:          http.NoBody,
	}
}

// setBody sets the body of a response.
func (c *call) setBody(resp *http.Response, x *clientExchange, u *upload) {
	head := c.r.Method == http.MethodHead
	empty := x.empty
	if empty && !head {
		resp.ContentLength = 0
	}
	if head || empty {
		u.abandon()
		if !u.unfinished() {
			return
		}
	}
	b := &x.body
	b.x, b.trailer, b.upload, b.onClose = &x.exchange, &resp.Trailer, u, (*exchange).cancelLocked
	resp.Body = b
	if c.gzip && !empty && strings.EqualFold(first(resp.Header["Content-Encoding"]), "gzip") {
		resp.Body = &gzipBody{body: b}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
}
